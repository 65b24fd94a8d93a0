//! The commits of a sender, in the order in which it gave them out, as somebody sees them who cannot ask.
//!
//! Each commit has the next number and names the digest of the one before. So a receiver sees by itself what it does not have (a *gap*),
//! and that one number was given out twice or that a commit follows another than the one that is known (a *fork*): its sender's state was
//! copied or set back. Pure; the receiver's journal is read into it.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use jiff::Timestamp;

use super::{IdError, PackageId, Sender, Sha256Hex};

/// A place in a sender's chain: `gdx-login/1#7`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Whose chain.
    pub sender: Sender,
    /// From 1 up.
    pub sequence: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.sender, self.sequence)
    }
}

impl FromStr for Place {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let form = || IdError::Form { what: "place (sender#number)", text: text.chars().take(120).collect() };
        let (sender, sequence) = text.split_once('#').ok_or_else(form)?;
        Ok(Self { sender: sender.parse()?, sequence: sequence.parse().map_err(|_| form())? })
    }
}

/// A commit in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where.
    pub place: Place,
    /// Digest of its bytes.
    pub digest: Sha256Hex,
    /// Of the one before; none: it is the first, or that was not recorded.
    pub previous: Option<Sha256Hex>,
}

#[derive(Clone, Debug)]
struct Known {
    package: PackageId,
    digest: Sha256Hex,
    previous: Option<Sha256Hex>,
    since: Timestamp,
}

/// One sender's chain, as far as it is known.
#[derive(Clone, Debug, Default)]
struct Chain {
    links: BTreeMap<u64, Known>,
    /// All numbers up to this one are known.
    whole: u64,
}

/// Numbers of a sender that are missing although later ones are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Whose.
    pub sender: Sender,
    /// Which.
    pub numbers: RangeInclusive<u64>,
    /// Since when a later one has been known.
    pub since: Timestamp,
}

impl Gap {
    /// How many commits.
    pub fn count(&self) -> u64 {
        (self.numbers.end() - self.numbers.start()).saturating_add(1)
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count() {
            1 => write!(f, "{}#{}", self.sender, self.numbers.start()),
            _ => write!(f, "{}#{} to #{}", self.sender, self.numbers.start(), self.numbers.end()),
        }
    }
}

/// The chains of all senders.
#[derive(Clone, Debug, Default)]
pub struct Chains(BTreeMap<Sender, Chain>);

impl Chains {
    /// Takes a commit in. A place that is taken stays whose it is.
    pub fn learn(&mut self, package: &PackageId, link: &Link, since: Timestamp) {
        let chain = self.0.entry(link.place.sender.clone()).or_default();
        let (digest, previous) = (link.digest.clone(), link.previous.clone());
        let known = Known { package: package.clone(), digest, previous, since };
        let _first = chain.links.entry(link.place.sequence).or_insert(known);
        while chain.links.contains_key(&(chain.whole.saturating_add(1))) && chain.whole < u64::MAX {
            chain.whole += 1;
        }
    }

    /// In words, why this commit and what is known cannot both be of one sender that never forgot anything.
    pub fn fork(&self, package: &PackageId, link: &Link) -> Option<String> {
        let (place, links) = (&link.place, &self.0.get(&link.place.sender)?.links);
        if let Some(other) = links.get(&place.sequence) {
            let same = other.digest == link.digest && other.package == *package;
            return (!same)
                .then(|| format!("{place} is {} too: the number was given out twice", other.package));
        }
        let before = place.sequence.checked_sub(1).and_then(|n| links.get(&n)).zip(link.previous.as_ref());
        if let Some((before, _)) = before.filter(|(before, says)| before.digest != **says) {
            let of = &before.package;
            return Some(format!(
                "{place} follows another commit than that of {of}, which has the number before"
            ));
        }
        let behind = place.sequence.checked_add(1).and_then(|n| links.get(&n));
        let behind =
            behind.filter(|behind| behind.previous.as_ref().is_some_and(|says| *says != link.digest));
        behind.map(|behind| {
            let of = &behind.package;
            format!("{of}, which has the number behind {place}, follows another commit than this")
        })
    }

    /// What is missing. `also`: places that are known besides and not recorded yet. `since`: when the
    /// record was begun; what a sender that is older gave out before the first of its commits that is known was before that time.
    pub fn gaps(&self, also: &BTreeSet<Place>, since: Timestamp) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for (sender, chain) in &self.0 {
            let mut next = chain.whole.saturating_add(1);
            if i64::from(sender.epoch) < since.as_second() {
                let others = also.iter().filter(|p| p.sender == *sender).map(|p| p.sequence);
                let first = chain.links.keys().next().copied().into_iter().chain(others).min();
                next = next.max(first.unwrap_or(next));
            }
            for (number, known) in chain.links.range(next..) {
                let place = |sequence| Place { sender: sender.clone(), sequence };
                let others = also.range(place(next)..place(*number)).map(|place| place.sequence);
                for end in others.chain([*number]) {
                    if next < end {
                        let numbers = next..=end - 1;
                        gaps.push(Gap { sender: sender.clone(), numbers, since: known.since });
                    }
                    next = end.saturating_add(1);
                }
            }
        }
        gaps
    }

    /// The epochs that are known of each host, with when the first commit of each came.
    pub fn epochs(&self) -> impl Iterator<Item = (&Sender, Timestamp)> {
        let first = |chain: &Chain| chain.links.values().map(|known| known.since).min();
        self.0.iter().filter_map(move |(sender, chain)| Some((sender, first(chain)?)))
    }

    /// The highest number of each sender.
    pub fn last(&self) -> impl Iterator<Item = (&Sender, u64)> {
        self.0.iter().filter_map(|(sender, chain)| Some((sender, *chain.links.keys().next_back()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    fn digest(of: &str) -> Sha256Hex {
        Sha256Hex::of(of.as_bytes())
    }

    /// The commit of this number in a world in which nothing went wrong; another world has other digests.
    fn link(world: &str, number: u64) -> (PackageId, Link) {
        let place = format!("gdx-login/1#{number}").parse().unwrap();
        let previous = (number > 1).then(|| digest(&format!("{world}{}", number - 1)));
        let link = Link { place, digest: digest(&format!("{world}{number}")), previous };
        (format!("samples/{world}-{number}/r1").parse().unwrap(), link)
    }

    fn chains(known: &[(PackageId, Link)]) -> Chains {
        let mut chains = Chains::default();
        for (n, (package, link)) in known.iter().enumerate() {
            chains.learn(package, link, at(n as i64));
        }
        chains
    }

    fn shown(chains: &Chains, also: &[&str]) -> Vec<String> {
        chains
            .gaps(&also.iter().map(|place| place.parse().unwrap()).collect(), Timestamp::UNIX_EPOCH)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn places_there_and_back() {
        let place: Place = "gdx-login/3#17".parse().unwrap();
        assert_eq!(
            (place.sequence, place.sender.epoch, place.to_string().as_str()),
            (17, 3, "gdx-login/3#17")
        );
        for odd in ["gdx-login/3", "gdx-login#3", "gdx-login/3#", "gdx-login/3#-1", ""] {
            assert!(odd.parse::<Place>().is_err(), "{odd}");
        }
    }

    #[test]
    fn what_is_missing_is_named_since_a_later_one_came() {
        let none = BTreeSet::new();
        let few = chains(&[link("a", 1), link("a", 2), link("a", 5), link("a", 9), link("a", 7)]);
        assert_eq!(shown(&few, &[]), ["gdx-login/1#3 to #4", "gdx-login/1#6", "gdx-login/1#8"]);
        assert_eq!(few.gaps(&none, Timestamp::UNIX_EPOCH)[1].since, at(4), "when #7 came, not #9");
        let also = ["gdx-login/1#3", "gdx-login/1#8"];
        assert_eq!(shown(&few, &also), ["gdx-login/1#4", "gdx-login/1#6"], "these wait for room");
        let wide = chains(&[link("a", 1), link("a", 9)]);
        assert_eq!(shown(&wide, &["gdx-login/1#5"]), ["gdx-login/1#2 to #4", "gdx-login/1#6 to #8"]);
        assert_eq!(shown(&chains(&[link("a", 1), link("a", 2)]), &[]), [""; 0]);
    }

    #[test]
    fn what_was_sent_before_the_record_began_is_not_missed() {
        let late = chains(&[link("a", 700), link("a", 702)]);
        let missed = |since: i64, also: &[&str]| -> Vec<String> {
            let also = also.iter().map(|place| place.parse().unwrap()).collect();
            let since = Timestamp::from_second(since).unwrap();
            late.gaps(&also, since).iter().map(ToString::to_string).collect()
        };
        // The epoch of this chain is the second 1.
        assert_eq!(missed(0, &[]), ["gdx-login/1#1 to #699", "gdx-login/1#701"], "it began before our eyes");
        assert_eq!(missed(2, &[]), ["gdx-login/1#701"]);
        assert_eq!(missed(2, &["gdx-login/1#698"]), ["gdx-login/1#699", "gdx-login/1#701"]);
    }

    #[test]
    fn numbers_without_end_cost_nothing() {
        let most = chains(&[link("a", u64::MAX), link("a", u64::MAX - 1), link("a", 1)]);
        assert_eq!(most.gaps(&BTreeSet::new(), Timestamp::UNIX_EPOCH)[0].count(), u64::MAX - 3);
        assert_eq!(shown(&most, &[]).len(), 1);
        assert!(most.fork(&link("a", 2).0, &link("a", 2).1).is_none());
    }

    #[test]
    fn a_number_that_was_given_out_twice_is_a_fork_and_so_is_what_follows_another() {
        let known = chains(&[link("a", 1), link("a", 2), link("a", 4)]);
        let fork = |(package, link): (PackageId, Link)| known.fork(&package, &link);
        for same in [link("a", 1), link("a", 2), link("a", 3), link("a", 5), link("a", 9), link("b", 9)] {
            assert_eq!(fork(same.clone()), None, "{same:?}");
        }
        assert!(fork(link("b", 2)).unwrap().contains("samples/a-2/r1 too"));
        // The same bytes under another name cannot be: they name their package.
        let copied = ("samples/other/r1".parse().unwrap(), link("a", 2).1);
        assert!(fork(copied).is_some());
        assert!(fork(link("b", 3)).unwrap().contains("follows another commit than that of samples/a-2/r1"));
        let mut third = link("a", 3);
        third.1.digest = digest("b3");
        assert!(fork(third).unwrap().contains("samples/a-4/r1, which has the number behind"));
        assert!(fork(link("b", 5)).is_some());
        let (package, mut other) = link("b", 2);
        other.place.sender.epoch = 2;
        assert_eq!(known.fork(&package, &other), None, "another epoch begins anew");
        // As an older program recorded it: without the digest before.
        let (package, mut old) = link("b", 3);
        old.previous = None;
        assert!(known.fork(&package, &old).unwrap().contains("number behind"));
    }

    proptest! {
        /// In whatever order they come: gaps are exactly what is missing below the highest, and nothing is a fork.
        #[test]
        fn gaps_are_what_is_missing(mut numbers in proptest::collection::vec(1u64..40, 1..40)) {
            let mut known = Chains::default();
            for number in &numbers {
                let (package, link) = link("a", *number);
                prop_assert_eq!(known.fork(&package, &link), None);
                known.learn(&package, &link, at(0));
            }
            let missing: Vec<u64> = known.gaps(&BTreeSet::new(), Timestamp::UNIX_EPOCH).into_iter().flat_map(|gap| gap.numbers).collect();
            numbers.sort_unstable();
            let highest = *numbers.last().unwrap();
            let expected: Vec<u64> = (1..highest).filter(|n| !numbers.contains(n)).collect();
            prop_assert_eq!(missing, expected);
            prop_assert_eq!(known.last().next().unwrap().1, highest);
        }
    }
}
