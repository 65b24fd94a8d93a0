//! What the records of both sides say together, and how anybody checks it. Pure.
use serde::{Deserialize, Serialize};

use super::{Custody, FORMAT, Record};
use crate::package::{Commit, MANIFEST, PackageId, Sha256Hex, State};
use crate::signature::{NAMESPACE, fingerprint};

/// How sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// Two records, or a record and bytes, say the same.
    Fits,
    /// They do not.
    Contradicts,
    /// Nobody here can tell.
    Unknown,
}

impl Mark {
    /// As it stands before a line.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Fits => "ok",
            Self::Contradicts => "!",
            Self::Unknown => "?",
        }
    }
}

/// One thing that fits, or does not, or is not known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// How sure.
    pub mark: Mark,
    /// In words.
    pub text: String,
}

/// One claim, and the command that checks it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// What is claimed.
    pub claim: String,
    /// Exits with 0 if it is so. To be run where the evidence lies, unless it begins with another directory.
    pub command: String,
}

/// What was found beside the records when somebody asked.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// `SHA256SUMS`, and where it was found.
    pub manifest: Option<(Vec<u8>, String)>,
    /// `COMMIT` where no record keeps it, and where it was found.
    pub commit: Option<(Vec<u8>, String)>,
    /// `COMMIT.sig` likewise.
    pub signature: Option<(Vec<u8>, String)>,
    /// The directory of the package, if it is there.
    pub place: Option<String>,
    /// Lines of an `allowed_signers` file that list the key of the signature for the sender, and which file that is.
    pub allowed: Option<(Vec<String>, String)>,
    /// The signature is right, over these bytes, by who may sign; or why not. None: nobody could look.
    pub signed: Option<Result<(), String>>,
    /// What was looked for in vain, in words.
    pub missing: Vec<String>,
}

struct Findings(Vec<Finding>);

impl Findings {
    fn say(&mut self, mark: Mark, text: impl Into<String>) {
        self.0.push(Finding { mark, text: text.into() });
    }

    /// Two values of one thing, as two witnesses have it.
    fn same<T: PartialEq + std::fmt::Display>(
        &mut self,
        what: &str,
        one: (&str, Option<&T>),
        other: (&str, Option<&T>),
    ) {
        match (one.1, other.1) {
            (Some(a), Some(b)) if a == b => {
                self.say(Mark::Fits, format!("{what}: {} and {} say {a}", one.0, other.0))
            }
            (Some(a), Some(b)) => {
                self.say(Mark::Contradicts, format!("{what}: {} says {a}, {} says {b}", one.0, other.0))
            }
            (None, None) => {}
            (Some(_), None) => self.say(Mark::Unknown, format!("{what}: {} has none on record", other.0)),
            (None, Some(_)) => self.say(Mark::Unknown, format!("{what}: {} has none on record", one.0)),
        }
    }
}

/// Puts the records together. `sides` in the order of flow.
pub fn judge(package: &PackageId, sides: Vec<Record>, found: &Found) -> Custody {
    let mut f = Findings(Vec::new());
    let side = |name: &str| sides.iter().find(|record| record.side == name);
    for record in &sides {
        chain(&mut f, record);
    }
    match (side("nsc"), side("tsd")) {
        (Some(nsc), Some(tsd)) => both(&mut f, nsc, tsd),
        (Some(_), None) => f.say(
            Mark::Unknown,
            "what became of it at the receiving side is not known here: give its `custody --json`, or its journal, with --with",
        ),
        (None, Some(_)) => f.say(
            Mark::Unknown,
            "where it came from is not known here beyond its COMMIT: give the sending side's `custody --json`, or its journal, with --with",
        ),
        (None, None) => f.say(Mark::Unknown, "which side wrote this is not on record"),
    }
    if let Some(nsc) = side("nsc") {
        origin(&mut f, nsc);
    }
    let commit_sha256 = sides.iter().find_map(|record| record.commit_sha256.as_ref());
    let manifest_sha256 = sides.iter().find_map(|record| record.manifest_sha256.as_ref());
    promise(&mut f, package, &sides, found, commit_sha256, manifest_sha256);
    match (&found.manifest, manifest_sha256) {
        (Some((bytes, place)), Some(recorded)) => {
            f.same("SHA256SUMS", (place, Some(&Sha256Hex::of(bytes))), ("the record", Some(recorded)));
        }
        (None, Some(_)) => {
            f.say(Mark::Unknown, "SHA256SUMS itself is not to be had here any more; its digest is on record")
        }
        (_, None) => {
            f.say(Mark::Unknown, "no digest of SHA256SUMS is on record: it was stopped before that was known")
        }
    }
    if let Some(tsd) = side("tsd") {
        end(&mut f, tsd, found);
    }
    found.missing.iter().for_each(|what| f.say(Mark::Unknown, what.clone()));
    let checks = checks(&sides, found);
    Custody { custody: FORMAT, package: package.clone(), sides, findings: f.0, checks }
}

fn chain(f: &mut Findings, record: &Record) {
    let (side, journal) = (&record.side, &record.journal);
    if journal.exported {
        let text = format!(
            "{side}: told by an export; whether its journal is whole that side says itself (head {}). Its journal, given with --with, is checked here",
            journal.head
        );
        return f.say(Mark::Unknown, text);
    }
    match journal.faults.first() {
        None => f.say(Mark::Fits, format!("{side}: its journal is whole up to its head, {}", journal.head)),
        Some(fault) => {
            let more = journal.faults.len();
            f.say(
                Mark::Contradicts,
                format!("{side}: its journal is damaged ({more} fault(s); {fault}): see `journal verify`"),
            );
        }
    }
}

fn both(f: &mut Findings, nsc: &Record, tsd: &Record) {
    let (here, there) = ("nsc", "tsd");
    f.same("COMMIT", (here, nsc.commit_sha256.as_ref()), (there, tsd.commit_sha256.as_ref()));
    f.same("SHA256SUMS", (here, nsc.manifest_sha256.as_ref()), (there, tsd.manifest_sha256.as_ref()));
    f.same("place in the sender's chain", (here, nsc.sent_as.as_ref()), (there, tsd.sent_as.as_ref()));
    f.same("files", (here, nsc.files.as_ref()), (there, tsd.files.as_ref()));
    f.same("bytes", (here, nsc.bytes.as_ref()), (there, tsd.bytes.as_ref()));
    let texts = nsc.commit.as_ref().zip(tsd.commit.as_ref());
    if texts.is_some_and(|(a, b)| a != b) {
        f.say(Mark::Contradicts, "the bytes of COMMIT are not the same on both sides");
    }
}

fn origin(f: &mut Findings, nsc: &Record) {
    let listed = nsc.delivered.iter().filter(|file| file.md5.is_some()).count();
    match (&nsc.order, nsc.delivered.len()) {
        (Some(order), 0) => f.say(Mark::Fits, format!("made for order {} from what the LIMS said; no delivered file is in it", order.id)),
        (Some(_), all) if listed == all => {
            f.say(Mark::Fits, format!("all {all} delivered file(s) have the md5 of the delivery on record; it was compared with the bytes while they were sent"));
        }
        (Some(_), all) => {
            let text = format!("of {all} delivered file(s) {} have no md5 in the delivery's list: what lay there when the order was made was taken", all - listed);
            f.say(Mark::Unknown, text);
        }
        (None, _) => f.say(Mark::Unknown, "it was put into the transfer tree by somebody else: where its files come from is not on record here"),
    }
}

/// `COMMIT` and its signature.
fn promise(
    f: &mut Findings,
    package: &PackageId,
    sides: &[Record],
    found: &Found,
    commit_sha256: Option<&Sha256Hex>,
    manifest_sha256: Option<&Sha256Hex>,
) {
    let Some((bytes, place)) = commit(sides, found) else {
        let text = match commit_sha256 {
            Some(_) => "the bytes of COMMIT are not to be had here; their digest is on record",
            None => "no COMMIT is on record",
        };
        return f.say(Mark::Unknown, text);
    };
    f.same("the bytes of COMMIT", (&place, Some(&Sha256Hex::of(&bytes))), ("the record", commit_sha256));
    match Commit::parse(&bytes, package) {
        Err(e) => f.say(Mark::Contradicts, format!("COMMIT cannot be believed: {e}")),
        Ok(commit) => {
            f.same(
                "the SHA256SUMS that it promises",
                ("COMMIT", Some(&commit.manifest_sha256)),
                ("the record", manifest_sha256),
            );
            let sender = &commit.sender;
            let key = signature(sides, found).and_then(|(bytes, _)| fingerprint(&bytes));
            match (&found.signed, key) {
                (Some(Ok(())), Some(key)) => {
                    f.say(Mark::Fits, format!("COMMIT is signed by {key}, who may sign for {}", sender.name));
                }
                (Some(Err(why)), _) => f.say(Mark::Contradicts, format!("the signature of COMMIT: {why}")),
                (None, Some(key)) => {
                    f.say(
                        Mark::Unknown,
                        format!(
                            "COMMIT is signed by {key}; who may sign for {} nobody here says",
                            sender.name
                        ),
                    );
                }
                (_, None) => f.say(Mark::Unknown, "no signature of COMMIT is on record here"),
            }
        }
    }
}

fn end(f: &mut Findings, tsd: &Record, found: &Found) {
    match (tsd.state, &found.place) {
        (State::Ready, Some(place)) => {
            f.say(
                Mark::Fits,
                format!("handed over, and it still lies at {place}: its files can be checked there"),
            );
        }
        (State::Ready, None) => f.say(
            Mark::Unknown,
            "handed over, and taken away by its consumer since: what it holds there now is not known here",
        ),
        (state, _) => f.say(Mark::Contradicts, format!("it was not handed over: it is {state}")),
    }
}

/// The bytes of `COMMIT`, and who has them.
pub(super) fn commit(sides: &[Record], found: &Found) -> Option<(Vec<u8>, String)> {
    let kept = sides
        .iter()
        .find_map(|r| Some((r.commit.as_ref()?.as_bytes().to_vec(), format!("the journal of {}", r.side))));
    kept.or_else(|| found.commit.clone())
}

/// The bytes of `COMMIT.sig`, and who has them. The receiver's first: those it has believed.
pub(super) fn signature(sides: &[Record], found: &Found) -> Option<(Vec<u8>, String)> {
    let kept =
        |r: &Record| Some((r.signature.as_ref()?.as_bytes().to_vec(), format!("the journal of {}", r.side)));
    sides.iter().rev().find_map(kept).or_else(|| found.signature.clone())
}

/// What stands between single quotes for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The commands, for somebody who has the evidence in front of him.
pub fn checks(sides: &[Record], found: &Found) -> Vec<Check> {
    let mut all = Vec::new();
    let mut check = |claim: &str, command: String| all.push(Check { claim: claim.to_owned(), command });
    let sender =
        sides.iter().find_map(|record| record.sent_as.as_ref()?.split('/').next().map(str::to_owned));
    let commit = commit(sides, found);
    if commit.is_some() || found.manifest.is_some() {
        check(
            "COMMIT and SHA256SUMS have the digests that are on record",
            "sha256sum -c --strict DIGESTS".into(),
        );
    }
    if let Some(manifest) =
        sides.iter().find_map(|record| record.manifest_sha256.as_ref()).filter(|_| commit.is_some())
    {
        check(
            "COMMIT promises exactly this SHA256SUMS",
            format!("grep -q '\"manifest_sha256\": *\"{manifest}\"' COMMIT"),
        );
    }
    if let (Some(sender), Some(_), Some(_)) = (sender, &commit, signature(sides, found)) {
        check(
            "COMMIT was signed by the sender (allowed_signers must come from somebody you trust: compare its key)",
            format!(
                "ssh-keygen -Y verify -f allowed_signers -I {} -n {NAMESPACE} -s COMMIT.sig < COMMIT",
                quoted(&sender)
            ),
        );
    }
    if let Some(place) = &found.place {
        let place = quoted(place);
        check(
            "the package has the SHA256SUMS that was committed",
            format!("cmp {place}/{MANIFEST} {MANIFEST}"),
        );
        check(
            "every file of the package is as it was sent",
            format!("cd {place} && sha256sum -c --strict {MANIFEST}"),
        );
    }
    for file in sides.iter().flat_map(|record| &record.delivered) {
        if let Some(md5) = &file.md5 {
            let path = quoted(&file.from.display().to_string());
            check(
                &format!("{} is what the sequencing centre delivered", file.to),
                format!("echo {md5}'  '{path} | md5sum -c --strict"),
            );
        }
    }
    for record in sides {
        let numbers: Vec<String> = lines(record).map(|(number, _)| format!("{number}p")).collect();
        let (journal, side) = (quoted(&record.journal.path.display().to_string()), &record.side);
        check(
            &format!("these are lines of the journal of {side} (where that journal is)"),
            format!("sed -n '{}' {journal} | cmp - journal-{side}.jsonl", numbers.join(";")),
        );
    }
    all
}

/// The lines of a record with their numbers.
pub(super) fn lines(record: &Record) -> impl Iterator<Item = (u64, &str)> {
    #[derive(Deserialize)]
    struct Numbered {
        seq: u64,
    }
    record
        .lines
        .iter()
        .filter_map(|text| Some((serde_json::from_str::<Numbered>(text).ok()?.seq, text.as_str())))
}
