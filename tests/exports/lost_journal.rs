//! The state directory is lost while an export is on its way: the step in the LIMS is found by its own inputs, and the export
//! goes on in it.
use tsd_import::conf::Role;

use crate::rig::{End, Policy, Rig, What};

async fn goes_on_from(point: &str, what: What) {
    let mut rig = Rig::new(Policy::Delete).await;
    let points = format!("journal-written=return({point})");
    rig.start(&[("FAILPOINTS", points.as_str())]);
    let artifacts = rig.order(what);
    assert_eq!(rig.world.until_ended(Role::Nsc).await, None, "{point}: a signal ended it");
    tsd_import::fs::discard_scratch(&rig.world.site.state(Role::Nsc)).unwrap();
    rig.start(&[]);
    rig.until_over(&artifacts, point).await;
    for (artifact, became) in rig.ends_of(&artifacts) {
        assert_eq!(became, End::Exported, "{point}: {artifact}");
    }
    rig.claimed_once(&artifacts, point);
    rig.is_sound(point);
    rig.world.stop().await;
}

#[tokio::test]
async fn a_sample_is_exported_once_from_wherever_it_was() {
    for point in ["claim:intent", "claim:opened", "moved:packed", "moved:uploading", "moved:transferred"] {
        goes_on_from(point, What::Single).await;
    }
}

#[tokio::test]
async fn a_trio_is_exported_once() {
    for point in ["claim:opened", "moved:transferred"] {
        goes_on_from(point, What::Trio).await;
    }
}
