//! What tools say of a package in the bucket that know nothing of this program: `ssh-keygen`, `sha256sum`, and `wc` and `stat` beside the
//! numbers of `COMMIT`. Custody must be provable with them alone.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::world::World;

/// Which of them accept a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tools {
    /// `ssh-keygen -Y verify`.
    pub signature: bool,
    /// `sha256sum -c --strict`.
    pub sums: bool,
    /// Digest of `SHA256SUMS`, its number of lines and the bytes of its files are those of `COMMIT`.
    pub promise: bool,
}

/// Where a package's objects lie; in the embedded store they are files.
pub fn objects(world: &World, id: &str) -> PathBuf {
    world.site.dir.join("store/p22-import/tsd-import").join(id)
}

/// Asks all of them about the package whose objects lie in `dir`.
pub fn judged_by_tools(allowed: &Path, dir: &Path) -> Tools {
    Tools { signature: signature_holds(allowed, dir), sums: sums_hold(dir), promise: promise_holds(dir) }
}

pub fn allowed(world: &World) -> PathBuf {
    world.site.dir.join("tsd/secrets/allowed_signers")
}

/// As `docs/format.md` says. The name is the one that the commit gives; one that gives none was sent by nobody.
pub fn signature_holds(allowed: &Path, dir: &Path) -> bool {
    let Some(sender) = commit(dir).and_then(|c| c["sender"].as_str().map(str::to_owned)) else {
        return false;
    };
    let name = sender.split('/').next().unwrap_or_default().to_owned();
    let (signature, text) = (dir.join("COMMIT.sig"), std::fs::File::open(dir.join("COMMIT")).unwrap());
    let mut keygen = Command::new("ssh-keygen");
    let keygen = keygen.args(["-Y", "verify", "-n", "tsd-import", "-I", &name, "-f"]).arg(allowed);
    let keygen = keygen.arg("-s").arg(signature).stdin(text).stdout(Stdio::null()).stderr(Stdio::null());
    keygen.status().unwrap().success()
}

pub fn sums_hold(dir: &Path) -> bool {
    let mut sums = Command::new("sha256sum");
    let sums = sums.args(["-c", "--strict", "--status", "SHA256SUMS"]).current_dir(dir);
    sums.stderr(Stdio::null()).status().unwrap().success()
}

fn promise_holds(dir: &Path) -> bool {
    let Some(commit) = commit(dir) else { return false };
    let first_word = |tool: &str, args: &[&str]| {
        let out = Command::new(tool).args(args).current_dir(dir).stderr(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&out.stdout).split_whitespace().next().map(str::to_owned)
    };
    let digest = first_word("sha256sum", &["SHA256SUMS"]);
    let lines = first_word("wc", &["-l", "SHA256SUMS"]).and_then(|n| n.parse::<u64>().ok());
    let listed = std::fs::read(dir.join("SHA256SUMS")).unwrap_or_default();
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let names = listed.lines().filter_map(|line| line.split_once("  ").map(|(_, name)| name));
    let bytes: Option<u64> = names
        .filter(|name| !name.contains('\0'))
        .map(|name| first_word("stat", &["-c", "%s", "--", name]).and_then(|n| n.parse::<u64>().ok()))
        .sum();
    digest.as_deref().is_some_and(|d| commit["manifest_sha256"] == d)
        && lines.is_some_and(|n| commit["files"] == n)
        && bytes.is_some_and(|n| commit["bytes"] == n)
}

fn commit(dir: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(dir.join("COMMIT")).ok()?).ok()
}

/// What no tool sees, and why it is not theirs to see: the sender itself wrote it so, listed it and signed it. Everything else in the
/// corpus at least one of them rejects.
pub const SEEN_BY_RULES_ALONE: &[(&str, &[&str])] = &[
    ("sha256sum takes lines in any order, and a carriage return before the newline", &["order", "crlf"]),
    (
        "a field that is about neither digest, number nor bytes: no tool knows what it should be",
        &[
            "version-2",
            "version-text",
            "other-package",
            "package-up",
            "other-kind",
            "other-revision",
            "no-sequence",
            "sequence-0",
            "no-previous",
            "odd-previous",
            "no-epoch",
            "soon",
            "no-time",
            "nowhere",
        ],
    ),
    (
        "right sums over a document that does not fit its package",
        &[
            "s-none",
            "s-two",
            "s-not-json",
            "s-deep",
            "s-other-name",
            "s-no-name",
            "s-name-up",
            "s-no-reads",
            "s-read-missing",
            "s-read-up",
            "s-unpaired",
            "s-taqman-missing",
            "s-lane",
            "s-md5",
            "s-odd-md5",
            "s-size",
            "a-none",
            "a-two",
            "a-other-name",
            "a-not-json",
        ],
    ),
];
