//! kill -9 at every request of an export, when its work is done and its answer not yet sent, and the daemon is started again.
//!
//! The points are those that a run without a kill shows, so a call that is new in the program is a new point here.
use std::collections::{BTreeMap, BTreeSet};

use crate::rig::{End, Policy, Rig, Shape, What};

/// Looks at the queue go on all the time; so many of one shape are taken for points.
const OF_ONE_SHAPE: u32 = 4;

/// Every request of a run without a kill, with its number among those of its shape: those that a daemon sends when it starts
/// with an empty journal, and those of an export.
struct Points {
    starting: Vec<(Shape, u32)>,
    exporting: Vec<(Shape, u32)>,
    end: End,
}

fn numbered(shapes: Vec<Shape>) -> Vec<(Shape, u32)> {
    let mut counts: BTreeMap<Shape, u32> = BTreeMap::new();
    let mut points = Vec::new();
    for shape in shapes {
        let n = counts.entry(shape.clone()).or_default();
        *n += 1;
        if *n <= OF_ONE_SHAPE {
            points.push((shape, *n));
        }
    }
    points
}

async fn points(rig: &mut Rig, what: What) -> Points {
    rig.start(&[]);
    rig.until_it_looks().await;
    let starting = numbered(rig.shapes());
    rig.world.site.lims.clear_requests();
    let artifacts = rig.order(what);
    rig.until_over(&artifacts, "without a kill").await;
    let end = rig.ends_of(&artifacts)[&artifacts[0]].clone();
    Points { starting, exporting: numbered(rig.shapes()), end }
}

async fn killed_at_every_call(what: What, policy: Policy, end: fn(&End) -> bool) {
    let mut rig = Rig::new(policy).await;
    let points = points(&mut rig, what).await;
    assert!(end(&points.end), "{:?}", points.end);
    let (mut met, mut missed) = (0, BTreeSet::new());
    for (shape, nth) in &points.exporting {
        let why = format!("{what:?} {policy:?} killed at {shape} number {nth}");
        if rig.has_ended() {
            rig.world.daemons.clear();
            rig.start(&[]);
        }
        match one_kill(&mut rig, what, (shape, *nth), end, &why).await {
            true => met += 1,
            false => {
                let _new = missed.insert(format!("{shape} number {nth}"));
            }
        }
    }
    // Where nothing is known yet: a world of its own for each.
    let first = |(shape, nth): &&(Shape, u32)| *nth == 1 && !points.exporting.iter().any(|(s, _)| s == shape);
    for (shape, nth) in points.starting.iter().filter(first) {
        let why = format!("{what:?} {policy:?} killed while starting at {shape} number {nth}");
        let mut rig = Rig::new(policy).await;
        rig.start(&[]);
        assert!(one_kill(&mut rig, what, (shape, *nth), end, &why).await, "{why}: not met");
        met += 1;
    }
    let all = met + missed.len();
    println!("{what:?} {policy:?}: {all} points, killed {met} times; not met again: {missed:?}");
    let lost = points
        .exporting
        .iter()
        .filter(|(s, n)| *n == 1 && s.changes() && missed.contains(&format!("{s} number 1")));
    assert_eq!(lost.count(), 0, "every call that changes something was met: {missed:?}");
    assert!(met * 10 >= all * 8, "{met} of {all} points were met");
}

/// Whether it was killed there; what came of it is right in any case.
async fn one_kill(rig: &mut Rig, what: What, at: (&Shape, u32), end: fn(&End) -> bool, why: &str) -> bool {
    rig.trap(at.0, at.1);
    let artifacts = rig.order(what);
    rig.until_over(&artifacts, why).await;
    let met = rig.disarm();
    for (artifact, became) in rig.ends_of(&artifacts) {
        assert!(end(&became), "{why}: {artifact} became {became:?}");
    }
    rig.claimed_once(&artifacts, why);
    rig.is_sound(why);
    met
}

#[tokio::test]
async fn of_a_sample_it_is_exported_once() {
    killed_at_every_call(What::Single, Policy::Delete, |end| *end == End::Exported).await;
}

#[tokio::test]
async fn of_a_trio_it_is_exported_once() {
    killed_at_every_call(What::Trio, Policy::Delete, |end| *end == End::Exported).await;
}

#[tokio::test]
async fn of_a_damaged_sample_its_step_is_deleted_and_it_is_queued() {
    killed_at_every_call(What::Damaged, Policy::Delete, |end| *end == End::Queued).await;
}

#[tokio::test]
async fn of_a_damaged_sample_it_goes_to_the_failure_step_once() {
    killed_at_every_call(What::Damaged, Policy::FailedStep, |end| matches!(end, End::Failed(_))).await;
}

#[tokio::test]
async fn of_a_damaged_sample_it_is_routed_to_the_failure_stage_once() {
    killed_at_every_call(What::Damaged, Policy::Route, |end| matches!(end, End::Failed(_))).await;
}

#[tokio::test]
async fn of_a_damaged_sample_a_manager_is_asked_once() {
    killed_at_every_call(What::Damaged, Policy::Review, |end| matches!(end, End::Person(_))).await;
}

#[tokio::test]
async fn of_an_invalid_sample_it_is_put_out_of_the_queue_and_never_in_a_step() {
    killed_at_every_call(What::Invalid, Policy::PutOut, |end| matches!(end, End::Failed(_))).await;
}
