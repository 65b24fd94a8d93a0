//! Cleaning: packages leave `transferred/` when it is proven that they arrived, or when a person who has read the list wants it.
//!
//! - By policy (`cleaning.after`) only with a good receipt ([`proof`]); without `cleaning.receipts` nothing ever leaves by itself.
//! - A person's confirmed list comes as a [`wish`]; what has changed since it was listed stays and is named.
//! - Either way the package must still be what was sent ([`contents`]): journalled → looked at → renamed into `.cleaning/` → looked at
//!   once more, where nobody finds it by its name any more → removed, only what its manifest names → journalled. A crash anywhere in
//!   between is gone on with, and nothing lies in `.cleaning/` that the journal does not know.
//! - The delivery keeps its own names of the files: what goes are hard links.
mod contents;
pub mod list;
mod policy;
pub mod proof;
pub mod wish;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use contents::{Expected, Extent, Unfit};
use list::Proof;
pub use policy::{Resting, Stock};
pub use proof::{Judged, Receipts};
use wish::{Answer, Shelf, Wish};

use super::tree::Tree;
use crate::blame::Failure;
use crate::chain;
use crate::clock;
use crate::conf::CleaningConf;
use crate::disk::{Disk, Disks, OnDisk};
use crate::fs::{self, FsError};
use crate::journal::{Cleaned, Event, Journal, Row};
use crate::notices::Notices;
use crate::package::{PackageId, State};

/// So many packages leave in one turn…
const AT_A_TURN: usize = 20;
/// …or as many as go within this time.
const TURN: Duration = Duration::from_secs(20);

/// Why a package may go, for the journal.
#[derive(Clone, Debug)]
struct Ground {
    proof: String,
    by: String,
    why: String,
}

/// All that cleaning needs; clones share.
#[derive(Clone)]
pub struct Cleaning {
    /// The truth.
    pub journal: Journal,
    /// The transfer tree.
    pub tree: Tree,
    /// Who works on what.
    pub disks: Disks,
    /// Of the transfer tree.
    pub tree_disk: Disk,
    /// Of the wishes.
    pub state_disk: Disk,
    /// Wishes lie here.
    pub shelf: Shelf,
    /// Where receipts arrive, and the disk of that.
    pub receipts: Option<(Receipts, Disk)>,
    /// Since its commit, by policy; none: never.
    pub after: Option<Duration>,
    /// Between two looks at the receipts.
    pub every: Duration,
    /// What cannot be cleaned, and why.
    pub notices: Notices,
    /// What rests.
    pub stock: Stock,
    /// Packages that were not what was sent when the policy wanted them to go, and why.
    pub stuck: Arc<Mutex<BTreeMap<PackageId, (Instant, String)>>>,
    /// When the receipts are looked at again.
    pub next: Arc<Mutex<Option<Instant>>>,
}

impl Cleaning {
    /// As configured. `tree` with its disk; the second of `disks`: that of the state directory. Receipts are looked at `every` so often.
    pub fn new(
        journal: Journal,
        conf: &CleaningConf,
        state_dir: &Path,
        (tree, tree_disk): (Tree, Disk),
        (disks, state_disk): (&Disks, Disk),
        every: Duration,
    ) -> Result<Self, String> {
        let receipts = Receipts::configured(conf).map_err(|e| chain(&e))?;
        let receipts = receipts.map(|r| disks.at("receipts", &r.dir).map(|disk| (r, disk))).transpose()?;
        let (shelf, after, disks) = (Shelf::of(state_dir), conf.after, disks.clone());
        let (notices, stock, next, stuck) =
            (Notices::default(), Stock::default(), Arc::default(), Arc::default());
        Ok(Self {
            journal,
            tree,
            disks,
            tree_disk,
            state_disk,
            shelf,
            receipts,
            after,
            every,
            notices,
            stock,
            stuck,
            next,
        })
    }

    /// One turn: what was interrupted, then what a person wants, then what the policy wants.
    pub async fn turn(&self) -> Result<(), Failure> {
        let mut odd = self.resume().await?;
        odd.extend(self.wishes().await?);
        let due = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let due = next.is_none_or(|next| Instant::now() >= next);
            if due {
                *next = Some(Instant::now() + self.every);
            }
            due
        };
        if due {
            odd.extend(self.policy().await?);
            self.notices.replace(odd);
        }
        Ok(())
    }

    /// Ends what an earlier life has begun. What lies in `.cleaning/` and is not ours to remove is said.
    async fn resume(&self) -> Result<BTreeMap<String, String>, Failure> {
        let (area, mut odd) = (self.tree.cleaning(), BTreeMap::new());
        let lies = {
            let area = area.clone();
            self.tree_disk.read(move |on| lying(on, &area)).await??
        };
        let begun: Vec<(PackageId, Cleaned)> = {
            let view = self.journal.view();
            view.cleaning().map(|(id, cleaned)| (id.clone(), cleaned.clone())).collect()
        };
        let known: BTreeSet<String> = begun.iter().map(|(id, _)| flat(id)).collect();
        for name in lies.difference(&known) {
            let why = "nobody has begun to clean it, so it stays: look who put it there";
            drop(odd.insert(area.join(name).display().to_string(), why.into()));
        }
        for (id, Cleaned { bytes, proof, by, why, .. }) in begun {
            let ground = Ground { proof, by, why };
            if lies.contains(&flat(&id)) {
                let hold = self.disks.hold(&id.to_string()).await?;
                let Some(expected) = self.expected(&id) else { continue };
                let dir = area.join(flat(&id));
                let rest = move |on: &OnDisk| {
                    let found = contents::look(on, &dir, &expected, Extent::Rest)?;
                    Ok::<_, Unfit>(contents::remove(on, &dir, &found)?)
                };
                match hold.on(&self.tree_disk, rest).await? {
                    Ok(()) => self.record(&id, true, bytes, &ground).await?,
                    Err(Unfit::Fs(e)) if e.is_outage() || e.fenced().is_some() => return Err(e.into()),
                    Err(Unfit::Fs(e)) => {
                        drop(odd.insert(area.join(flat(&id)).display().to_string(), chain(&e)))
                    }
                    Err(Unfit::Odd(why)) => {
                        let why = format!("its removal was interrupted and cannot be gone on with: {why}");
                        drop(odd.insert(area.join(flat(&id)).display().to_string(), why));
                    }
                }
            } else {
                let (tree, rest) = (self.tree.clone(), self.place(&id));
                let gone = move |on: &OnDisk| is_gone(on, &tree, rest.as_deref());
                // Still in its place: it was not begun, and whoever wanted it decides anew.
                if self.tree_disk.read(gone).await?? {
                    self.record(&id, true, bytes, &ground).await?;
                }
            }
        }
        Ok(odd)
    }

    /// Goes on with what a person wants, as far as a turn goes. Wishes that cannot be read or answered are said, and stop nothing else.
    async fn wishes(&self) -> Result<BTreeMap<String, String>, Failure> {
        let (shelf, now) = (self.shelf.clone(), clock::now());
        let said = |e: FsError| match e.is_outage() || e.fenced().is_some() {
            true => Err(Failure::from(e)),
            false => Ok([("wishes to clean".to_owned(), chain(&e))].into()),
        };
        let (wish, answer) = match self.state_disk.read(move |on| shelf.next(on, now)).await? {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(BTreeMap::new()),
            Err(e) => return said(e),
        };
        let answer = self.grant(&wish, answer).await?;
        let (shelf, id) = (self.shelf.clone(), wish.id);
        let noted = self.state_disk.read(move |on| shelf.note(on, &id, &answer)).await?;
        noted.map_or_else(said, |()| Ok(BTreeMap::new()))
    }

    /// What becomes of a wish in one turn, added to what has become of it so far.
    async fn grant(&self, wish: &Wish, mut answer: Answer) -> Result<Answer, Failure> {
        let begun = Instant::now();
        let left: Vec<_> = wish.entries.iter().filter(|entry| !answer.has(&entry.package)).collect();
        let many = left.len();
        for (n, entry) in left.into_iter().enumerate() {
            if n == AT_A_TURN || n > 0 && begun.elapsed() >= TURN {
                return Ok(answer);
            }
            let id = &entry.package;
            let row = self.journal.view().package(id).cloned();
            let why = format!("{} (wish {})", wish.reason, wish.id);
            // Done by a life that ended before it could say so.
            if let Some(Cleaned { bytes, .. }) =
                row.as_ref().and_then(|row| row.cleaned.as_ref()).filter(|c| c.by == wish.by && c.why == why)
            {
                let _none_before = answer.cleaned.insert(id.clone(), *bytes);
                continue;
            }
            let judged = match &row {
                Some(row) => self.judge(row).await?,
                None => Judged::Missing,
            };
            let (proof, words) = match &judged {
                Judged::Good(words) => (Proof::Receipt, words.clone()),
                Judged::Missing => (Proof::None, "none".to_owned()),
                Judged::Bad(why) => (Proof::None, format!("none: {why}")),
            };
            let lacking = self.receipts.is_some() && proof == Proof::None && !wish.without_receipt;
            let cleaned = match (list::unchanged(entry, row.as_ref(), proof), &judged) {
                (Err(why), _) => Err(why),
                (Ok(()), Judged::Bad(why)) if lacking => Err(format!("its receipt is no good: {why}")),
                (Ok(()), _) if lacking => Err("there is no receipt of it".to_owned()),
                (Ok(()), _) => self.clean(id, Ground { proof: words, by: wish.by.clone(), why }).await?,
            };
            match cleaned {
                Ok(bytes) => {
                    let _none_before = answer.cleaned.insert(id.clone(), bytes);
                }
                Err(why) => {
                    tracing::warn!(package = %id, by = wish.by, why, "not cleaned");
                    drop(answer.refused.insert(id.clone(), why));
                }
            }
        }
        answer.done = true;
        let (cleaned, refused) = (answer.cleaned.len(), answer.refused.len());
        tracing::info!(by = wish.by, reason = wish.reason, many, cleaned, refused, "a wish to clean is done");
        Ok(answer)
    }

    /// What is thought of a package's receipt. A directory of receipts that cannot be read is no reason to stop anything else.
    async fn judge(&self, row: &Row) -> Result<Judged, Failure> {
        let Some((receipts, disk)) = &self.receipts else { return Ok(Judged::Missing) };
        let (receipts, row) = (receipts.clone(), row.clone());
        Ok(match disk.read(move |on| receipts.judge(on, &row)).await {
            Ok(Ok(judged)) => judged,
            Ok(Err(e)) => Judged::Bad(chain(&e)),
            Err(e) => Judged::Bad(e.to_string()),
        })
    }

    /// Removes one package, or says in words why not.
    async fn clean(&self, id: &PackageId, ground: Ground) -> Result<Result<u64, String>, Failure> {
        let hold = self.disks.hold(&id.to_string()).await?;
        let row = self.journal.view().package(id).cloned();
        let Some(row) = row.filter(|row| row.state == State::Transferred && row.cleaned.is_none()) else {
            return Ok(Err("it is not transferred any more".into()));
        };
        let (Some(expected), Some(place)) = (self.expected(id), self.place(id)) else {
            return Ok(Err("the journal does not know what was sent of it".into()));
        };
        let rest = self.tree.transferred(id, row.priority);
        if rest != place {
            return Ok(Err(format!(
                "it lies in {}, and with this configuration it would be {}",
                place.display(),
                rest.display()
            )));
        }
        let (tree, at, of) = (self.tree.clone(), rest.clone(), expected.clone());
        let looked = hold.on(&self.tree_disk, move |on| first_look(on, &tree, &at, &of)).await?;
        if let Err(unfit) = looked {
            return why(unfit);
        }
        let bytes = expected.bytes;
        self.record(id, false, bytes, &ground).await?;
        let (area, aside) = (self.tree.cleaning(), self.tree.cleaning().join(flat(id)));
        let removal = move |on: &OnDisk| remove(on, &area, &rest, &aside, &expected);
        if let Err(unfit) = hold.on(&self.tree_disk, removal).await? {
            return why(unfit);
        }
        self.record(id, true, bytes, &ground).await?;
        Ok(Ok(bytes))
    }

    fn expected(&self, id: &PackageId) -> Option<Expected> {
        let view = self.journal.view();
        let row = view.package(id)?;
        Some(Expected {
            manifest: row.facts.manifest_sha256.clone()?,
            files: row.facts.files?,
            bytes: row.facts.bytes?,
            since: row.since,
            marker: self.tree.marker().to_owned(),
        })
    }

    fn place(&self, id: &PackageId) -> Option<PathBuf> {
        self.journal.view().package(id)?.facts.place.as_ref().map(PathBuf::from)
    }

    async fn record(&self, id: &PackageId, done: bool, bytes: u64, ground: &Ground) -> Result<(), Failure> {
        let Ground { proof, by, why } = ground.clone();
        let event = Event::Cleaned { package: id.clone(), done, bytes, proof, by, why };
        Ok(self.journal.record(event).await?)
    }
}

/// What is wrong with this package alone stays with it; everything else is everybody's.
fn why<T>(unfit: Unfit) -> Result<Result<T, String>, Failure> {
    match unfit {
        Unfit::Odd(why) => Ok(Err(why)),
        Unfit::Fs(e) if e.is_outage() || e.fenced().is_some() => Err(e.into()),
        Unfit::Fs(e) => Ok(Err(chain(&e))),
    }
}

/// `samples~NAME~r1`: kinds must not collide.
fn flat(id: &PackageId) -> String {
    id.to_string().replace('/', "~")
}

fn lying(on: &OnDisk, area: &Path) -> Result<BTreeSet<String>, FsError> {
    let entries = match std::fs::read_dir(area) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.map_err(FsError::at("list", area))?,
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(FsError::at("list", area))?.file_name();
        let _new = names.insert(name.to_string_lossy().into_owned());
        on.moved();
    }
    Ok(names)
}

/// Whether nothing of a package lies in its place any more. An unmounted disk looks like that too.
fn is_gone(on: &OnDisk, tree: &Tree, rest: Option<&Path>) -> Result<bool, FsError> {
    let Some(rest) = rest else { return Ok(false) };
    on.moved();
    if fs::dir_exists(rest)? {
        return Ok(false);
    }
    fs::answers(&tree.scratch())?;
    Ok(true)
}

fn first_look(on: &OnDisk, tree: &Tree, dir: &Path, expected: &Expected) -> Result<(), Unfit> {
    fs::answers(&tree.scratch())?;
    if !fs::dir_exists(dir)? {
        return Err(Unfit::Odd(format!("{} is not there: who took it away?", dir.display())));
    }
    contents::look(on, dir, expected, Extent::Whole).map(drop)
}

/// Takes the package to where nobody looks for it, looks once more whether it is what was sent, and removes it. Late, it has done just
/// that; the journal knows that it was begun.
fn remove(on: &OnDisk, area: &Path, rest: &Path, aside: &Path, expected: &Expected) -> Result<(), Unfit> {
    fs::create_dir(area)?;
    fs::publish(rest, aside)?;
    on.moved();
    match contents::look(on, aside, expected, Extent::Whole) {
        Ok(found) => Ok(contents::remove(on, aside, &found)?),
        Err(unfit) => {
            fs::publish(aside, rest)?;
            Err(unfit)
        }
    }
}

/// All of a wish at once, for whoever owns the journal and has nothing else to do.
pub async fn perform(cleaning: &Cleaning, wish: &Wish) -> Result<Answer, Failure> {
    let _odd = cleaning.resume().await?;
    let mut answer = Answer::default();
    while !answer.done {
        answer = cleaning.grant(wish, answer).await?;
    }
    Ok(answer)
}
