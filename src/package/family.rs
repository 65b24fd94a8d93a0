//! Which samples an analysis needs, and whether its family is among them.
use std::collections::{BTreeMap, BTreeSet};

use super::documents::is_document;
use super::{Analysis, Name, RelPath};

/// What is wrong with the family of an analysis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FamilyError {
    /// Nothing to analyse.
    #[error("it names no samples")]
    Nobody,
    /// The same sample twice.
    #[error("it names {0} twice")]
    Twice(Name),
    /// A member of the pedigree whose sample is not asked for.
    #[error("{0} of its pedigree is not among its samples")]
    Stranger(Name),
}

/// Samples are named, each once; the members of a pedigree are three of them.
pub(super) fn check(analysis: &Analysis) -> Result<(), FamilyError> {
    let mut named = BTreeSet::new();
    if let Some(twice) = analysis.samples.iter().find(|name| !named.insert(*name)) {
        return Err(FamilyError::Twice(twice.clone()));
    }
    if named.is_empty() {
        return Err(FamilyError::Nobody);
    }
    let Some(pedigree) = &analysis.params.pedigree else { return Ok(()) };
    let mut members = BTreeSet::new();
    for member in [&pedigree.proband, &pedigree.father, &pedigree.mother] {
        if !named.contains(&member.sample) {
            return Err(FamilyError::Stranger(member.sample.clone()));
        }
        if !members.insert(&member.sample) {
            return Err(FamilyError::Twice(member.sample.clone()));
        }
    }
    Ok(())
}

/// The sample packages that the analysis in `documents` needs; none if there is none, or it cannot be read (which is somebody else's to
/// say).
pub fn needed(documents: &BTreeMap<RelPath, Vec<u8>>) -> Vec<Name> {
    let analyses =
        documents.iter().filter(|(path, _)| is_document(path) && path.as_str().ends_with(".analysis"));
    let read = analyses.filter_map(|(_, bytes)| serde_json::from_slice::<Analysis>(bytes).ok());
    read.flat_map(|analysis| analysis.samples).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn analysis(samples: &[&str], trio: Option<[&str; 3]>) -> Analysis {
        let pedigree = trio.map(|[proband, father, mother]| {
            json!({"proband": {"sample": proband}, "father": {"sample": father}, "mother": {"sample": mother}})
        });
        let params = pedigree.map_or(json!({}), |pedigree| json!({"pedigree": pedigree}));
        let text = json!({"name": "a", "samples": samples, "priority": "1", "params": params});
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_family_is_three_of_the_samples() {
        let of = |samples: &[&str], trio| check(&analysis(samples, trio)).map_err(|e| e.to_string());
        assert_eq!(of(&["p", "f", "m"], Some(["p", "f", "m"])), Ok(()));
        assert_eq!(of(&["p"], None), Ok(()));
        assert_eq!(of(&[], None).unwrap_err(), "it names no samples");
        assert_eq!(of(&["p", "f", "p"], None).unwrap_err(), "it names p twice");
        let stranger = of(&["p", "f"], Some(["p", "f", "m"])).unwrap_err();
        assert_eq!(stranger, "m of its pedigree is not among its samples");
        assert_eq!(of(&["p", "f", "m"], Some(["p", "f", "f"])).unwrap_err(), "it names f twice");
    }

    #[test]
    fn what_an_analysis_needs() {
        let text = serde_json::to_vec(&analysis(&["p", "f"], None)).unwrap();
        let docs = |path: &str, bytes: &[u8]| BTreeMap::from([(path.parse().unwrap(), bytes.to_vec())]);
        let names = needed(&docs("a.analysis", &text));
        assert_eq!(names.iter().map(Name::as_str).collect::<Vec<_>>(), ["p", "f"]);
        assert!(needed(&docs("a.sample", &text)).is_empty() && needed(&docs("a.analysis", b"{")).is_empty());
    }
}
