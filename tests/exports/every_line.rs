//! The daemon dies before and after each line of its journal that an export writes, and is started again.
use std::collections::BTreeSet;

use tsd_import::conf::Role;
use tsd_import::journal::point;

use crate::rig::{End, Policy, Rig, What};

async fn dies_at_every_line(what: What, policy: Policy, end: fn(&End) -> bool) {
    let mut rig = Rig::new(policy).await;
    rig.start(&[]);
    let artifacts = rig.order(what);
    rig.until_over(&artifacts, "undisturbed").await;
    rig.world.stop().await;
    let keys: BTreeSet<String> = rig.world.events(Role::Nsc).iter().filter_map(|l| point(&l.event)).collect();
    for key in &keys {
        for point in ["journal-writing", "journal-written"] {
            let why = format!("{what:?} dies at {point} {key}");
            let points = format!("{point}=return({key})");
            rig.start(&[("FAILPOINTS", points.as_str())]);
            let artifacts = rig.order(what);
            let died = rig.world.until_ended(Role::Nsc).await;
            assert_eq!(died, None, "{why}: a signal ended it");
            rig.until_over(&artifacts, &why).await;
            for (artifact, became) in rig.ends_of(&artifacts) {
                assert!(end(&became), "{why}: {artifact} became {became:?}");
            }
            rig.claimed_once(&artifacts, &why);
            rig.is_sound(&why);
            rig.world.stop().await;
        }
    }
    println!("{what:?}: died at each of {keys:?}, before and after");
    let least = if what == What::Invalid { 3 } else { 8 };
    assert!(keys.len() >= least, "{keys:?}");
}

#[tokio::test]
async fn of_a_sample_it_is_exported_once() {
    dies_at_every_line(What::Single, Policy::Delete, |end| *end == End::Exported).await;
}

#[tokio::test]
async fn of_a_trio_it_is_exported_once() {
    dies_at_every_line(What::Trio, Policy::Delete, |end| *end == End::Exported).await;
}

#[tokio::test]
async fn of_a_damaged_sample_it_is_queued_and_in_nobodys_step() {
    dies_at_every_line(What::Damaged, Policy::Delete, |end| *end == End::Queued).await;
}

#[tokio::test]
async fn of_a_damaged_sample_it_is_routed_to_the_failure_stage() {
    dies_at_every_line(What::Damaged, Policy::Route, |end| matches!(end, End::Failed(_))).await;
}

#[tokio::test]
async fn of_an_invalid_sample_it_is_put_out_of_the_queue() {
    dies_at_every_line(What::Invalid, Policy::PutOut, |end| matches!(end, End::Failed(_))).await;
}
