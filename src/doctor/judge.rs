//! What follows from the facts: words, and lines of configuration. Pure.
use serde::Serialize;

use super::facts::{Answered, Checked, Facts, Noticed, Right, Wire};
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

/// From the cheapest to compute.
const BY_COST: [Checksum; 6] = [
    Checksum::Crc64Nvme,
    Checksum::Crc32C,
    Checksum::Crc32,
    Checksum::Signed,
    Checksum::Sha256,
    Checksum::Md5,
];

/// Clocks further apart than this are said to be wrong; S3 refuses requests at 15 minutes.
const APART: u64 = 5 * 60;

impl Facts {
    fn check(&self, kind: Checksum) -> Option<&Checked> {
        self.checks.get(kind.to_string().as_str())
    }

    /// The cheapest proof that is checked wherever it is sent, and that nobody on the way can forge.
    fn proof(&self) -> Option<Checksum> {
        // Whoever can change bytes can correct a CRC; a digest that is signed cannot be corrected.
        let forgeable = |kind: &Checksum| {
            matches!(kind, Checksum::Crc64Nvme | Checksum::Crc32C | Checksum::Crc32 | Checksum::Md5)
        };
        let good = |kind: &Checksum| {
            (self.wire != Wire::Plain || !forgeable(kind)) && self.check(*kind).is_some_and(Checked::proves)
        };
        BY_COST.into_iter().find(good)
    }

    fn may(&self, right: Right) -> bool {
        self.rights.get(&right).is_some_and(Answered::is_yes)
    }
}

struct Judge {
    findings: Vec<Finding>,
}

impl Judge {
    fn say(&mut self, mark: Mark, what: &str, text: impl Into<String>) {
        self.findings.push(Finding { mark, what: what.into(), text: text.into(), mend: false });
    }

    fn mend(&mut self, what: &str, text: impl Into<String>) {
        self.findings.push(Finding { mark: Mark::No, what: what.into(), text: text.into(), mend: true });
    }

    /// A question with a plain answer.
    fn plain(&mut self, what: &str, answer: &Answered, yes: &str, no: &str) {
        match answer {
            Answered::Yes => self.say(Mark::Ok, what, yes),
            Answered::No(said) => self.say(Mark::No, what, format!("{no} ({said})")),
            Answered::Unknown(why) => self.say(Mark::Unknown, what, why.clone()),
            Answered::NotAsked => {}
        }
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
        let surely = |noticed: &Noticed| matches!(noticed, Noticed::Believed | Noticed::NotTaken(_));
        let fails = facts.check(now).is_some_and(|check| surely(&check.put) || surely(&check.part));
        if fails && (now != Checksum::Signed || facts.proof().is_some()) {
            let what = "store.checksum";
            self.mend(
                what,
                format!("\"{now}\" is configured, and this store does not check it; take the line below"),
            );
        }
    }

    fn parts(&mut self, facts: &Facts) {
        let configured = &facts.configured;
        match facts.most_parts {
            Some(most) if (most as usize) < configured.max_parts => self.mend(
                "store.max_parts",
                format!(
                    "{} is configured, the highest number taken is {most}; take the line below",
                    configured.max_parts
                ),
            ),
            Some(most) => self.say(Mark::Ok, "parts of an upload", format!("{most} at least")),
            None if facts.may(Right::Multipart) && configured.role == Role::Nsc => {
                self.say(
                    Mark::Unknown,
                    "parts of an upload",
                    "no number was taken, none was refused for good",
                );
            }
            None => {}
        }
        match (facts.largest_part, &facts.too_large) {
            (Some(largest), None) => {
                let text = format!("{} as configured is taken", bytesize::ByteSize(largest));
                self.say(Mark::Ok, "store.part_size", text);
            }
            (Some(largest), Some(said)) => self.mend(
                "store.part_size",
                format!(
                    "{} is refused ({said}), {} is taken; take the line below",
                    bytesize::ByteSize(configured.part_size),
                    bytesize::ByteSize(largest)
                ),
            ),
            (None, Some(said)) => {
                self.mend("store.part_size", format!("not even parts of 5 MiB are taken: {said}"))
            }
            (None, None) => {
                if let Some(why) = &facts.unclear_part {
                    self.say(Mark::Unknown, "store.part_size", why.clone());
                }
            }
        }
        self.plain(
            "small parts",
            &facts.small_parts,
            "taken in the middle of an upload",
            "not below its least size, as with S3",
        );
        let no = "refused: not needed, what was sent is remembered on this side";
        self.plain("list of an upload's parts", &facts.list_parts, "understood; not needed", no);
        match &facts.completed {
            Answered::No(said) => {
                let text = format!("files larger than store.part_size cannot be sent here: {said}");
                self.mend("completion of an upload", text);
            }
            other => self.plain("completion of an upload", other, "taken", ""),
        }
        let yes = "taken again: an answer that was lost costs nothing";
        let no =
            "refused: after a lost answer it is not known whether the object is there, so it is sent again";
        self.plain("completion repeated", &facts.completed_again, yes, no);
    }

    fn only_new(&mut self, facts: &Facts) {
        let what = "put only if new";
        let no = "not held: two senders could replace each other's objects; each package has a place of its own, so keep to one sender";
        match (&facts.only_new, facts.winners) {
            (Answered::Yes, Some(1)) => self.say(Mark::Ok, what, "held, also by eight writers at once"),
            (Answered::Yes, Some(winners)) => {
                self.say(
                    Mark::No,
                    what,
                    format!("held one after the other, but of eight writers at once {winners} won: {no}"),
                );
            }
            (Answered::Yes, None) => {
                self.say(Mark::Unknown, what, "held one after the other; the race broke off")
            }
            (other, _) => self.plain(what, other, "", no),
        }
        if facts.configured.conditional && facts.only_new != Answered::NotAsked && !facts.conditional() {
            self.mend(
                "store.conditional",
                "true is configured, and this store does not hold it; take the line below",
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
        if !facts.left.is_empty() {
            let (count, some) =
                (facts.left.len(), facts.left.iter().take(3).cloned().collect::<Vec<_>>().join(", "));
            let text = format!(
                "{count} object(s) stay in the bucket, because this key may not remove them: {some}…"
            );
            self.say(Mark::No, "left behind", text);
        }
    }
}

impl Facts {
    fn conditional(&self) -> bool {
        self.only_new.is_yes() && self.winners == Some(1)
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.checks.is_empty() {
            lines.push(format!("checksum = \"{}\"", self.proof().unwrap_or_default()));
        }
        if self.only_new != Answered::NotAsked {
            lines.push(format!("conditional = {}", self.conditional()));
        }
        if let Some(most) = self.most_parts {
            lines.push(format!("max_parts = {most}"));
        }
        if let (Some(largest), Some(_)) = (self.largest_part, &self.too_large) {
            lines.push(format!("part_size = \"{} MiB\"", largest >> 20));
        }
        lines
    }
}

/// What follows from the facts.
pub fn judge(facts: Facts) -> Report {
    let mut judge = Judge { findings: Vec::new() };
    let server = facts.server.as_deref().map_or(String::new(), |server| format!(" ({server})"));
    let exit = match &facts.trouble {
        Some(trouble) => {
            judge.mend("the store", trouble.why.clone());
            if facts.ahead.is_some_and(|ahead| ahead.unsigned_abs() > APART) {
                judge.clock(&facts);
            }
            if trouble.passing { 75 } else { 78 }
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
            judge.rest(&facts);
            if judge.findings.iter().any(|finding| finding.mend) { 78 } else { 0 }
        }
    };
    let lines = facts.lines();
    Report { findings: judge.findings, lines, exit, facts }
}
