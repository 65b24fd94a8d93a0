//! The lines of one package, found without understanding the others.
use std::collections::{BTreeSet, VecDeque};
use std::io::Read;
use std::path::Path;

use memchr::memmem::Finder;

use super::checkpoint;
use super::event::{Event, Line};
use super::file::{FILE, JournalError, MAX_LINE};
use crate::fs::FsError;
use crate::package::{OrderId, PackageId};

/// A package that failed for years must not fill the memory: of more lines than this the first and the last are kept.
const MOST: usize = 1000;
const BLOCK: usize = 1 << 20;

/// What a journal has about one package.
#[derive(Debug, Default)]
pub struct About {
    /// Its lines, in order.
    pub lines: Vec<Line>,
    /// So many in the middle are not among them.
    pub left_out: usize,
}

/// Finds the lines about a package, and about its order's way through the LIMS, with the actors that failed while they had it in hand.
/// A line that cannot be understood is left out: whether the journal is whole is for `journal verify` to say.
pub fn about(dir: &Path, id: &PackageId, order: Option<&OrderId>) -> Result<About, JournalError> {
    let path = dir.join(FILE);
    let Some(journal) = checkpoint::open(&path)? else { return Ok(About::default()) };
    let failed = |what| FsError::at(what, &path);
    let length = journal.metadata().map_err(failed("look at"))?.len();
    let mut reader = journal.take(length);
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default().into_bytes();
    let mut needles = vec![Finder::new(&quoted(&id.to_string())).into_owned()];
    if let Some(order) = order {
        let field = [b"\"order\":".to_vec(), quoted(&order.0)].concat();
        needles.push(Finder::new(&field).into_owned());
    }
    let mut search = Search { id, order, first: Vec::new(), last: VecDeque::new(), left_out: 0 };
    let (mut buffer, mut filled) = (vec![0u8; BLOCK], 0usize);
    loop {
        if filled == buffer.len() {
            if filled as u64 > MAX_LINE {
                return Ok(search.about()); // no line is so long: what follows is damage
            }
            buffer.resize(filled + BLOCK, 0);
        }
        let room = buffer.get_mut(filled..).unwrap_or_default();
        let n = reader.read(room).map_err(failed("read the journal"))?;
        if n == 0 {
            return Ok(search.about());
        }
        filled += n;
        let held = buffer.get(..filled).unwrap_or_default();
        let Some(end) = memchr::memrchr(b'\n', held).map(|at| at + 1) else { continue };
        search.take(held.get(..end).unwrap_or_default(), &needles);
        buffer.copy_within(end..filled, 0);
        filled -= end;
    }
}

struct Search<'a> {
    id: &'a PackageId,
    order: Option<&'a OrderId>,
    first: Vec<Line>,
    last: VecDeque<Line>,
    left_out: usize,
}

impl Search<'_> {
    /// Whole lines.
    fn take(&mut self, block: &[u8], needles: &[Finder<'_>]) {
        let begins = |at: usize| {
            let before = block.get(..at).unwrap_or_default();
            memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1)
        };
        let hits = needles.iter().flat_map(|needle| needle.find_iter(block));
        let starts: BTreeSet<usize> = hits.map(begins).collect();
        for start in starts {
            let rest = block.get(start..).unwrap_or_default();
            let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
            if let Ok(line) = serde_json::from_slice::<Line>(line)
                && self.concerns(&line.event)
            {
                self.keep(line);
            }
        }
    }

    fn keep(&mut self, line: Line) {
        if self.first.len() < MOST / 2 {
            return self.first.push(line);
        }
        self.last.push_back(line);
        if self.last.len() > MOST / 2 {
            drop(self.last.pop_front());
            self.left_out += 1;
        }
    }

    fn concerns(&self, event: &Event) -> bool {
        let is = |package: &PackageId| package == self.id;
        match event {
            Event::Moved { package, .. }
            | Event::Failed { package, .. }
            | Event::Committing { package, .. }
            | Event::Placed { package, .. }
            | Event::Cleaned { package, .. } => is(package),
            Event::Acted(acted) => acted.act.package().is_some_and(is),
            Event::Ordered { order } => order.packages.iter().any(|draft| is(&draft.id)),
            Event::Claim { order, .. } | Event::OrderFailed { order, .. } => self.order == Some(order),
            Event::Incident(incident) => {
                let id = self.id.to_string();
                incident.in_hand.contains(&id)
            }
            _ => false,
        }
    }

    fn about(self) -> About {
        let lines = self.first.into_iter().chain(self.last).collect();
        About { lines, left_out: self.left_out }
    }
}
