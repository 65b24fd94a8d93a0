//! What a person means by a sample, a package, or the beginning of one.
use crate::journal::Row;
use crate::package::PackageId;

use super::Present;

/// How well a name fits; the best ones alone count, so a whole name is never mistaken for a part of a longer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// `kind/name/rN`, an order, an artifact.
    Exact,
    /// `kind/name`, or the name.
    Name,
    /// The number behind the project: `HG1` of `Diag-wgs1-HG1`.
    Ending,
    /// A whole part of it: `HG1` of `Diag-wgs1-HG1-SINGLE`.
    Part,
    /// Its beginning.
    Beginning,
    /// Anything in it.
    Within,
}

/// How a query fits a name, if it does. Upper and lower case are the same in parts, for people type what they hear.
pub(super) fn fit(query: &str, name: &str) -> Option<Fit> {
    if query.is_empty() {
        return None;
    }
    if query == name {
        return Some(Fit::Name);
    }
    let (query, name) = (query.to_ascii_lowercase(), name.to_ascii_lowercase());
    let mut best = None;
    for (at, found) in name.match_indices(&query) {
        let open = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric());
        let before = name.get(..at).unwrap_or_default();
        let behind = name.get(at + found.len()..).unwrap_or_default();
        let (left, right) = (open(before.chars().next_back()), open(behind.chars().next()));
        let fit = match () {
            () if left && behind.is_empty() => Fit::Ending,
            () if left && right => Fit::Part,
            () if at == 0 => Fit::Beginning,
            () => Fit::Within,
        };
        best = Some(best.map_or(fit, |best: Fit| best.min(fit)));
    }
    best
}

fn of_row(query: &str, row: &Row) -> Option<Fit> {
    let id = &row.id;
    let whole = || id.to_string() == query || row.order.as_ref().is_some_and(|order| order.0 == query);
    let of_kind = || query.split_once('/').is_some() && format!("{}/{}", id.kind, id.name) == query;
    if query.contains('/') {
        // A beginning of the whole id; anything else with a slash in it fits only as a whole.
        return match () {
            () if whole() => Some(Fit::Exact),
            () if of_kind() => Some(Fit::Name),
            () => id.to_string().starts_with(query).then_some(Fit::Beginning),
        };
    }
    fit(query, id.name.as_str()).or_else(|| whole().then_some(Fit::Exact))
}

/// Something that is not a package yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outside {
    /// A doubted artifact.
    Doubt(String),
    /// A notice of what is not taken, with its words.
    NotTaken(String, String),
}

/// Those that fit best. Of several revisions of one package the newest is meant, unless a revision is named.
pub(super) struct Sought<'a> {
    pub packages: Vec<&'a Row>,
    pub outside: Vec<Outside>,
}

impl<'a> Present<'a> {
    pub(super) fn seek(&self, query: &str) -> Sought<'a> {
        let fold = self.fold;
        let mut rows: Vec<(Fit, &Row)> =
            fold.packages().filter_map(|row| Some((of_row(query, row)?, row))).collect();
        // Of orders that are under way the artifacts are known too.
        let open = fold.open_orders();
        let drafts = open.iter().flat_map(|row| &row.order.packages);
        let named = drafts.filter(|draft| draft.artifact.as_deref() == Some(query));
        rows.extend(named.filter_map(|draft| Some((Fit::Exact, fold.package(&draft.id)?))));
        let doubts = fold.doubts().iter().filter_map(|(artifact, doubt)| {
            let fit = if artifact == query { Some(Fit::Exact) } else { fit(query, &doubt.who) };
            Some((fit?, Outside::Doubt(artifact.clone())))
        });
        let not_taken =
            self.snapshot().into_iter().flat_map(|seen| &seen.not_taken).filter_map(|(who, why)| {
                // Said of a package that is known, it belongs to that one.
                let known = who.parse::<PackageId>().is_ok_and(|id| fold.package(&id).is_some());
                let fit = fit(query, who)
                    .or_else(|| (!query.is_empty() && who.contains(query)).then_some(Fit::Within));
                Some((fit.filter(|_| !known)?, Outside::NotTaken(who.clone(), why.clone())))
            });
        let mut outside: Vec<(Fit, Outside)> = doubts.chain(not_taken).collect();
        let best = rows.iter().map(|(fit, _)| *fit).chain(outside.iter().map(|(fit, _)| *fit)).min();
        rows.retain(|(fit, _)| Some(*fit) == best);
        outside.retain(|(fit, _)| Some(*fit) == best);
        let mut packages: Vec<&Row> = rows.into_iter().map(|(_, row)| row).collect();
        packages.sort_by(|a, b| a.id.cmp(&b.id));
        packages.dedup_by(|a, b| a.id == b.id);
        if !packages.iter().any(|row| row.id.to_string() == query) {
            let newer = |a: &Row, b: &Row| (&a.id.kind, &a.id.name) == (&b.id.kind, &b.id.name);
            packages.reverse();
            packages.dedup_by(|later, kept| newer(later, kept));
            packages.reverse();
        }
        Sought { packages, outside: outside.into_iter().map(|(_, one)| one).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_behind_its_project_before_a_longer_one() {
        let name = "Diag-wgs1-HG1";
        for (query, wanted) in [
            (name, Some(Fit::Name)),
            ("HG1", Some(Fit::Ending)),
            ("hg1", Some(Fit::Ending)),
            ("wgs1", Some(Fit::Part)),
            ("Diag", Some(Fit::Part)),
            ("Dia", Some(Fit::Beginning)),
            ("gs1-H", Some(Fit::Within)),
            ("HG2", None),
            ("", None),
        ] {
            assert_eq!(fit(query, name), wanted, "{query}");
        }
        assert_eq!(fit("HG1", "Diag-wgs1-HG12"), Some(Fit::Within));
        assert_eq!(fit("HG1", "Diag-wgs1-HG1-SINGLE"), Some(Fit::Part));
        assert_eq!(fit("HG1", "HG12-HG1"), Some(Fit::Ending), "its best place counts");
    }
}
