//! A directory that can be handed on: everything by which the claims are checked, and how.
use std::fmt::Write as _;
use std::path::Path;

use super::judge::{commit, lines, signature};
use super::{Custody, Found};
use crate::fs::{self, FsError, Mode};
use crate::package::{COMMIT, COMMIT_SIG, MANIFEST, Sha256Hex};

/// The file that tells how.
pub const README: &str = "README.md";

/// The files, by name.
pub type Evidence = Vec<(String, Vec<u8>)>;

/// What is to be written. Bytes that are not those on record are left out: evidence that contradicts itself is said, not handed on.
pub fn files(custody: &Custody, found: &Found) -> Evidence {
    let mut files: Evidence = Vec::new();
    let recorded = |of: fn(&super::Record) -> Option<&Sha256Hex>| custody.sides.iter().find_map(of);
    let mut digests = String::new();
    let named = [
        (
            COMMIT,
            commit(&custody.sides, found).map(|(bytes, _)| bytes),
            recorded(|r| r.commit_sha256.as_ref()),
        ),
        (MANIFEST, found.manifest.clone().map(|(bytes, _)| bytes), recorded(|r| r.manifest_sha256.as_ref())),
    ];
    for (name, bytes, digest) in named {
        if let (Some(bytes), Some(digest)) = (bytes, digest)
            && Sha256Hex::of(&bytes) == *digest
        {
            // Writing into a String cannot fail.
            let _ok = writeln!(digests, "{digest}  {name}");
            files.push((name.to_owned(), bytes));
        }
    }
    if !digests.is_empty() {
        files.push(("DIGESTS".into(), digests.into_bytes()));
    }
    if let Some((bytes, _)) = signature(&custody.sides, found) {
        files.push((COMMIT_SIG.into(), bytes));
    }
    if let Some((allowed, _)) = &found.allowed {
        let text: String = allowed.iter().map(|line| format!("{line}\n")).collect();
        files.push(("allowed_signers".into(), text.into_bytes()));
    }
    for record in &custody.sides {
        let text: String = lines(record).map(|(_, line)| format!("{line}\n")).collect();
        files.push((format!("journal-{}.jsonl", record.side), text.into_bytes()));
    }
    let json = serde_json::to_string_pretty(custody).unwrap_or_default();
    files.push(("custody.json".into(), format!("{json}\n").into_bytes()));
    files.push((README.into(), readme(custody, found, &files).into_bytes()));
    files
}

fn readme(custody: &Custody, found: &Found, files: &Evidence) -> String {
    let there = |name: &str| files.iter().any(|(file, _)| file == name);
    let mut t = format!("# Custody of {}\n\n", custody.package);
    // Writing into a String cannot fail.
    macro_rules! say { ($($arg:tt)*) => { { let _ok = writeln!(t, $($arg)*); } } }
    say!(
        "Each command exits with 0 if its claim holds. They need `sha256sum`, `md5sum`, `ssh-keygen`, `sed`, `grep`, `cmp`, and nothing of tsd-import."
    );
    say!("Run them in this directory. Those that name another directory hold only where that still is.\n");
    for check in &custody.checks {
        say!("{}:\n\n```sh\n{}\n```\n", check.claim, check.command);
    }
    say!("## What lies here\n");
    let (by, none) =
        (|place: Option<&str>| format!("from {}", place.unwrap_or("the record")), "not to be had any more");
    let have = |name: &str, place: Option<&str>| if there(name) { by(place) } else { none.to_owned() };
    say!(
        "- `{COMMIT}`: {}; `{COMMIT_SIG}`: {}; `{MANIFEST}`: {}.",
        have(COMMIT, None),
        have(COMMIT_SIG, None),
        have(MANIFEST, found.manifest.as_ref().map(|(_, place)| place.as_str()))
    );
    match &found.allowed {
        Some((_, place)) => say!(
            "- `allowed_signers`: the line of {place}. A signature proves only that this key made it; that it is the sender's key you must know \
             from elsewhere. `ssh-keygen -l -f` shows its fingerprint."
        ),
        None => say!(
            "- `allowed_signers`: nobody here could say who may sign. Ask the receiving side for its file."
        ),
    }
    say!("- `DIGESTS`: the digests of both as the journal has them.");
    say!("- `custody.json`: all of this, to be read by `tsd-import custody --with`.");
    say!("\n## The journal's lines\n");
    for record in &custody.sides {
        let numbers: Vec<String> = lines(record).map(|(number, _)| number.to_string()).collect();
        let (side, journal) = (&record.side, &record.journal);
        say!("- `journal-{side}.jsonl`: lines {} of {}.", numbers.join(", "), journal.path.display());
        say!(
            "  Its head was {}. **These lines alone do not prove that they are part of that chain**: each line carries the digest of the one \
             before it, so somebody who doubts needs all lines from the first one here to the head. The loop in docs/operations.md \
             (\"journal verify\") prints the head with `sha256sum` alone.",
            journal.head
        );
        if journal.exported {
            say!("  They were told by an export of that side, and not compared with its journal here.");
        }
    }
    say!(
        "  A line of an order may name other samples of the same family: hand this on only to who may see them.\n"
    );
    say!("## What fits, what does not (!), what is not known (?)\n");
    for finding in &custody.findings {
        say!("- {} {}", finding.mark.sign(), finding.text);
    }
    t
}

/// Writes them into a new directory.
pub fn write(dir: &Path, evidence: &Evidence) -> Result<(), FsError> {
    if dir.symlink_metadata().is_ok() {
        return Err(FsError::at("write the evidence into", dir)(std::io::ErrorKind::AlreadyExists.into()));
    }
    fs::create_dir(dir)?;
    fs::set_mode(dir, 0o700)?;
    for (name, bytes) in evidence {
        use std::io::Write as _;
        let path = dir.join(name);
        let mut file = fs::open(&path, Mode::New)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(FsError::at("write", &path))?;
    }
    fs::sync_dir(dir)
}
