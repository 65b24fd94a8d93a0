//! The old split: LIMS and packing on one host, the upload on another; they meet in the transfer tree alone.
use tsd_import::conf::Role;
use tsd_import::demo::daemon::Daemon;
use tsd_import::journal::{self, Fold};
use tsd_import::package::{Priority, State};

use crate::world::{PROGRAM, World, sample_ids, text};

#[tokio::test]
async fn two_processes_of_one_role_meet_in_the_transfer_tree() {
    let mut world = World::new().await;
    let dna = world.samples(3, 200_000);
    let elsewhere = world.path().join("nsc/state-of-sleipnir");
    let own_state =
        [("TSD_IMPORT__STATE__DIR", elsewhere.to_str().unwrap()), ("TSD_IMPORT__HOST", "gdx-login")];
    let conf = world.site.conf(Role::Nsc);
    let start = |only: &str, env: &[(&str, &str)]| {
        Daemon::start(std::path::Path::new(PROGRAM), Role::Nsc, &conf, &["--only", only], env).unwrap()
    };
    let daemons = [(Role::Nsc, start("poller,packager", &[])), (Role::Nsc, start("uploader", &own_state))];
    world.daemons.extend(daemons);
    world.start(Role::Tsd, &[]);
    let ids = sample_ids(&dna);
    world.see_it_through(&ids).await;
    for (n, dna) in dna.iter().enumerate() {
        world.reads_are_those_delivered(dna, Priority::ALL[n % 3]);
    }
    let mut uploader = Fold::default();
    journal::read(&elsewhere, |line| uploader.apply(&line)).unwrap();
    assert_eq!(uploader.tally(), [(State::Transferred, 3)].into());
    assert_eq!(uploader.orders().count(), 0, "the uploader knows nothing of the LIMS");
}

#[tokio::test]
async fn an_actor_that_the_role_does_not_have_is_refused() {
    let world = World::new().await;
    let said = world.command(Role::Tsd, &["run", "--only", "uploader"]);
    assert_eq!(said.status.code(), Some(78));
    assert!(
        text(&said.stderr).contains("role tsd has no actor \"uploader\"; it has watcher, copier, verifier")
    );
}
