//! The same name once more, on purpose: the second revision goes its own way up to its commit, and nothing is replaced.
use tsd_import::conf::Role;
use tsd_import::demo::lims::StepState;
use tsd_import::demo::site::{Order, PROJECT, Reads, SiteOptions};
use tsd_import::package::{Priority, State};

use crate::world::{World, sample_ids, text};

#[tokio::test]
async fn a_sample_that_is_sequenced_again_becomes_a_revision_beside_the_first() {
    let options = SiteOptions {
        token_life: std::time::Duration::from_secs(600),
        more_of: vec![(Role::Nsc, "orders.again = \"revise\"\n".into())],
        ..SiteOptions::default()
    };
    let mut world = World::with(options).await;
    let dna = world.samples(1, 200_000).remove(0);
    world.start(Role::Nsc, &[]);
    let first = sample_ids(std::slice::from_ref(&dna)).remove(0);
    let sent = |id: &str| {
        let id = id.to_owned();
        move |w: &World| w.state(Role::Nsc, &id) == Some(State::Transferred)
    };
    world.until("the first is sent", sent(&first)).await;
    let place = world.site.dir.join("nsc/transfer/production/transferred/urgent/samples");
    let document =
        |dir: &str| std::fs::read(place.join(dir).join(format!("{PROJECT}-{dna}.sample"))).unwrap();
    let before = document(&format!("{PROJECT}-{dna}"));

    let order =
        Order { dna: dna.clone(), priority: Priority::Urgent, family: None, reads: Reads::Made(300_000) };
    let again = world.site.sequence(&order).unwrap();
    world.site.sums().unwrap();
    world.site.lims.enqueue(&again.root_artifact).unwrap();
    let second = first.replace("/r1", "/r2");
    world.until("the second is sent", sent(&second)).await;
    let closed =
        |w: &World| w.site.lims.steps().iter().filter(|s| s.state == StepState::Completed).count() == 2;
    world.until("both steps are completed", closed).await;
    world.stop().await;

    assert_eq!(document(&format!("{PROJECT}-{dna}")), before, "the first is as it was");
    assert_ne!(document(&format!("{PROJECT}-{dna}~r2")), before);
    let bucket = world.site.dir.join("store/p22-import/tsd-import/samples").join(format!("{PROJECT}-{dna}"));
    for revision in ["r1", "r2"] {
        let commit = std::fs::read(bucket.join(revision).join("COMMIT")).unwrap();
        let commit: serde_json::Value = serde_json::from_slice(&commit).unwrap();
        assert_eq!(format!("r{}", commit["revision"]), revision);
    }
    let note = world.fold(Role::Nsc).orders().find_map(|row| row.order.note.clone()).unwrap();
    assert!(note.starts_with(&format!("{second} after {first}: ")) && note.contains("md5"), "{note}");
    let log = text(&world.command(Role::Nsc, &["status"]).stdout);
    assert!(!log.contains("needs a person"), "{log}");
}
