//! The journal's lines against the tables that the writer keeps to: moves of packages, and the chain of commits given out.
//!
//! What the writer checks before a line is written ([`super::pending`]) is checked here behind it, of somebody else's file too. Kept
//! apart from [`super::Fold`], which believes what it reads.
use std::collections::BTreeMap;

use super::SentChain;
use super::event::{Event, Line};
use crate::package::{Commit, PackageId, Sender, Sha256Hex, State};

/// What is known behind the lines so far.
#[derive(Default)]
pub(super) struct Replay {
    states: BTreeMap<PackageId, State>,
    decided: BTreeMap<PackageId, Sha256Hex>,
    sent: BTreeMap<Sender, SentChain>,
    moves: u64,
}

impl Replay {
    /// Moves, packages, chains.
    pub(super) fn told(self) -> (u64, u64, BTreeMap<Sender, SentChain>) {
        (self.moves, self.states.len() as u64, self.sent)
    }

    /// What is not legal about the line, in words.
    pub(super) fn step(&mut self, line: &Line) -> Vec<String> {
        match &line.event {
            Event::Ordered { order } => {
                let ids = order.packages.iter().map(|draft| &draft.id);
                ids.filter_map(|id| self.go(id, None, State::Found)).collect()
            }
            Event::Moved { package, from, to, facts, .. } => {
                let illegal = self.go(package, *from, *to);
                let told = facts.commit_sha256.as_ref().filter(|_| *to == State::Committed);
                let decided = told.and(self.decided.remove(package));
                let other = told.zip(decided).filter(|(told, decided)| *told != decided);
                let other = other.map(|(told, decided)| {
                    format!("{package} was committed as {told}, but the commit that was decided has digest {decided}")
                });
                illegal.into_iter().chain(other).collect()
            }
            Event::Committing { package, sequence, commit, .. } => self.commits(package, *sequence, commit),
            Event::Failed { package, .. } | Event::Placed { package, .. } => {
                let unknown = !self.states.contains_key(package);
                unknown.then(|| format!("{package} is not known here")).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn go(&mut self, id: &PackageId, from: Option<State>, to: State) -> Option<String> {
        self.moves += 1;
        let word = |state: Option<State>| state.map_or("nowhere", State::as_str);
        let is = self.states.insert(id.clone(), to);
        if is != from {
            return Some(format!("{id} moves from {}, but it is {}", word(from), word(is)));
        }
        (!State::may_move(from, to)).then(|| format!("{id} may not move from {} to {to}", word(from)))
    }

    fn commits(&mut self, id: &PackageId, sequence: u64, text: &str) -> Vec<String> {
        let mut odd = Vec::new();
        let digest = Sha256Hex::of(text.as_bytes());
        let commit = match Commit::parse(text.as_bytes(), id) {
            Ok(commit) => commit,
            Err(e) => return vec![format!("the commit of {id} is none: {e}")],
        };
        let is = self.states.get(id).copied();
        if is != Some(State::Uploading) {
            odd.push(format!(
                "a commit of {id} is decided, but it is {}",
                is.map_or("nowhere", State::as_str)
            ));
        }
        let last = self.sent.get(&commit.sender).cloned().unwrap_or_default();
        let (sender, next) = (&commit.sender, last.sequence + 1);
        if commit.sequence != sequence || sequence != next {
            let number = commit.sequence;
            odd.push(format!(
                "{id} is commit {number} of {sender} (recorded as {sequence}), but {next} comes next"
            ));
        } else if commit.previous != last.previous {
            odd.push(format!(
                "commit {sequence} of {sender} ({id}) names another commit before it than the one recorded"
            ));
        }
        drop(self.decided.insert(id.clone(), digest.clone()));
        let chain = SentChain { sequence, previous: Some(digest), ..SentChain::default() };
        drop(self.sent.insert(commit.sender, chain));
        odd
    }
}
