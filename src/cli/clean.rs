//! `clean`: what rests below `transferred/` as a list to be read, and its removal as somebody confirmed it.
//!
//! There is one writer of the journal. While a daemon runs it is asked, through a file in the state directory, and answers; when none
//! runs this command takes the state directory as a daemon would and does the same work itself.
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::ConfArgs;
use super::exit::{Exit, say};
use super::lookout::{Life, Lookout};
use super::owned;
use crate::chain;
use crate::clock;
use crate::conf::{Conf, NscConf, Side, length_of_time};
use crate::disk::{Disks, OnDisk};
use crate::journal::{self, Fold, Row};
use crate::nsc::cleaning::list::{self, Entry, Proof};
use crate::nsc::cleaning::wish::{Answer, Shelf, Wish};
use crate::nsc::cleaning::{Cleaning, Judged, Receipts, perform};
use crate::nsc::{Tree, uploader};
use crate::package::{Kind, Sha256Hex};
use crate::review::{minute, size};
use crate::stop::{Stop, person};
use crate::supervisor::runtime;

/// Options of `clean`.
#[derive(Args, Debug, Clone)]
pub struct CleanArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// List what was committed longer ago than this, such as 30d; nothing is removed
    #[arg(long, value_parser = length_of_time, value_name = "TIME", required_unless_present = "list")]
    older_than: Option<Duration>,
    /// Only packages of this kind; may be given several times
    #[arg(long, value_name = "KIND", requires = "older_than")]
    kind: Vec<Kind>,
    /// A list that was printed by --older-than: remove exactly this
    #[arg(long, value_name = "FILE", conflicts_with = "older_than", requires_all = ["confirm", "reason"])]
    list: Option<PathBuf>,
    /// The digest in the last line of the list, as a sign that it was read
    #[arg(long, value_name = "DIGEST", requires = "list")]
    confirm: Option<Sha256Hex>,
    /// Why; stands in the journal
    #[arg(long, value_name = "TEXT", requires = "list")]
    reason: Option<String>,
    /// Also what has no receipt, though receipts are configured
    #[arg(long, requires = "list")]
    without_receipt: bool,
    /// Wait this long for the daemon at most
    #[arg(long, default_value = "10min", value_parser = length_of_time, value_name = "TIME")]
    within: Duration,
    /// As JSON
    #[arg(long)]
    json: bool,
}

const LOOK: Duration = Duration::from_millis(300);

/// Lists, or has removed what a list names.
pub fn clean(args: &CleanArgs) -> Result<(), Exit> {
    let conf = args.conf.load()?;
    let Side::Nsc(nsc) = &conf.side else {
        return Err(Exit::config("only role nsc has a transferred/ to be cleaned"));
    };
    match (&args.list, args.older_than) {
        (Some(file), _) => remove(args, &conf, nsc, file),
        (None, Some(older_than)) => show(args, &conf, nsc, older_than),
        (None, None) => Err(Exit::config("give --older-than TIME, or --list FILE")), // clap has refused it already
    }
}

fn show(args: &CleanArgs, conf: &Conf, nsc: &NscConf, older_than: Duration) -> Result<(), Exit> {
    let mut fold = Fold::default();
    let read = journal::read(&conf.state_dir, |line| fold.apply(&line));
    let _report = read.map_err(|e| Exit::no(chain(&e)))?;
    let receipts = Receipts::configured(&nsc.cleaning).map_err(|e| Exit::config(chain(&e)))?;
    let (on, mut trouble) = (&OnDisk::alone(), Vec::new());
    let proof = |row: &Row| match receipts.as_ref().map(|receipts| receipts.judge(on, row)) {
        Some(Ok(Judged::Good(_))) => Proof::Receipt,
        _ => Proof::None,
    };
    let (now, kinds) = (clock::now(), args.kind.as_slice());
    let entries = list::list(&fold, older_than, kinds, now, proof);
    // Why a receipt is no good is worth a word: somebody will wonder.
    for entry in entries.iter().filter(|entry| entry.proof == Proof::None) {
        let Some((receipts, row)) = receipts.as_ref().zip(fold.package(&entry.package)) else { continue };
        match receipts.judge(on, row) {
            Ok(Judged::Bad(why)) => trouble.push(format!("{}: {why}", entry.package)),
            Err(e) => trouble.push(format!("{}: {}", entry.package, chain(&e))),
            Ok(_) => {}
        }
    }
    let (bytes, digest) = (total(&entries), list::digest(&entries));
    if args.json {
        let answer = json!({"at": now, "host": conf.host, "packages": entries, "bytes": bytes, "digest": digest,
            "bad_receipts": trouble});
        return say(format_args!("{answer:#}"));
    }
    let with = entries.iter().filter(|entry| entry.proof == Proof::Receipt).count();
    say(format_args!(
        "# below transferred/ on {}, committed more than {older_than:?} before {}",
        conf.host,
        minute(now)
    ))?;
    say(format_args!("{}", list::to_text(&entries, now).trim_end()))?;
    for why in trouble {
        say(format_args!("# ! its receipt is no good: {why}"))?;
    }
    say(format_args!("# {} package(s), {}; {with} with a receipt", entries.len(), size(bytes)))?;
    say(format_args!("# digest {digest}"))
}

fn total(entries: &[Entry]) -> u64 {
    entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.bytes))
}

/// The list as it was confirmed.
fn confirmed(args: &CleanArgs, file: &PathBuf) -> Result<Vec<Entry>, Exit> {
    let wrong = |why: String| Exit::config(format!("{}: {why}", file.display()));
    let length = std::fs::metadata(file).map_err(|e| wrong(e.to_string()))?.len();
    if length > list::MAX_BYTES {
        return Err(wrong(format!("it has {length} bytes: that is no list")));
    }
    let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
    let entries = list::parse(&text).map_err(wrong)?;
    let digest = list::digest(&entries);
    if args.confirm.as_ref() != Some(&digest) {
        return Err(wrong(format!(
            "its digest is {digest}, and something else was confirmed: nothing is removed. Make a new list, read it, and confirm that"
        )));
    }
    if entries.is_empty() {
        return Err(wrong("it names no package".into()));
    }
    Ok(entries)
}

fn remove(args: &CleanArgs, conf: &Conf, nsc: &NscConf, file: &PathBuf) -> Result<(), Exit> {
    let entries = confirmed(args, file)?;
    let reason = args.reason.as_deref().unwrap_or_default().trim().to_owned();
    if reason.is_empty() {
        return Err(Exit::config("--reason is empty: it stands in the journal for those who ask later"));
    }
    let (id, at) = (uuid::Uuid::new_v4().simple().to_string(), clock::now());
    let wish =
        Wish { version: 1, id, by: person(), at, reason, without_receipt: args.without_receipt, entries };
    let signs = Lookout::new(&conf.state_dir).out()?;
    let answer = match signs.life() {
        Life::Runs => asked(args, conf, &wish)?,
        Life::Gone => alone(conf, nsc, &wish)?,
        Life::Unknown => {
            return Err(Exit::temporary(format!(
                "nobody can tell from here whether a daemon works in {}; look at the host that `status` names",
                conf.state_dir.display()
            )));
        }
    };
    tell(args, &wish, &answer)
}

/// Has the daemon do it.
fn asked(args: &CleanArgs, conf: &Conf, wish: &Wish) -> Result<Answer, Exit> {
    let seen = crate::snapshot::Snapshot::read(&conf.state_dir);
    if seen
        .is_some_and(|seen| !seen.actors.is_empty() && seen.actors.iter().all(|a| a.actor != uploader::NAME))
    {
        return Err(Exit::no(format!(
            "the daemon of {} has no {} (--only): ask on the host where that runs, whose journal knows what was sent",
            conf.state_dir.display(),
            uploader::NAME
        )));
    }
    let (shelf, on, begun) = (Shelf::of(&conf.state_dir), &OnDisk::alone(), Instant::now());
    let temporary = |e| Exit::temporary(chain(&e));
    shelf.put(on, wish).map_err(temporary)?;
    let (mut said, all) = (0, wish.entries.len());
    loop {
        let answer = shelf.answered(on, &wish.id).map_err(temporary)?.unwrap_or_default();
        if answer.done {
            shelf.clear(on, &wish.id).map_err(temporary)?;
            return Ok(answer);
        }
        let so_far = answer.cleaned.len() + answer.refused.len();
        if so_far > said && !args.json {
            say(format_args!("{so_far} of {all}"))?;
            said = so_far;
        }
        if begun.elapsed() >= args.within {
            return Err(Exit::no(format!(
                "the daemon has done {so_far} of {all} within {:?}; {} stays, so it goes on as soon as it can: see `status`. Remove the \
                 file if you do not want that any more",
                args.within,
                shelf.wish(&wish.id).display()
            )));
        }
        std::thread::sleep(LOOK);
    }
}

/// Does it here, as the owner of the state directory.
fn alone(conf: &Conf, nsc: &NscConf, wish: &Wish) -> Result<Answer, Exit> {
    if let Some(stop) = Stop::look(&conf.state_dir).map_err(|e| Exit::temporary(chain(&e)))? {
        let file = Stop::path(&conf.state_dir);
        return Err(Exit::forbidden(format!(
            "{} of {stop}: nothing may work here until it is removed",
            file.display()
        )));
    }
    let dir = conf.state_dir.as_path();
    if !dir.join(journal::FILE).is_file() {
        return Err(Exit::config(format!("there is no journal in {}", dir.display())));
    }
    let owner = owned::take(conf)?;
    let journal = owned::journal(conf, &owner)?;
    let disks = Disks::new(1, conf.work.disk_patience, std::sync::Arc::new(|_, _, _| {}));
    let tree_disk = disks.at("transfer", &nsc.transfer.root).map_err(Exit::temporary)?;
    let state_disk = disks.at("state", dir).map_err(Exit::temporary)?;
    let tree = (Tree::new(&nsc.transfer), tree_disk);
    let cleaning = Cleaning::new(journal, &nsc.cleaning, dir, tree, (&disks, state_disk), Duration::MAX)
        .map_err(Exit::config)?;
    let done = runtime().block_on(perform(&cleaning, wish));
    done.map_err(|failure| {
        use crate::supervisor::station::Failure;
        let why = match failure {
            Failure::Outage(why) | Failure::Fatal(why) => why,
            Failure::Unit(blame) => blame.to_string(),
        };
        Exit::temporary(format!(
            "cut off: {why}; what was begun is ended at the next start or by the next `clean`"
        ))
    })
}

/// What became of it.
fn tell(args: &CleanArgs, wish: &Wish, answer: &Answer) -> Result<(), Exit> {
    let bytes = answer.cleaned.values().fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
    if args.json {
        let told = json!({"by": wish.by, "reason": wish.reason, "at": wish.at, "cleaned": answer.cleaned,
            "refused": answer.refused, "bytes": bytes});
        say(format_args!("{told:#}"))?;
    } else {
        for (id, why) in &answer.refused {
            say(format_args!("! not removed: {id}: {why}"))?;
        }
        say(format_args!("{} package(s) removed, {}", answer.cleaned.len(), size(bytes)))?;
    }
    match answer.refused.len() {
        0 => Ok(()),
        n if args.json => Err(Exit { code: 1, why: format!("{n} package(s) were not removed") }),
        n => Err(Exit::no(format!(
            "{n} package(s) were not removed; make a new list of them when that is seen to"
        ))),
    }
}
