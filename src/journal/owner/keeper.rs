//! The thread that renews: reads the owner file, makes sure that it is ours, and writes that we live.
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::file::{Content, OwnerFile, Record};
use crate::chain;
use crate::clock;
use crate::fs::FsError;
use crate::lease::{Fenced, Lease, Moment, Trouble};

/// At the end a renewal that is under way gets this long; a disk that hangs must not hold up the end.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Keeper {
    thread: JoinHandle<()>,
}

impl Keeper {
    pub(super) fn start(file: OwnerFile, record: Record, lease: Lease) -> Result<Self, FsError> {
        let path = file.path().to_owned();
        let pause = record.lease() / 6;
        let keep = move || {
            let (mut record, mut failed) = (record, false);
            while lease.await_turn(pause) {
                let began = Moment::now();
                let outcome = renew(&file, &mut record);
                match &outcome {
                    Err(Trouble::Disk(why)) if !failed => {
                        tracing::error!(why, "could not renew the lease; if that lasts, the process ends");
                    }
                    Ok(()) if failed => tracing::info!("the lease is renewed again"),
                    _ => {}
                }
                failed = matches!(outcome, Err(Trouble::Disk(_)));
                lease.settle(began, outcome);
            }
        };
        let spawned = thread::Builder::new().name("lease".into()).spawn(keep);
        Ok(Self { thread: spawned.map_err(FsError::at("start the thread of", &path))? })
    }

    /// Ends the lease and waits for a renewal under way. `Err` says why the owner file must be left alone.
    pub(super) fn stop(&self, lease: &Lease) -> Result<(), String> {
        let begun = clock::since_boot();
        lease.release().map_err(|fenced| fenced.to_string())?;
        while !self.thread.is_finished() {
            if clock::since_boot().saturating_sub(begun) > PATIENCE {
                return Err("its last renewal does not come back: the disk hangs".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

fn renew(file: &OwnerFile, record: &mut Record) -> Result<(), Trouble> {
    let disk = |e: FsError| Trouble::Disk(chain(&e));
    let path = || file.path().to_owned();
    match OwnerFile::read(file.path()).map_err(disk)? {
        Content::Record(found, _) if found.token == record.token => {}
        Content::Record(found, _) => {
            return Err(Trouble::Fenced(Fenced::TakenOver { path: path(), by: found.holder.to_string() }));
        }
        Content::Absent | Content::Unreadable(_) => {
            return Err(Trouble::Fenced(Fenced::Lost { path: path() }));
        }
    }
    (record.renewals, record.renewed) = (record.renewals + 1, clock::now());
    match file.write(record).map_err(disk)? {
        true => Ok(()),
        // Replaced this moment, or by a host whose change our cache of names does not show yet.
        false => Err(Trouble::Fenced(Fenced::Lost { path: path() })),
    }
}
