//! `journal verify`: is the journal what was written, from its first line to its last?
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::ConfArgs;
use super::exit::{Exit, say};
use crate::chain;
use crate::journal::{self, Head, Proof};

/// Options of `journal verify`.
#[derive(Args, Debug, Clone)]
pub struct VerifyArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// This journal (or the one in this state directory) instead of the configured site's
    #[arg(long, value_name = "FILE|DIR")]
    journal: Option<PathBuf>,
    /// A head that was noted earlier, as this command prints it: the journal must still have that line. May be repeated
    #[arg(long, value_name = "LINE:DIGEST")]
    head: Vec<Head>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// The file that is meant: a journal, or the one in a state directory.
pub(super) fn file(path: PathBuf) -> PathBuf {
    if path.is_dir() { path.join(journal::FILE) } else { path }
}

/// Proves the chain. Exit code 1 if something is wrong; 78 if there is nothing to read.
pub fn verify(args: &VerifyArgs) -> Result<(), Exit> {
    let path = match &args.journal {
        Some(path) => file(path.clone()),
        None => args.conf.load()?.state_dir.join(journal::FILE),
    };
    if !path.is_file() {
        return Err(Exit::config(format!("there is no journal {}", path.display())));
    }
    let proof = journal::prove(&path, &args.head, |_, _| {}).map_err(|e| Exit::no(chain(&e)))?;
    if args.json {
        let text = json!({"journal": path, "holds": proof.holds(), "proof": proof, "remedy": remedy(&proof)});
        say(format_args!("{text:#}"))?;
    } else {
        say(format_args!("{}", text(&path, &proof, &args.head).trim_end()))?;
    }
    if proof.holds() { Ok(()) } else { Err(Exit { code: 1, why: String::new() }) }
}

/// What a person does about it; none if nothing is to be done.
fn remedy(proof: &Proof) -> Option<&'static str> {
    let codes: Vec<&str> = proof.faults.iter().map(|fault| fault.code).collect();
    if codes.is_empty() {
        return None;
    }
    Some(if codes.iter().all(|code| *code == "illegal") {
        "the lines are as they were written, and what they say cannot be: a fault of the program, or of another one that wrote here. \
         Keep a copy of the state directory and report it"
    } else if codes.contains(&"version") && codes.iter().all(|code| *code == "version") {
        "written by a newer release: verify it with that one"
    } else {
        "nothing was changed by this command. Copy the state directory away before anything else, find out who or what wrote to it, and \
         compare with a backup (`cmp`): lines in front of the first one named are as they were written. Do not edit the journal; a daemon \
         does not start on it. If no backup is whole, see `reconcile` (docs/operations.md, \"A lost journal\")"
    })
}

fn text(path: &std::path::Path, proof: &Proof, heads: &[Head]) -> String {
    let time = |at: Option<jiff::Timestamp>| at.map_or("never".to_owned(), |at| at.to_string());
    let mut t = format!(
        "{}: {} lines, from {} to {}\n",
        path.display(),
        proof.lines,
        time(proof.first),
        time(proof.last)
    );
    if proof.holds() {
        t += "ok    chain: each line has its number and the digest of the line before it\n";
        t += &format!("ok    moves: {} of {} packages, each a legal one\n", proof.moves, proof.packages);
        for (sender, last) in &proof.sent {
            t += &format!("ok    commits: 1 to {last} of {sender}, each naming the one before it\n");
        }
        for head in heads {
            t += &format!("ok    line {} is the one that was noted\n", head.line);
        }
    }
    if proof.torn > 0 {
        t += &format!(
            "note  {} bytes behind the last line have no end: they are being written at this moment, or a crash cut them off. They count for \
             nothing; the next start sets them aside\n",
            proof.torn
        );
    }
    if let [first, ..] = &proof.clock_went_back[..] {
        t += &format!(
            "note  the clock went back {} time(s), first at line {first}\n",
            proof.clock_went_back.len()
        );
    }
    for fault in &proof.faults {
        t += &format!("! line {}: {}: {}\n", fault.line, fault.code, fault.what);
    }
    if proof.more_faults > 0 {
        t += &format!("! and {} more\n", proof.more_faults);
    }
    if let Some(remedy) = remedy(proof) {
        if proof.replayed_until < proof.lines {
            t += &format!("  behind line {} nothing that is said was believed\n", proof.replayed_until);
        }
        t += &format!("  what to do: {remedy}\n");
    }
    t += &format!("head  {}\n", proof.head);
    if proof.holds() && heads.is_empty() {
        t += "      Nothing in a journal proves its last line, or that it was not written anew as a whole. Note this head elsewhere (another \
              host, a letter); `journal verify --head` proves later that everything up to it is still the same\n";
    }
    t
}
