//! `custody PACKAGE`: who had it, when, with which digests, and how anybody checks that without us.
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;

use super::bucket::Bucket;
use super::exit::{Exit, say};
use super::{ConfArgs, journal as journal_cli};
use crate::chain;
use crate::conf::{Conf, Side};
use crate::custody::{self, Custody, Found, Record};
use crate::journal::{self, Line};
use crate::package::{
    COMMIT, COMMIT_SIG, MANIFEST, MAX_COMMIT_BYTES, MAX_MANIFEST_BYTES, PackageId, Sha256Hex,
};
use crate::signature::{self, AllowedSigners, Signer};

/// Options of `custody`.
#[derive(Args, Debug, Clone)]
pub struct CustodyArgs {
    /// kind/name/rN, kind/name, a name, the beginning or a part of one
    package: String,
    #[command(flatten)]
    conf: ConfArgs,
    /// The other side's record: what this command printed there with --json, or a copy of its journal
    #[arg(long, value_name = "FILE")]
    with: Option<PathBuf>,
    /// Also write everything by which it is checked into this new directory
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    /// As JSON, which --with reads on the other side
    #[arg(long)]
    json: bool,
}

/// An export is read whole; the largest order has some 100 KiB.
const MOST: u64 = 64 << 20;

/// Tells it. Exit code 1 if records contradict each other or it was not handed over; 78 if there is nothing to read.
pub fn custody(args: &CustodyArgs) -> Result<(), Exit> {
    let conf = args.conf.load()?;
    let path = conf.state_dir.join(journal::FILE);
    if !path.is_file() {
        return Err(Exit::config(format!("there is no journal {}", path.display())));
    }
    let id = which(&args.package, &path)?;
    let own = custody::read(&path, &id).map_err(|e| Exit::no(chain(&e)))?;
    let own = own.ok_or_else(|| Exit::no(format!("nothing is on record about {id}")))?;
    let mut sides = vec![own];
    if let Some(with) = &args.with {
        sides.extend(other(with, &id, &sides)?);
    }
    sides.sort_by_key(|record| record.side != "nsc");
    let found = look(&conf, &id, &sides);
    let custody = custody::judge(&id, sides, &found);
    if let Some(dir) = &args.evidence {
        custody::write(dir, &custody::files(&custody, &found)).map_err(|e| Exit::config(chain(&e)))?;
    }
    if args.json {
        let text = serde_json::to_string_pretty(&custody)
            .map_err(|e| Exit::no(format!("could not write JSON: {e}")))?;
        say(format_args!("{text}"))?;
    } else {
        say(format_args!("{}", custody.to_text().trim_end()))?;
        if let Some(dir) = &args.evidence {
            say(format_args!("\nevidence: {}", dir.join(custody::README).display()))?;
        }
    }
    if custody.contradicts() { Err(Exit { code: 1, why: String::new() }) } else { Ok(()) }
}

fn which(wanted: &str, journal: &Path) -> Result<PackageId, Exit> {
    let known = custody::packages(journal).map_err(|e| Exit::no(chain(&e)))?;
    match &custody::pick(wanted, &known)[..] {
        [] => Err(Exit::no(format!("no package of {} has {wanted:?} in its name", journal.display()))),
        [one] => Ok((*one).clone()),
        many => {
            let shown: Vec<String> = many.iter().take(20).map(ToString::to_string).collect();
            let more = many.len().saturating_sub(shown.len());
            let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
            Err(Exit::no(format!(
                "{wanted:?} may be each of these; say which:\n  {}{more}",
                shown.join("\n  ")
            )))
        }
    }
}

/// What the other side says: from its journal, which is proven here, or from what it exported.
fn other(path: &Path, id: &PackageId, own: &[Record]) -> Result<Vec<Record>, Exit> {
    let no = |why: String| Exit::no(format!("--with {}: {why}", path.display()));
    let path = &journal_cli::file(path.to_owned());
    let file = std::fs::File::open(path).map_err(|e| no(e.to_string()))?;
    let size = file.metadata().map_err(|e| no(e.to_string()))?.len();
    let mut first = String::new();
    let mut reader = BufReader::new(std::io::Read::take(file, MOST));
    let _bytes = reader.read_line(&mut first).map_err(|e| no(e.to_string()))?;
    let records = if serde_json::from_str::<Line>(&first).is_ok() {
        custody::read(path, id).map_err(|e| no(chain(&e)))?.into_iter().collect::<Vec<_>>()
    } else {
        if size > MOST {
            return Err(no(format!("it has {size} bytes and is no journal")));
        }
        let bytes = std::fs::read(path).map_err(|e| no(e.to_string()))?;
        let told: Custody = serde_json::from_slice(&bytes)
            .map_err(|e| no(format!("it is neither a journal nor what `custody --json` prints: {e}")))?;
        if told.custody != custody::FORMAT {
            return Err(no(format!(
                "it has format {}; this program knows {}",
                told.custody,
                custody::FORMAT
            )));
        }
        if told.package != *id {
            return Err(no(format!("it is about {}, not about {id}", told.package)));
        }
        told.sides
            .into_iter()
            .map(|mut record| {
                record.journal.exported = true;
                record
            })
            .collect()
    };
    let (mine, others): (Vec<Record>, Vec<Record>) =
        records.into_iter().partition(|record| own.iter().any(|own| own.side == record.side));
    if others.is_empty() {
        return Err(no(match mine.first() {
            Some(record) => format!("it is of this side ({}), too", record.side),
            None => format!("it says nothing about {id}"),
        }));
    }
    Ok(others)
}

/// What can be had here besides the records: the package itself, who may sign, and at the receiver what the bucket still holds.
fn look(conf: &Conf, id: &PackageId, sides: &[Record]) -> Found {
    let mut found = Found::default();
    let own = match conf.side {
        Side::Nsc(_) => "nsc",
        Side::Tsd(_) => "tsd",
    };
    let own = sides.iter().find(|record| record.side == own);
    if let Some(place) = own.and_then(|record| record.place.clone()) {
        let manifest = Path::new(&place).join(MANIFEST);
        match std::fs::read(&manifest) {
            Ok(bytes) => {
                found.manifest = Some((bytes, manifest.display().to_string()));
                found.place = Some(place);
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                found.missing.push(format!("the package is not at {place} any more"));
            }
            Err(e) => found.missing.push(format!("{}: {e}", manifest.display())),
        }
    }
    if matches!(conf.side, Side::Tsd(_)) {
        from_the_bucket(conf, id, sides, &mut found);
    }
    let signed = sides.iter().rev().find_map(|r| r.signature.as_ref().map(|s| s.as_bytes().to_vec()));
    let signed = signed.or_else(|| found.signature.clone().map(|(bytes, _)| bytes));
    let commit = sides.iter().find_map(|r| r.commit.as_ref().map(|c| c.as_bytes().to_vec()));
    let commit = commit.or_else(|| found.commit.clone().map(|(bytes, _)| bytes));
    let sender = sides.iter().find_map(|r| r.sent_as.as_ref()?.split('/').next().map(str::to_owned));
    if let (Some(signed), Some(commit), Some(sender)) = (signed, commit, sender) {
        who_may_sign(conf, &sender, &commit, &signed, &mut found);
    }
    found
}

/// What no record keeps and the bucket may still hold. Bytes of other digests than recorded are no evidence.
fn from_the_bucket(conf: &Conf, id: &PackageId, sides: &[Record], found: &mut Found) {
    let has = |of: fn(&Record) -> bool| sides.iter().any(of);
    let digest = |of: fn(&Record) -> Option<&Sha256Hex>| sides.iter().find_map(of).cloned();
    let mut wanted: Vec<(&str, u64, Option<Sha256Hex>)> = Vec::new();
    if !has(|r| r.commit.is_some()) {
        wanted.push((COMMIT, MAX_COMMIT_BYTES, digest(|r| r.commit_sha256.as_ref())));
    }
    if !has(|r| r.signature.is_some()) {
        wanted.push((COMMIT_SIG, signature::MAX_BYTES, None));
    }
    if found.manifest.is_none() {
        wanted.push((MANIFEST, MAX_MANIFEST_BYTES as u64, digest(|r| r.manifest_sha256.as_ref())));
    }
    if wanted.is_empty() {
        return;
    }
    let bucket = match Bucket::open(conf) {
        Ok(bucket) => bucket,
        Err(e) => return found.missing.push(format!("the bucket was not asked: {}", e.why)),
    };
    for (name, max, digest) in wanted {
        let key = bucket.store.key(id, name);
        let bytes = match bucket.get(&key, max) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                found.missing.push(format!("{name} is not in the bucket any more"));
                continue;
            }
            Err(e) => {
                return found.missing.push(format!("the bucket does not tell of {name}: {}", chain(&e)));
            }
        };
        if digest.is_some_and(|digest| digest != Sha256Hex::of(&bytes)) {
            found.missing.push(format!("{name} in the bucket is another one than the one on record"));
            continue;
        }
        let place = Some((bytes, format!("the bucket ({key})")));
        match name {
            COMMIT => found.commit = place,
            COMMIT_SIG => found.signature = place,
            _ => found.manifest = place,
        }
    }
}

fn who_may_sign(conf: &Conf, sender: &str, commit: &[u8], signed: &[u8], found: &mut Found) {
    match &conf.side {
        Side::Tsd(tsd) => {
            let Some(path) = &tsd.allowed_signers else {
                return found
                    .missing
                    .push("no signers.allowed_file is configured: nobody says who may sign".into());
            };
            match AllowedSigners::from_file(path) {
                Ok(allowed) => {
                    found.signed = Some(allowed.verify(sender, commit, signed).map_err(|e| chain(&e)));
                }
                Err(e) => return found.missing.push(chain(&e)),
            }
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<String> =
                AllowedSigners::lines(&text, path, sender, signed).into_iter().map(str::to_owned).collect();
            if !lines.is_empty() {
                found.allowed = Some((lines, path.display().to_string()));
            }
        }
        Side::Nsc(nsc) => {
            let Some(path) = &nsc.signing_key else { return };
            match Signer::from_file(path).and_then(|signer| signer.allowed_line(sender)) {
                Ok(line) => {
                    let allowed = AllowedSigners::parse(&line, path);
                    let signed = allowed.and_then(|allowed| allowed.verify(sender, commit, signed));
                    found.signed = Some(
                        signed.map_err(|e| format!("not by the key that signs here now: {}", chain(&e))),
                    );
                    found.allowed = Some((
                        vec![line],
                        format!(
                            "this side's own key ({}); compare it with the receiver's file",
                            path.display()
                        ),
                    ));
                }
                Err(e) => found.missing.push(chain(&e)),
            }
        }
    }
}
