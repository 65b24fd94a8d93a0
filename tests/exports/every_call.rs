//! kill -9 at every request of an export, when its work is done and its answer not yet sent, and the daemon is started again.
//!
//! The points are those that a run without a kill shows, so a call that is new in the program is a new point here.
use std::collections::{BTreeMap, BTreeSet};

use tsd_import::demo::site::SiteOptions;

use crate::rig::{End, Rig, Shape, What};

/// Looks at the queue go on all the time; so many of one shape are taken for points.
const OF_ONE_SHAPE: u32 = 4;

/// Every request of a run without a kill, with its number among those of its shape.
async fn points(rig: &mut Rig, what: What) -> (Vec<(Shape, u32)>, End) {
    rig.world.site.lims.clear_requests();
    rig.start(&[]);
    let artifacts = rig.order(what);
    rig.until_over(&artifacts, "without a kill").await;
    let end = rig.ends_of(&artifacts)[&artifacts[0]].clone();
    let mut counts: BTreeMap<Shape, u32> = BTreeMap::new();
    let mut points = Vec::new();
    for shape in rig.shapes() {
        let n = counts.entry(shape.clone()).or_default();
        *n += 1;
        if *n <= OF_ONE_SHAPE {
            points.push((shape, *n));
        }
    }
    (points, end)
}

async fn killed_at_every_call(what: What, options: SiteOptions, env: &[(&str, &str)], end: fn(&End) -> bool) {
    let mut rig = Rig::new(options, env).await;
    let (points, usual) = points(&mut rig, what).await;
    assert!(end(&usual), "{usual:?}");
    let (mut met, mut missed) = (0, BTreeSet::new());
    for (shape, nth) in &points {
        let why = format!("{what:?} killed at {shape} number {nth}");
        if rig.has_ended() {
            rig.world.daemons.clear();
            rig.start(&[]);
        }
        rig.trap(shape, *nth);
        let artifacts = rig.order(what);
        rig.until_over(&artifacts, &why).await;
        match rig.disarm() {
            true => met += 1,
            false => {
                let _new = missed.insert(format!("{shape} number {nth}"));
            }
        }
        for (artifact, became) in rig.ends_of(&artifacts) {
            assert!(end(&became), "{why}: {artifact} became {became:?}");
        }
        rig.claimed_once(&artifacts, &why);
        rig.is_sound(&why);
    }
    println!("{what:?}: {} points, killed {met} times; not met again: {missed:?}", points.len());
    let lost =
        points.iter().filter(|(s, n)| *n == 1 && s.changes() && missed.contains(&format!("{s} number 1")));
    assert_eq!(lost.count(), 0, "every call that changes something was met: {missed:?}");
    assert!(met * 10 >= points.len() * 8, "{met} of {} points were met", points.len());
}

#[tokio::test]
async fn of_a_sample_it_is_exported_once() {
    killed_at_every_call(What::Single, SiteOptions::default(), &[], |end| *end == End::Exported).await;
}

#[tokio::test]
async fn of_a_trio_it_is_exported_once() {
    killed_at_every_call(What::Trio, SiteOptions::default(), &[], |end| *end == End::Exported).await;
}

#[tokio::test]
async fn of_a_damaged_sample_its_step_is_deleted_and_it_is_queued() {
    killed_at_every_call(What::Damaged, SiteOptions::default(), &[], |end| *end == End::Queued).await;
}
