//! What everybody on the machine can see of the daemons: the arguments and thread names of each, and of what it starts.
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::world::PROGRAM;

/// A look at the list of processes fifty times a second.
pub struct Watched {
    over: Arc<AtomicBool>,
    looker: JoinHandle<BTreeSet<String>>,
}

impl Watched {
    pub fn begin() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = over.clone();
        let looker = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !until.load(Ordering::Relaxed) {
                look(&mut seen);
                std::thread::sleep(Duration::from_millis(20));
            }
            seen
        });
        Self { over, looker }
    }

    /// Everything that was seen, each once.
    pub fn end(self) -> BTreeSet<String> {
        self.over.store(true, Ordering::Relaxed);
        self.looker.join().unwrap()
    }
}

/// Processes come and go meanwhile: one that is gone has nothing to show.
fn look(seen: &mut BTreeSet<String>) {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    for process in entries.filter(|e| e.file_name().to_string_lossy().parse::<u32>().is_ok()) {
        let arguments = words(&process.path());
        // Commands are typed by people, who know what they ask.
        let daemon = |args: &str| args.starts_with(PROGRAM) && args.contains(" run ");
        if daemon(&arguments) || parent(&process.path()).is_some_and(|args| daemon(&args)) {
            seen.insert(arguments);
            for thread in std::fs::read_dir(process.path().join("task")).into_iter().flatten().flatten() {
                seen.extend(std::fs::read_to_string(thread.path().join("comm")));
            }
        }
    }
}

fn words(process: &Path) -> String {
    let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

fn parent(process: &Path) -> Option<String> {
    let status = std::fs::read_to_string(process.join("status")).ok()?;
    let pid = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().to_owned();
    Some(words(&Path::new("/proc").join(pid)))
}
