//! What is safe is done: as the owner of the state directory, so never beside a daemon, and journalled like everything else.
use std::path::Path;

use super::super::bucket::Bucket;
use super::super::exit::Exit;
use super::super::owned;
use super::Report;
use crate::chain;
use crate::conf::{Conf, TsdConf};
use crate::disk::OnDisk;
use crate::fs;
use crate::journal::{Event, Facts, Journal};
use crate::package::{PackageId, Reason, State};
use crate::reconcile::{Difference, Fix, gather, guard};
use crate::tsd::check::{self, Fault};

/// Who it is in the journal.
const NAME: &str = "reconcile";

struct Fixing<'a> {
    tsd: &'a TsdConf,
    bucket: &'a Bucket,
    journal: Journal,
}

pub(super) fn fix(conf: &Conf, tsd: &TsdConf, bucket: &Bucket, report: &mut Report) -> Result<(), Exit> {
    let (me, owner) = (owned::me(conf), owned::take(conf)?);
    let rebuilding = conf.state_dir.join(guard::REBUILDING);
    if report.lost {
        // Before the first line: cut off in the middle, the journal must not be taken for a whole one.
        fs::write_durably(&rebuilding, b"the journal is being rebuilt by `tsd-import reconcile --fix`\n")
            .map_err(broken)?;
    }
    let journal = owned::journal(conf, &owner)?;
    let fixing = Fixing { tsd, bucket, journal };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    fixing.record(Event::Started { role: me.role, host: me.host, pid: me.pid, version })?;
    let mut whole = true;
    for difference in &report.differences {
        let Some(fix) = &difference.fix else { continue };
        match fixing.perform(difference, fix)? {
            Ok(done) => report.done.push(done),
            Err(why) => {
                whole &=
                    difference.package.as_ref().is_none_or(|id| fixing.journal.view().package(id).is_some());
                report.undone.push(why);
            }
        }
    }
    let (exit, why) = match whole {
        true => (0, format!("{NAME} --fix: {} done, {} not", report.done.len(), report.undone.len())),
        false => (75, format!("{NAME} --fix did not come to its end")),
    };
    if report.lost && whole {
        fs::remove_file(&rebuilding).map_err(broken)?;
        report.done.push("the journal is rebuilt: the daemon may be started".into());
    }
    fixing.record(Event::Stopped { exit, why })?;
    drop(owner);
    Ok(())
}

fn broken(e: impl std::error::Error) -> Exit {
    Exit::temporary(chain(&e))
}

impl Fixing<'_> {
    fn record(&self, event: Event) -> Result<(), Exit> {
        self.bucket.wait(self.journal.record(event)).map_err(|e| broken(&*e))
    }

    fn step(&self, id: &PackageId, from: Option<State>, to: State, facts: Facts) -> Result<bool, Exit> {
        self.bucket.wait(self.journal.step(id, from, to, NAME, facts)).map_err(|e| broken(&*e))
    }

    /// In words, what was done, or why not.
    fn perform(&self, difference: &Difference, fix: &Fix) -> Result<Result<String, String>, Exit> {
        let Some(id) = &difference.package else {
            return Ok(Err(format!("{}: of no package", difference.code)));
        };
        match fix {
            Fix::Adopt { place, facts } => self.adopt(id, place, facts),
            Fix::Stop { reason, detail, facts } => {
                let facts =
                    Facts { reason: Some(*reason), detail: Some(detail.clone()), ..(**facts).clone() };
                let stopped = self.step(id, None, State::Quarantined, facts)?;
                Ok(if stopped { Ok(format!("{id} is stopped ({reason})")) } else { Err(known(id)) })
            }
            Fix::Release => {
                let other = {
                    let view = self.journal.view();
                    let mut ready =
                        view.revisions(&id.kind, &id.name).filter(|row| row.state == State::Ready);
                    ready.next().map(|row| row.id.clone())
                };
                if let Some(other) = other {
                    return Ok(Err(format!(
                        "{id}: {other} was handed over meanwhile; have it sent as a new revision"
                    )));
                }
                let facts =
                    Facts { detail: Some("a person said that it has not landed".into()), ..Facts::default() };
                let moved = self.step(id, Some(State::Quarantined), State::Seen, facts)?;
                Ok(if moved {
                    Ok(format!("{id} is taken up again: the daemon lands it"))
                } else {
                    Err(known(id))
                })
            }
            Fix::Aside { from } => Ok(self.aside(id, from)),
        }
    }

    /// Reads every byte back, and only what that proves is journalled: the way into `Verified` and `Ready` is through the proof.
    fn adopt(&self, id: &PackageId, place: &Path, facts: &Facts) -> Result<Result<String, String>, Exit> {
        let (on, mut bytes) = (OnDisk::alone(), 0u64);
        let read = check::manifest_is(&on, place, facts.manifest_sha256.as_ref())
            .and_then(|()| check::verify(&on, place, Some(id), |n| bytes += n));
        let verified = match read {
            Ok(verified) => verified,
            Err(Fault::Wrong { reason, detail }) => {
                let detail =
                    format!("found in place when the journal was rebuilt, and it is wrong: {detail}");
                let facts = Facts {
                    reason: Some(Reason::LandedBefore),
                    detail: Some(detail.clone()),
                    ..facts.clone()
                };
                let _stopped = self.step(id, None, State::Quarantined, facts)?;
                return Ok(Err(format!(
                    "{id} at {}: {reason}: {detail}; it is stopped (landed-before)",
                    place.display()
                )));
            }
            Err(fault) => return Ok(Err(format!("{id} at {}: {}", place.display(), chain(&fault)))),
        };
        let _lies_there = verified.is_in_place();
        let shown = place.display().to_string();
        let detail = format!("found in place, {bytes} bytes read back");
        if !self.step(id, None, State::Verified, Facts { detail: Some(detail), ..facts.clone() })? {
            return Ok(Err(known(id)));
        }
        self.record(Event::Placed { package: id.clone(), place: shown.clone() })?;
        let facts =
            Facts { place: Some(shown.clone()), detail: Some("as it lay there".into()), ..Facts::default() };
        let _ready = self.step(id, Some(State::Verified), State::Ready, facts)?;
        Ok(Ok(format!("{id} is journalled as landed at {shown}: {bytes} bytes read back, all as committed")))
    }

    /// Nothing is deleted, and nothing in the quarantine area is overwritten.
    fn aside(&self, id: &PackageId, from: &Path) -> Result<String, String> {
        let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let place = self.tsd.landing.get(&id.kind).ok_or_else(|| format!("{id}: its kind has no landing"))?;
        let area = gather::beside(place, ".quarantine");
        for n in 1..100 {
            let to = area.join(format!("{name}.left-behind.{n}"));
            match fs::publish(from, &to) {
                Ok(()) => return Ok(format!("{} is moved to {}", from.display(), to.display())),
                Err(e) if e.source.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(chain(&e)),
            }
        }
        Err(format!("{}: there are too many of it in {} already", from.display(), area.display()))
    }
}

fn known(id: &PackageId) -> String {
    format!("{id}: the journal knows it by now")
}
