//! Orders that cannot go through as a whole: the LIMS never calls exported what is not, and nothing is overwritten.
use tsd_import::conf::Role;
use tsd_import::demo::lims::StepState;
use tsd_import::demo::site::{Order, PROJECT, Reads};
use tsd_import::journal::Phase;
use tsd_import::package::{Priority, Reason, State};

use crate::world::{World, sample_ids, text};

#[tokio::test]
async fn a_trio_with_one_damaged_member_stays_open_for_a_person() {
    let mut world = World::new().await;
    let mut roots = Vec::new();
    for (n, relation) in ["proband", "father", "mother"].into_iter().enumerate() {
        let dna = format!("HG6000000{n}");
        let order = Order {
            dna: dna.clone(),
            priority: Priority::High,
            family: Some(("F8".into(), relation)),
            reads: Reads::Made(200_000),
        };
        roots.push(world.site.sequence(&order).unwrap().root_artifact);
        world.samples.push(dna);
    }
    world.site.sums().unwrap();
    world.site.damage(&world.samples[1]).unwrap();
    roots.iter().for_each(|r| world.site.lims.enqueue(r).unwrap());
    world.start_both();
    let ids = sample_ids(&world.samples);
    let review = |w: &World| w.fold(Role::Nsc).orders().any(|o| o.phase == Phase::Review);
    world.until("the order waits for a person", review).await;
    for (id, state) in ids.iter().zip([State::Transferred, State::Quarantined, State::Transferred]) {
        assert_eq!(world.state(Role::Nsc, id), Some(state), "{id}");
    }
    world.until("the good members land", |w| w.fold(Role::Tsd).tally().get(&State::Ready) == Some(&2)).await;
    let analysis = format!("analyses/{PROJECT}-{}-TRIO/r1", world.samples[0]);
    let blocked = world.fold(Role::Nsc).package(&analysis.parse().unwrap()).cloned().unwrap();
    assert_eq!(
        blocked.facts.reason,
        Some(Reason::MemberStopped),
        "not even built, and not under way for ever"
    );
    assert_eq!(world.fold(Role::Nsc).under_way(), 0, "its credit came back");
    assert_eq!(world.state(Role::Tsd, &analysis), None);
    let steps = world.site.lims.steps();
    assert_eq!(steps.len(), 1);
    assert_ne!(steps[0].state, StepState::Completed, "not exported as a whole, so not called exported");
    let status = text(&world.command(Role::Nsc, &["status"]).stdout);
    assert!(status.contains("needs a person") && status.contains("delivered in part"), "{status}");
    world.stop().await;
}

#[tokio::test]
async fn a_package_whose_name_was_sent_before_is_not_even_claimed() {
    let mut world = World::new().await;
    let dna = world.samples(2, 200_000);
    let name = format!("{PROJECT}-{}", dna[0]);
    let old = world.site.dir.join("nsc/transfer/production/transferred/urgent/samples").join(&name);
    tsd_import::fs::create_dir(&old).unwrap();
    tsd_import::fs::write_durably(&old.join("from-the-old-exporter"), b"x").unwrap();
    world.start_both();
    let ids = sample_ids(&dna);
    world.until_ready(&ids[1..]).await;
    assert_eq!((world.state(Role::Nsc, &ids[0]), world.site.lims.queued().len()), (None, 1));
    assert!(
        !world.site.dir.join("store/p22-import/tsd-import/samples").join(&name).exists(),
        "nothing was sent"
    );
    assert_eq!(std::fs::read(old.join("from-the-old-exporter")).unwrap(), b"x");
    let says = |w: &World| text(&w.command(Role::Nsc, &["status"]).stdout).contains("queued again, but");
    world.until("status says why it is not taken again", says).await;
    world.stop().await;
    world.everything_is_right(&ids[1..]);
}

#[tokio::test]
async fn a_step_that_a_person_opened_meanwhile_is_not_taken_for_ours() {
    let mut world = World::new().await;
    let dna = world.samples(2, 200_000);
    world.start_both();
    let ids = sample_ids(&dna);
    world.until_ready(&ids).await;
    world.stop().await;
    assert!(world.fold(Role::Nsc).technician.is_some(), "a step of ours has told as whom the LIMS knows us");
    let more = world.samples(1, 200_000);
    let root = world.site.lims.queued().pop().unwrap();
    // Between our look and our claim, somebody in the laboratory takes it.
    world.site.lims.fault(tsd_import::demo::lims::FaultRule::once(
        "POST",
        "/steps$",
        tsd_import::demo::lims::Fault::DropBeforeWork,
    ));
    world.start_both();
    let intent = |w: &World| w.fold(Role::Nsc).orders().any(|o| o.phase == Phase::Intent);
    world.until("the claim is under way", intent).await;
    let theirs = world.site.lims.start_elsewhere(&[root]).unwrap();
    let stopped = sample_ids(&more).remove(0);
    world.until("the package is stopped", |w| w.state(Role::Nsc, &stopped) == Some(State::Quarantined)).await;
    let reason = world.fold(Role::Nsc).package(&stopped.parse().unwrap()).unwrap().facts.reason;
    assert_eq!(reason, Some(Reason::LimsStepLost));
    world.until("a person is asked", |w| w.fold(Role::Nsc).orders().any(|o| o.phase == Phase::Flagged)).await;
    let step = world.site.lims.steps().into_iter().find(|s| s.id == theirs).unwrap();
    assert_ne!(step.state, StepState::Completed, "their step is left alone");
    world.stop().await;
}
