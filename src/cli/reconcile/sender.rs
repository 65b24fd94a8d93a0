//! The sender: gathers what lies in the transfer tree, in the upload progress and in the LIMS. Changes nothing anywhere.
use super::super::exit::Exit;
use super::Report;
use crate::chain;
use crate::clock;
use crate::conf::{Conf, NscConf, OrderSource};
use crate::disk::OnDisk;
use crate::fs::{self, FsError};
use crate::journal::{self, Fold, Owner};
use crate::nsc::exporter::Exporter;
use crate::nsc::source::Source as _;
use crate::nsc::{Tree, ledger};
use crate::package::{Kind, PackageId, Priority};
use crate::reconcile::sending::{Step, World, judge};

pub(super) fn reconcile(conf: &Conf, nsc: &NscConf) -> Result<Report, Exit> {
    let on = &OnDisk::alone();
    let later = |e: FsError| Exit::temporary(chain(&e));
    let mut world = World { running: Owner::look(&conf.state_dir).is_some(), ..World::default() };
    let tree = Tree::new(&nsc.transfer);
    fs::answers(&nsc.transfer.root.join("production")).map_err(later)?;
    for kind in &nsc.transfer.kinds {
        for (id, path) in tree.rests(on, kind).map_err(later)? {
            world.packages.entry(id).or_default().rests = Some(path);
        }
        building(on, &tree, kind, &mut world).map_err(later)?;
    }
    let scan = tree.scan(on, clock::now()).map_err(later)?;
    for (id, _, path) in scan.whole {
        world.packages.entry(id).or_default().waiting = Some((path, true));
    }
    world.strangers.extend(scan.odd.into_iter().map(|(path, _)| path));
    for id in ledger::packages(on, &conf.state_dir).map_err(later)? {
        world.packages.entry(id).or_default().uploads = true;
    }
    let mut fold = Fold::default();
    let read = journal::read(&conf.state_dir, |line| fold.apply(&line));
    let _report = read.map_err(|e| Exit::config(chain(&e)))?;
    for row in fold.packages() {
        let fact = world.packages.entry(row.id.clone()).or_default();
        fact.known = Some(row.state);
        // One that is known is whole, also where its marker was taken away since.
        let waits = tree.waiting(&row.id, row.priority);
        if fact.waiting.is_none() && fs::dir_exists(&waits).map_err(later)? {
            fact.waiting = Some((waits, true));
        }
    }
    growing(on, &tree, nsc, &mut world).map_err(later)?;
    let mut not_compared =
        vec!["what is queued and not ordered yet: the poller reads it at each look (`status`)".to_owned()];
    match &nsc.orders.source {
        OrderSource::Clarity => steps(nsc, &fold, &mut world)?,
        OrderSource::Directory(_) => {
            not_compared.push("work orders in claimed/: the packager looks at each".into())
        }
    }
    not_compared.push("the bucket: this side may only put".into());
    let compared = vec![
        format!("{} packages of the journal", fold.packages().count()),
        format!("the transfer tree below {}", nsc.transfer.root.display()),
        "upload progress".to_owned(),
        format!("{} open step(s) of the LIMS", world.steps.len()),
    ];
    let differences = judge(&world);
    Ok(Report { differences, compared, not_compared, done: vec![], undone: vec![], lost: false })
}

fn entries(_: &OnDisk, dir: &std::path::Path) -> Result<Vec<(String, std::path::PathBuf)>, FsError> {
    if !fs::dir_exists(dir)? {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(FsError::at("list", dir))? {
        let entry = entry.map_err(FsError::at("list", dir))?;
        if entry.path().is_dir() {
            found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    Ok(found)
}

fn building(on: &OnDisk, tree: &Tree, kind: &Kind, world: &mut World) -> Result<(), FsError> {
    for (name, path) in entries(on, &tree.scratch().join(kind.as_str()))? {
        if let Ok(id) = PackageId::of_dir(kind.clone(), &name) {
            world.packages.entry(id).or_default().packing = Some(path);
        }
    }
    Ok(())
}

/// What lies in the tree and is neither whole nor known.
fn growing(on: &OnDisk, tree: &Tree, nsc: &NscConf, world: &mut World) -> Result<(), FsError> {
    for kind in &nsc.transfer.kinds {
        for priority in Priority::ALL {
            let dir = nsc.transfer.root.join("production").join(priority.as_str()).join(kind.as_str());
            for (name, path) in entries(on, &dir)? {
                let Ok(id) = PackageId::of_dir(kind.clone(), &name) else { continue };
                let inner = nsc.transfer.kinds.iter().any(|k| k.as_str() == format!("{kind}/{name}"));
                if !inner && tree.waiting(&id, priority) == path {
                    let _known = world.packages.entry(id).or_default().waiting.get_or_insert((path, false));
                }
            }
        }
    }
    Ok(())
}

/// How the steps stand that the journal calls open. Only GET requests.
fn steps(nsc: &NscConf, fold: &Fold, world: &mut World) -> Result<(), Exit> {
    let exporter = Exporter::new(nsc).map_err(Exit::config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Exit::temporary(format!("could not start: {e}")))?;
    let mut silent = None;
    for row in fold.open_orders() {
        let Some(step) = &row.step else { continue };
        let standing = match &silent {
            // One that does not answer is not asked a hundred times.
            Some(why) => Err(String::clone(why)),
            None => runtime.block_on(exporter.standing(step, &row.order)).map_err(|e| format!("{e:?}")),
        };
        silent = silent.or_else(|| standing.as_ref().err().cloned());
        let (order, phase) = (row.order.id.to_string(), row.phase);
        world.steps.push(Step { order, phase, step: step.clone(), standing });
    }
    Ok(())
}
