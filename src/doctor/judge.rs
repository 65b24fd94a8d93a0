//! What follows from the facts: words, and lines of configuration. Pure.
use serde::Serialize;

use super::facts::{Answered, Checked, Configured, Facts, Noticed, Right, Wire};
use super::lines::BY_COST;
use crate::conf::{Checksum, Role};
use crate::store::clocks;

/// The answer at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// It works.
    Ok,
    /// It does not.
    No,
    /// Nobody knows.
    Unknown,
}

impl Mark {
    /// As it is printed.
    pub fn sign(self) -> char {
        match self {
            Self::Ok => '●',
            Self::No => '○',
            Self::Unknown => '?',
        }
    }
}

/// One answer, with what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// At a glance.
    pub mark: Mark,
    /// What was asked.
    pub what: String,
    /// The answer in words.
    pub text: String,
    /// Whether somebody must mend something before the daemon can work, or work safely, as configured.
    pub mend: bool,
}

/// All that is said.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// In the order of the questions.
    pub findings: Vec<Finding>,
    /// For the configuration, below `[store]`.
    pub lines: Vec<String>,
    /// 0 good, 75 not reachable, 78 somebody must mend something.
    pub exit: u8,
    /// What it is judged from.
    pub facts: Facts,
}

/// Clocks further apart than this are said to be wrong; S3 refuses requests at 15 minutes.
const APART: u64 = 5 * 60;

pub(super) struct Judge {
    findings: Vec<Finding>,
}

impl Judge {
    pub(super) fn say(&mut self, mark: Mark, what: &str, text: impl Into<String>) {
        self.findings.push(Finding { mark, what: what.into(), text: text.into(), mend: false });
    }

    pub(super) fn mend(&mut self, what: &str, text: impl Into<String>) {
        self.findings.push(Finding { mark: Mark::No, what: what.into(), text: text.into(), mend: true });
    }

    /// A question with a plain answer.
    pub(super) fn plain(&mut self, what: &str, answer: &Answered, yes: &str, no: &str) {
        match answer {
            Answered::Yes => self.say(Mark::Ok, what, yes),
            Answered::No(said) => self.say(Mark::No, what, format!("{no} ({said})")),
            Answered::Unknown(why) => self.say(Mark::Unknown, what, why.clone()),
            Answered::NotAsked => {}
        }
    }

    fn addressing(&mut self, facts: &Facts) {
        let Some(style) = facts.found_with_path_style else { return };
        let Configured { bucket, endpoint, .. } = &facts.configured;
        let how = match style {
            true => "in the path behind it",
            false => "before the name of its host",
        };
        self.mend(
            "store.path_style",
            format!(
                "the bucket is found if {bucket} stands {how} ({endpoint}), and not as configured: take the line below and run doctor again"
            ),
        );
    }

    fn clock(&mut self, facts: &Facts) {
        match facts.ahead {
            None => self.say(Mark::Unknown, "clock", "its answers have no date"),
            Some(ahead) if ahead.unsigned_abs() > APART => {
                self.mend(
                    "clock",
                    format!("{}; correct the clock, at 15 min all requests are refused", clocks(ahead)),
                );
            }
            Some(ahead) => self.say(Mark::Ok, "clock", clocks(ahead)),
        }
    }

    fn rights(&mut self, facts: &Facts) {
        let (wanted, why): (&[Right], &str) = match facts.configured.role {
            Role::Nsc => (&[Right::Put, Right::Multipart], "sending needs it"),
            Role::Tsd => (&[Right::List, Right::Get], "receiving needs it"),
        };
        for (right, answer) in &facts.rights {
            let what = format!("right to {}", right.word());
            match (answer, wanted.contains(right)) {
                (Answered::Yes, true) => self.say(Mark::Ok, &what, "granted"),
                (Answered::No(said), true) => {
                    self.mend(&what, format!("refused ({said}); {why}: have this key granted it"));
                }
                (Answered::Yes, false) if *right == Right::Abort => {
                    self.say(Mark::Ok, &what, "granted: unfinished uploads are given up by us");
                }
                (Answered::Yes, false) => {
                    self.say(Mark::Ok, &what, "granted; more than this side needs, so it could be taken from this key");
                }
                (Answered::No(said), false) if *right == Right::Abort => self.say(
                    Mark::No,
                    &what,
                    format!("refused ({said}): unfinished uploads stay until the store's operator removes them; let the \
                             bucket drop incomplete uploads after a week"),
                ),
                (Answered::No(_), false) => self.say(Mark::No, &what, "refused, and not needed here"),
                (Answered::Unknown(why), _) => self.say(Mark::Unknown, &what, why.clone()),
                (Answered::NotAsked, _) => {}
            }
        }
    }

    fn sums(&mut self, facts: &Facts) {
        for kind in BY_COST {
            let Some(check) = facts.check(kind) else { continue };
            let what = format!("changed bytes under {kind}");
            let of = |noticed: &Noticed| match noticed {
                Noticed::Refused => "refused".to_owned(),
                Noticed::Believed => "stored without a word".to_owned(),
                Noticed::NotTaken(said) => format!("not usable ({said})"),
                Noticed::Unknown(why) => format!("unknown ({why})"),
            };
            let echo = if check.echoed { "; its answers repeat the value" } else { "" };
            let unknown = |n: &Noticed| matches!(n, Noticed::Unknown(_));
            let mark = match check.proves() {
                true => Mark::Ok,
                false if unknown(&check.put) || unknown(&check.part) => Mark::Unknown,
                false => Mark::No,
            };
            let text = match (of(&check.put), of(&check.part)) {
                (put, part) if put == part => format!("{put}, of whole objects and of parts{echo}"),
                (put, part) => format!("of whole objects {put}, of parts {part}{echo}"),
            };
            self.say(mark, &what, text);
        }
        let now = facts.configured.checksum;
        match facts.proof() {
            _ if facts.checks.is_empty() => {}
            None if facts.unclear_proof() => self.say(
                Mark::Unknown,
                "bytes on the wire",
                "no kind of proof was seen to be checked, and not all could be examined (the lines above): run doctor again",
            ),
            None => self.say(
                Mark::No,
                "bytes on the wire",
                "nothing that is sent is checked by this store: bytes that change on the way are noticed only by our own \
                 digests, on the receiving side",
            ),
            Some(best) => {
                let why = match facts.wire {
                    Wire::Plain => "; the way is not encrypted, so only what the signature covers counts",
                    Wire::Tls | Wire::Loopback => "",
                };
                self.say(Mark::Ok, "bytes on the wire", format!("cheapest proof that is checked everywhere: {best}{why}"));
            }
        }
        if facts.check(now).is_some_and(Checked::fails)
            && (now != Checksum::Signed || facts.proof().is_some())
        {
            let what = "store.checksum";
            self.mend(
                what,
                format!("\"{now}\" is configured, and this store does not check it; take the line below"),
            );
        }
    }

    fn rest(&mut self, facts: &Facts) {
        let tsd = facts.configured.role == Role::Tsd;
        match &facts.ranges {
            Answered::No(said) if tsd => {
                self.mend(
                    "ranges",
                    format!("not honoured ({said}): a broken transfer could not go on where it was"),
                );
            }
            other => self.plain("ranges", other, "honoured", "not honoured"),
        }
        let no = "not told of: a commit is seen when the bucket is looked through every watch.interval";
        self.plain("notifications", &facts.notifications, "commits are looked at as they come", no);
        let no = "refused: packages with names and paths so long cannot be sent here";
        self.plain("keys of 500 bytes", &facts.long_key, "taken", no);
        match &facts.odd_key {
            Answered::No(said) => {
                let text = format!("refused ({said}): packages with such names cannot be sent here");
                self.mend("keys with odd characters", text);
            }
            other => self.plain("keys with odd characters", other, "taken", ""),
        }
        for (what, measured) in [("sending", &facts.up), ("receiving", &facts.down)] {
            let Some(best) = measured.iter().map(|(_, rate)| *rate).max() else { continue };
            let shown: Vec<String> = measured
                .iter()
                .map(|(n, rate)| format!("{n} in flight {}/s", bytesize::ByteSize(*rate)))
                .collect();
            let enough = measured.iter().find(|(_, rate)| *rate >= best / 10 * 9).map_or(1, |(n, _)| *n);
            let mark = if best == 0 { Mark::Unknown } else { Mark::Ok };
            self.say(mark, what, format!("{}; {enough} in flight are enough", shown.join(", ")));
        }
        self.left(facts);
    }

    fn left(&mut self, facts: &Facts) {
        if !facts.left.is_empty() {
            let (count, some) =
                (facts.left.len(), facts.left.iter().take(3).cloned().collect::<Vec<_>>().join(", "));
            let why = match facts.rights.get(&Right::Delete) {
                Some(Answered::No(_)) => "this key may not remove them",
                _ => "they could not be removed now",
            };
            let text = format!("{count} object(s) stay in the bucket, because {why}: {some}…");
            self.say(Mark::No, "left behind", text);
        }
    }
}

/// What follows from the facts.
pub fn judge(facts: Facts) -> Report {
    let mut judge = Judge { findings: Vec::new() };
    let server = facts.server.as_deref().map_or(String::new(), |server| format!(" ({server})"));
    let exit = match &facts.trouble {
        Some(trouble) => {
            judge.mend("the store", trouble.why.clone());
            judge.addressing(&facts);
            judge.left(&facts);
            if facts.ahead.is_some_and(|ahead| ahead.unsigned_abs() > APART) {
                judge.clock(&facts);
            }
            if trouble.passing && facts.found_with_path_style.is_none() { 75 } else { 78 }
        }
        None => {
            judge.say(
                Mark::Ok,
                "the store",
                format!("{}{server} answers and takes this key", facts.configured.endpoint),
            );
            judge.clock(&facts);
            judge.rights(&facts);
            judge.sums(&facts);
            judge.parts(&facts);
            judge.only_new(&facts);
            judge.sharing(&facts);
            judge.rest(&facts);
            if judge.findings.iter().any(|finding| finding.mend) { 78 } else { 0 }
        }
    };
    let lines = facts.lines();
    Report { findings: judge.findings, lines, exit, facts }
}
