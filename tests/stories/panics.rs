//! A panic in each of the six actors while packages move: restarted in place, on record, and everything arrives.
use tsd_import::conf::Role;
use tsd_import::journal::Event;
use tsd_import::package::State;
use tsd_import::role::actors;

use crate::world::{World, sample_ids};

#[tokio::test]
async fn each_of_the_six_actors_falls_once() {
    let mut world = World::new().await;
    let dna = world.samples(6, 3 << 20);
    // At the third turn of each actor: packages are on their way by then.
    let points = |role| actors(role).map(|a| format!("{a}=3*off->1*panic(injected)->off")).join(";");
    for role in [Role::Nsc, Role::Tsd] {
        world.start(role, &[("FAILPOINTS", points(role).as_str())]);
    }
    let ids = sample_ids(&dna);
    world.until_ready(&ids).await;
    world.stop().await;
    world.everything_is_right(&ids);
    for role in [Role::Nsc, Role::Tsd] {
        let events = world.events(role);
        let last_move = events.iter().rfind(|l| matches!(l.event, Event::Moved { .. })).unwrap().at;
        for actor in actors(role) {
            let incidents: Vec<_> = events
                .iter()
                .filter_map(|l| match &l.event {
                    Event::Incident(i) if i.actor == actor => Some((l.at, i)),
                    _ => None,
                })
                .collect();
            assert_eq!(incidents.len(), 1, "{actor}: {incidents:?}");
            let (at, incident) = incidents[0];
            assert_eq!((incident.cause.as_str(), incident.incarnation), ("panic", 1));
            assert!(incident.detail.contains("injected (at "), "{}", incident.detail);
            assert!(incident.outcome.starts_with("restarted in"), "{}", incident.outcome);
            assert!(at < last_move, "{actor} fell while packages moved");
        }
        let starts = events.iter().filter(|l| matches!(l.event, Event::Started { .. })).count();
        assert_eq!(starts, 1, "the process lived on");
        let review = world.review(role);
        for actor in actors(role) {
            assert!(review.contains(&format!("{actor} 1 × panic")), "{review}");
        }
        let stopped = world.fold(role).packages().filter(|r| r.state == State::Quarantined).count();
        assert_eq!(stopped, 0, "nobody's package was blamed");
    }
}
