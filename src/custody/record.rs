//! A journal → what it says about one package.
use std::collections::BTreeSet;
use std::path::Path;

use super::{Delivered, Entry, Ledger, Ordered, Record};
use crate::journal::{Event, Facts, JournalError, Line, Phase, Proof, prove};
use crate::package::{Content, Draft, Order, OrderId, PackageId, Sha256Hex, State};

/// All packages that a journal knows.
pub fn packages(journal: &Path) -> Result<BTreeSet<PackageId>, JournalError> {
    let mut known = BTreeSet::new();
    let _proof = prove(journal, &[], |line, _| match line.event {
        Event::Ordered { order } => known.extend(order.packages.into_iter().map(|draft| draft.id)),
        Event::Moved { package, from: None, .. } => drop(known.insert(package)),
        _ => {}
    })?;
    Ok(known)
}

/// What a journal says about a package; none: nothing.
pub fn read(journal: &Path, id: &PackageId) -> Result<Option<Record>, JournalError> {
    let mut told = Told::new(id);
    let proof = prove(journal, &[], |line, text| told.take(&line, text))?;
    Ok(told.record(journal, &proof))
}

/// What was read so far.
pub struct Told {
    id: PackageId,
    side: String,
    host: String,
    state: Option<State>,
    events: Vec<Entry>,
    order: Option<(OrderId, Ordered)>,
    delivered: Vec<Delivered>,
    facts: Facts,
    lines: Vec<String>,
    /// The last start of a daemon, which is told only if it did something to the package.
    start: Option<String>,
}

impl Told {
    /// Nothing so far.
    pub fn new(id: &PackageId) -> Self {
        Self {
            id: id.clone(),
            side: "unknown".into(),
            host: "?".into(),
            state: None,
            events: Vec::new(),
            order: None,
            delivered: Vec::new(),
            facts: Facts::default(),
            lines: Vec::new(),
            start: None,
        }
    }

    /// Takes a line; `text`: its bytes.
    pub fn take(&mut self, line: &Line, text: &str) {
        let (by, what) = match &line.event {
            Event::Started { role, host, .. } => {
                (self.side, self.host) = (role.clone(), host.clone());
                self.start = Some(text.to_owned());
                return;
            }
            Event::Ordered { order } => match order.packages.iter().find(|draft| draft.id == self.id) {
                Some(draft) => ("poller", self.ordered(order, draft)),
                None => return,
            },
            Event::Claim { order, phase, step, detail, .. } if self.is_of(order) => {
                ("packager", self.claim(*phase, step.as_deref(), detail.as_deref()))
            }
            Event::Moved { package, to, by, facts, .. } if *package == self.id => {
                (by.as_str(), self.moved(*to, facts))
            }
            Event::Failed { package, by, failures, error, .. } if *package == self.id => {
                (by.as_str(), format!("attempt {failures} failed: {error}"))
            }
            Event::Committing { package, sequence, commit, .. } if *package == self.id => {
                let digest = Sha256Hex::of(commit.as_bytes());
                self.facts.commit = Some(commit.clone());
                ("uploader", format!("the bytes of COMMIT were decided: number {sequence}, SHA-256 {digest}"))
            }
            Event::Placed { package, place } if *package == self.id => {
                self.facts.place = Some(place.clone());
                ("verifier", format!("put in place: {place}"))
            }
            Event::Acted(acted) if acted.act.package() == Some(&self.id) => {
                (acted.by.as_str(), format!("{}: {}", acted.act, acted.why))
            }
            _ => return,
        };
        self.lines.extend(self.start.take());
        self.lines.push(text.to_owned());
        let (by, host) = (by.to_owned(), self.host.clone());
        self.events.push(Entry { line: line.seq, at: line.at, host, by, what });
    }

    fn is_of(&self, order: &OrderId) -> bool {
        self.order.as_ref().is_some_and(|(id, _)| id == order)
    }

    fn ordered(&mut self, order: &Order, draft: &Draft) -> String {
        self.state = Some(State::Found);
        let ordered = Ordered { id: order.id.to_string(), artifacts: order.artifacts.clone(), step: None };
        self.order = Some((order.id.clone(), ordered));
        let Content::Sample { files, .. } = &draft.content else {
            return format!("order {} was read: an analysis, made of what the LIMS says", order.id);
        };
        self.delivered = files
            .iter()
            .map(|f| Delivered {
                from: f.from.clone(),
                to: f.to.to_string(),
                md5: f.md5.clone(),
                size: f.size,
            })
            .collect();
        format!(
            "order {} was read: {} delivered file(s), each with its md5 where the delivery lists one",
            order.id,
            files.len()
        )
    }

    fn claim(&mut self, phase: Phase, step: Option<&str>, detail: Option<&str>) -> String {
        if let (Some(step), Some((_, ordered))) = (step, &mut self.order) {
            ordered.step = Some(step.to_owned());
        }
        let step =
            self.order.as_ref().and_then(|(_, ordered)| ordered.step.as_deref()).unwrap_or("(not known yet)");
        let detail = detail.map_or(String::new(), |detail| format!(": {detail}"));
        match phase {
            Phase::Ordered => format!("the order waits{detail}"),
            Phase::Intent => format!("about to open a step in the LIMS{detail}"),
            Phase::Opened => format!("LIMS step {step} is open in our name{detail}"),
            Phase::Completed => format!("LIMS step {step} was completed: called exported{detail}"),
            Phase::Withdrawn | Phase::Failed | Phase::Review | Phase::Flagged => {
                format!("LIMS step {step}: {phase}{detail}")
            }
        }
    }

    fn moved(&mut self, to: State, facts: &Facts) -> String {
        self.state = Some(to);
        let keep = &mut self.facts;
        macro_rules! learn {
            ($($field:ident),*) => { $( if facts.$field.is_some() { keep.$field.clone_from(&facts.$field); } )* };
        }
        learn!(files, bytes, manifest_sha256, commit_sha256, sent_as, previous, place, commit, signature);
        let place = facts.place.as_ref().map_or(String::new(), |place| format!(": {place}"));
        let detail = facts.detail.as_ref().map_or(String::new(), |detail| format!(" ({detail})"));
        let digests = || {
            let told = |what: &str, digest: Option<&Sha256Hex>| digest.map(|d| format!("{what} {d}"));
            let all = [
                facts.sent_as.as_ref().map(|place| format!("as {place}")),
                told("COMMIT has SHA-256", facts.commit_sha256.as_ref()),
                told("SHA256SUMS has SHA-256", facts.manifest_sha256.as_ref()),
                told("the commit before has SHA-256", facts.previous.as_ref()),
                facts.files.zip(facts.bytes).map(|(files, bytes)| format!("{files} file(s), {bytes} bytes")),
            ];
            all.into_iter().flatten().collect::<Vec<_>>().join("; ")
        };
        let what = match to {
            State::Found => "found".to_owned(),
            State::Claimed => "claimed in the LIMS".to_owned(),
            State::Packed => format!("whole in the transfer tree{place}"),
            State::Uploading => "sending began".to_owned(),
            State::Committed => format!("every part acknowledged with our digest, COMMIT put; {}", digests()),
            State::Transferred => format!("rests{place}"),
            State::Seen => format!("COMMIT was read and believed; {}", digests()),
            State::Copying => "copying began".to_owned(),
            State::Copied => format!("copied and fsynced, each file with the digest of SHA256SUMS{place}"),
            State::Verified => format!("every byte was read back from the disk and compared; {}", digests()),
            State::Ready => format!("handed over{place}"),
            State::Duplicate => format!("nothing to do; {}", digests()),
            State::Elsewhere => format!("another host of the zone has it; {}", digests()),
            State::SettledElsewhere => "another host of the zone has brought it to its end".to_owned(),
            State::Held => "held".to_owned(),
            State::Quarantined => {
                format!(
                    "STOPPED: {}; {}",
                    facts.reason.map_or("no reason on record", |r| r.code()),
                    digests()
                )
            }
        };
        format!("{}{detail}", what.trim_end_matches(['.', ';', ' ']))
    }

    /// All of it.
    pub fn record(self, journal: &Path, proof: &Proof) -> Option<Record> {
        let named = proof.faults.iter().map(|fault| format!("line {}: {}", fault.line, fault.what)).collect();
        let path = std::path::absolute(journal).unwrap_or_else(|_| journal.to_owned());
        let journal = Ledger { path, head: proof.head.clone(), faults: named, exported: false };
        let Facts {
            files,
            bytes,
            manifest_sha256,
            commit_sha256,
            sent_as,
            previous,
            place,
            commit,
            signature,
            ..
        } = self.facts;
        Some(Record {
            side: self.side,
            journal,
            state: self.state?,
            events: self.events,
            order: self.order.map(|(_, ordered)| ordered),
            delivered: self.delivered,
            files,
            bytes,
            manifest_sha256,
            commit_sha256,
            sent_as,
            previous,
            commit,
            signature,
            place,
            lines: self.lines,
        })
    }
}
