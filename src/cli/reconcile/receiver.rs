//! The receiver: gathers the facts, has them judged, has what is safe done.
use std::collections::BTreeSet;

use super::super::bucket::Bucket;
use super::super::exit::Exit;
use super::{ReconcileArgs, Report, fixing};
use crate::chain;
use crate::conf::{Conf, TsdConf};
use crate::disk::OnDisk;
use crate::journal::{self, Fold, Owner};
use crate::package::{COMMIT, COMMIT_SIG, Commit, MAX_COMMIT_BYTES, PackageId, Reason};
use crate::reconcile::landing::{Known, Promise, Said, World, judge};
use crate::reconcile::{gather, guard};
use crate::signature::{self, AllowedSigners};
use crate::store::StoreError;
use crate::tsd::border;

pub(super) fn reconcile(conf: &Conf, tsd: &TsdConf, args: &ReconcileArgs) -> Result<Report, Exit> {
    let on = &OnDisk::alone();
    let running = Owner::look(&conf.state_dir).is_some();
    if args.fix && running {
        return Err(Exit::temporary(format!(
            "a daemon works on {}: stop it first (`tsd-import drain --keep`), then --fix",
            conf.state_dir.display()
        )));
    }
    let bucket = Bucket::open(conf)?;
    let promised = listed(&bucket)?;
    let mut world = World { running, ..World::default() };
    gather::disks(on, &tsd.landing, &mut world).map_err(|e| Exit::temporary(chain(&e)))?;
    // Last: what a daemon did meanwhile is in there.
    let mut fold = Fold::default();
    let read = journal::read(&conf.state_dir, |line| fold.apply(&line));
    let _report = read.map_err(|e| Exit::config(chain(&e)))?;
    let cut_off = conf.state_dir.join(guard::REBUILDING).exists();
    let traces = guard::traces(on, &tsd.landing, &conf.host).map_err(|e| Exit::temporary(chain(&e)))?;
    world.seat = fold.seat().map(str::to_owned);
    world.lost = cut_off || (fold.born().is_none() && traces.is_some());
    let signers = tsd.allowed_signers.as_deref().map(AllowedSigners::from_file).transpose();
    let signers = signers.map_err(|e| Exit::config(chain(&e)))?;
    for row in fold.packages() {
        let known = Known {
            state: row.state,
            placed: row.placed,
            reason: row.facts.reason,
            promised: row.facts.commit_sha256.is_some(),
            manifest: row.facts.manifest_sha256.clone(),
        };
        world.packages.entry(row.id.clone()).or_default().known = Some(known);
    }
    let commits = promised.len();
    for id in promised {
        let fact = world.packages.entry(id.clone()).or_default();
        fact.promise = Some(match fact.known {
            Some(_) => Promise::There,
            None => believe(&bucket, signers.as_ref(), &id)?,
        });
    }
    world.attribute();
    let said = Said { new: args.new.iter().cloned().collect(), lost_at: args.lost_at };
    if let Some(odd) = said.new.iter().find(|id| !world.packages.contains_key(id)) {
        return Err(Exit::config(format!("--new {odd}: there is no such package in the bucket")));
    }
    let differences = judge(&world, &said);
    let compared = vec![
        format!("{} packages of the journal", fold.packages().count()),
        format!("{commits} commits of the bucket"),
        format!("what lies in {} destination(s), .incoming and .quarantine", tsd.landing.len()),
    ];
    let not_compared = vec![
        "the bytes of packages that the journal knows (`verify DIR`), and what consumers took away"
            .to_owned(),
    ];
    let mut report =
        Report { differences, compared, not_compared, done: vec![], undone: vec![], lost: world.lost };
    if args.fix {
        fixing::fix(conf, tsd, &bucket, &mut report)?;
    }
    Ok(report)
}

/// The packages that have a commit.
fn listed(bucket: &Bucket) -> Result<BTreeSet<PackageId>, Exit> {
    let (mut found, mut many) = (BTreeSet::new(), false);
    let below = format!("{}/", bucket.store.prefix());
    let listing = bucket.store.list(&below, |object| {
        let inner = object.key.strip_prefix(&below).and_then(|rest| rest.strip_suffix(COMMIT));
        if let Some(Ok(id)) = inner.and_then(|rest| rest.strip_suffix('/')).map(str::parse) {
            many |= found.len() >= gather::MOST;
            if !many {
                let _new = found.insert(id);
            }
        }
    });
    bucket.wait(listing).map_err(|e| Exit::temporary(chain(&e)))?;
    if many {
        return Err(Exit::no(format!(
            "the bucket has more than {} commits, which is more than is compared",
            gather::MOST
        )));
    }
    Ok(found)
}

/// Reads a commit as the watcher would. What cannot be read now ends the comparison: nothing is decided on half of the facts.
fn believe(bucket: &Bucket, signers: Option<&AllowedSigners>, id: &PackageId) -> Result<Promise, Exit> {
    let get = |name: &str, max| match bucket.get(&bucket.store.key(id, name), max) {
        Ok(found) => Ok(Ok(found)),
        Err(e @ StoreError::TooLarge { .. }) => Ok(Err(e.to_string())),
        Err(e) => Err(Exit::temporary(format!("{name} of {id}: {}", chain(&e)))),
    };
    let odd = |reason, detail: String| Ok(Promise::Odd(reason, detail));
    let bytes = match get(COMMIT, MAX_COMMIT_BYTES)? {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return odd(Reason::BadCommit, "COMMIT is gone".into()),
        Err(why) => return odd(Reason::BadCommit, why),
    };
    let commit = match Commit::parse(&bytes, id) {
        Ok(commit) => commit,
        Err(e) => return odd(Reason::BadCommit, chain(&e)),
    };
    let mut signed = None;
    if let Some(signers) = signers {
        let signature = match get(COMMIT_SIG, signature::MAX_BYTES)? {
            Ok(Some(signature)) => signature,
            Ok(None) => return odd(Reason::BadSignature, "there is no COMMIT.sig".into()),
            Err(why) => return odd(Reason::BadSignature, why),
        };
        if let Err(e) = signers.verify(commit.sender.name.as_str(), &bytes, &signature) {
            return odd(Reason::BadSignature, chain(&e));
        }
        signed = Some(signature);
    }
    let (facts, _) = border::facts(&commit, &bytes, signed.as_deref());
    Ok(Promise::Good { facts: Box::new(facts), committed_at: commit.committed_at })
}
