//! A model of a disk that loses power: what was not fsynced survives or not, each page, each length and each name for itself.
//!
//! It is harsher than real file systems: an fsync of a file says nothing of its name, one of a directory nothing of the files in it, and of a
//! rename the old name may be gone for good before the new one is.
use std::collections::{BTreeMap, BTreeSet};

use super::log::{Call, Step};

const PAGE: u64 = 4096;

type Inode = usize;

/// Something that a power cut may take back, until an fsync that began behind its end.
#[derive(Clone, Debug)]
struct Change {
    /// When the call was over; none: it never was.
    end: Option<usize>,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// Of a directory.
    Name(String, Option<Inode>),
    /// Of a file.
    Bytes(u64, u64),
    Size(u64),
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// Of a directory, as everybody sees it now, and as it surely is on the disk.
    names: BTreeMap<String, Inode>,
    durable_names: BTreeMap<String, Inode>,
    /// Of a file.
    size: u64,
    durable_size: u64,
    durable: Vec<(u64, u64)>,
    pending: Vec<Change>,
}

/// What survives of a change.
pub trait Fate {
    fn name(&self, dir: &str, name: &str) -> bool;
    fn page(&self) -> bool;
    fn size(&self) -> bool;
}

#[derive(Clone)]
pub struct Disk {
    nodes: Vec<Node>,
    root: Inode,
    /// Of the process that runs: file, place, whether it appends.
    open: BTreeMap<u64, (Inode, u64, bool)>,
    opening: BTreeMap<usize, Inode>,
}

impl Disk {
    pub fn new() -> Self {
        Self { nodes: vec![Node::default()], root: 0, open: BTreeMap::new(), opening: BTreeMap::new() }
    }

    /// Another process: what the one before wrote is in the memory of the machine, its descriptors are gone.
    pub fn another_life(&mut self) {
        self.open.clear();
        self.opening.clear();
    }

    fn split(path: &str) -> impl Iterator<Item = &str> {
        path.split('/').filter(|name| !name.is_empty() && *name != ".")
    }

    /// As it is now. What was there before the log began is there, and durable.
    fn find(&mut self, path: &str) -> Inode {
        let mut at = self.root;
        for name in Self::split(path) {
            at = match self.nodes[at].names.get(name) {
                Some(next) => *next,
                None => {
                    let new = self.fresh();
                    let _none = self.nodes[at].names.insert(name.to_owned(), new);
                    let _none = self.nodes[at].durable_names.insert(name.to_owned(), new);
                    new
                }
            };
        }
        at
    }

    fn exists(&self, path: &str) -> bool {
        let mut at = self.root;
        Self::split(path).all(|name| {
            self.nodes[at].names.get(name).is_some_and(|next| {
                at = *next;
                true
            })
        })
    }

    fn fresh(&mut self) -> Inode {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }

    fn name(&mut self, path: &str, to: Option<Inode>, end: Option<usize>) {
        let (dir, name) = path.rsplit_once('/').unwrap();
        let dir = self.find(dir);
        let names = &mut self.nodes[dir].names;
        match to {
            Some(inode) => drop(names.insert(name.to_owned(), inode)),
            None => drop(names.remove(name)),
        }
        self.nodes[dir].pending.push(Change { end, what: What::Name(name.to_owned(), to) });
    }

    fn resize(&mut self, inode: Inode, size: u64, end: Option<usize>) {
        self.nodes[inode].size = size;
        self.nodes[inode].pending.push(Change { end, what: What::Size(size) });
    }

    /// A call begins: from now on others may see what it does, and a power cut may leave it behind.
    pub fn begin(&mut self, step: &Step) {
        let end = step.end;
        match &step.call {
            Call::Open { path, create, truncate, .. } => {
                let inode = if *create && !self.exists(path) {
                    let new = self.fresh();
                    self.name(path, Some(new), end);
                    new
                } else {
                    self.find(path)
                };
                if *truncate {
                    self.nodes[inode].durable.clear(); // whether it reaches the disk or not, those bytes count no more
                    self.nodes[inode].pending.retain(|c| !matches!(c.what, What::Bytes(..)));
                    self.resize(inode, 0, end);
                }
                let _none = self.opening.insert(step.begin, inode);
            }
            Call::Close { fd } => drop(self.open.remove(fd)),
            Call::Write { fd, at, bytes, .. } => {
                let Some((inode, place, append)) = self.open.get(fd).copied() else { return };
                let from = at.unwrap_or(if append { self.nodes[inode].size } else { place });
                let until = from + bytes;
                if at.is_none() {
                    let _old = self.open.insert(*fd, (inode, until, append));
                }
                self.nodes[inode].pending.push(Change { end, what: What::Bytes(from, until) });
                if until > self.nodes[inode].size {
                    self.resize(inode, until, end);
                }
            }
            Call::Allocate { fd, until } | Call::Truncate { fd, size: until } => {
                let Some((inode, ..)) = self.open.get(fd).copied() else { return };
                if *until > self.nodes[inode].size || matches!(step.call, Call::Truncate { .. }) {
                    self.resize(inode, *until, end);
                }
            }
            Call::Sync { .. } => {}
            Call::Mkdir { path } => {
                let new = self.fresh();
                self.name(path, Some(new), end);
            }
            Call::Link { from, to } => {
                let inode = self.find(from);
                self.name(to, Some(inode), end);
            }
            Call::Rename { from, to } => {
                let inode = self.find(from);
                self.name(to, Some(inode), end);
                self.name(from, None, end);
            }
            Call::Remove { path } => self.name(path, None, end),
        }
    }

    /// A call is over.
    pub fn end(&mut self, step: &Step) {
        match &step.call {
            Call::Open { fd: Some(fd), append, .. } => {
                if let Some(inode) = self.opening.remove(&step.begin) {
                    let _old = self.open.insert(*fd, (inode, 0, *append));
                }
            }
            Call::Sync { fd, path } => {
                let Some((inode, ..)) = self.open.get(fd).copied() else { panic!("who opened {path}?") };
                let node = &mut self.nodes[inode];
                let before = |c: &Change| c.end.is_some_and(|end| end < step.begin);
                let (done, still): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut node.pending).into_iter().partition(before);
                node.pending = still;
                for change in done {
                    match change.what {
                        What::Name(name, Some(inode)) => drop(node.durable_names.insert(name, inode)),
                        What::Name(name, None) => drop(node.durable_names.remove(&name)),
                        What::Bytes(from, until) => node.durable.push((from, until)),
                        What::Size(size) => node.durable_size = size,
                    }
                }
            }
            _ => {}
        }
    }

    fn names_after(&self, inode: Inode, path: &str, fate: &dyn Fate) -> BTreeMap<String, Inode> {
        let mut names = self.nodes[inode].durable_names.clone();
        for change in &self.nodes[inode].pending {
            let What::Name(name, to) = &change.what else { continue };
            if fate.name(path, name) {
                match to {
                    Some(inode) => drop(names.insert(name.clone(), *inode)),
                    None => drop(names.remove(name)),
                }
            }
        }
        names
    }

    /// Whether the file is whole behind a power cut: its length, and every byte.
    fn whole_after(&self, inode: Inode, size: u64, fate: &dyn Fate) -> bool {
        let node = &self.nodes[inode];
        let mut length = node.durable_size;
        let mut ranges = node.durable.clone();
        for change in &node.pending {
            match change.what {
                What::Size(size) if fate.size() => length = size,
                What::Bytes(from, until) => {
                    let pages = (from / PAGE..until.div_ceil(PAGE)).filter(|_| fate.page());
                    ranges
                        .extend(pages.map(|page| ((page * PAGE).max(from), ((page + 1) * PAGE).min(until))));
                }
                _ => {}
            }
        }
        ranges.sort_unstable();
        let covered =
            ranges.into_iter().fold(0, |at, (from, until)| if from <= at { at.max(until) } else { at });
        length == size && covered >= size
    }

    /// What is wrong with the directory at `path` behind a power cut, if READY is in it then: each of `files`, with its size, must be whole.
    pub fn lies_after(
        &self,
        path: &str,
        files: &BTreeMap<String, u64>,
        fate: &dyn Fate,
    ) -> Option<Vec<String>> {
        let ready = self.resolve(&format!("{path}/READY"), fate)?;
        let mut lies = Vec::new();
        for (name, size) in files {
            match self.resolve(&format!("{path}/{name}"), fate) {
                None => lies.push(format!("{name} is not there")),
                Some(inode) if !self.whole_after(inode, *size, fate) => {
                    lies.push(format!("{name} is not whole"))
                }
                Some(inode) => assert_ne!(inode, ready),
            }
        }
        Some(lies)
    }

    fn resolve(&self, path: &str, fate: &dyn Fate) -> Option<Inode> {
        let (mut at, mut dir) = (self.root, String::new());
        for name in Self::split(path) {
            at = *self.names_after(at, &dir, fate).get(name)?;
            dir = format!("{dir}/{name}");
        }
        Some(at)
    }

    /// Whether all these files below `path` are there, and whole, whatever happens.
    pub fn surely_holds(&self, path: &str, files: &BTreeMap<String, u64>) -> Vec<String> {
        let missing = |(name, size): (&String, &u64)| {
            let found = self.resolve(&format!("{path}/{name}"), &Nothing);
            let whole = found.is_some_and(|inode| self.whole_after(inode, *size, &Nothing));
            (!whole).then(|| name.clone())
        };
        files.iter().filter_map(missing).collect()
    }

    /// Whether anybody could see READY at one of these places now.
    pub fn any_ready(&self, places: &BTreeSet<String>) -> bool {
        places.iter().any(|place| self.exists(&format!("{place}/READY")))
    }
}

/// Nothing survives that was not fsynced.
pub struct Nothing;

impl Fate for Nothing {
    fn name(&self, _: &str, _: &str) -> bool {
        false
    }
    fn page(&self) -> bool {
        false
    }
    fn size(&self) -> bool {
        false
    }
}

/// READY and the way to it survive, and nothing else: the worst that can happen to a reader.
pub struct Worst<'a>(pub &'a BTreeSet<String>);

impl Fate for Worst<'_> {
    fn name(&self, dir: &str, name: &str) -> bool {
        name == "READY" || self.0.contains(&format!("{dir}/{name}"))
    }
    fn page(&self) -> bool {
        false
    }
    fn size(&self) -> bool {
        false
    }
}
