//! Bad input: each its own clear word, nothing lost, and it goes on when the cause is mended.
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tsd_import::conf::Role;
use tsd_import::demo::lims::{Fault, FaultRule};
use tsd_import::demo::site::PROJECT;
use tsd_import::journal::Event;
use tsd_import::package::{Priority, State};

use crate::world::{World, sample_ids, text};

fn append(world: &World, role: Role, more: &str) {
    let path = world.site.conf(role);
    let text = std::fs::read_to_string(&path).unwrap() + more;
    tsd_import::fs::write_durably(&path, text.as_bytes()).unwrap();
}

#[tokio::test]
async fn wrong_settings_and_secrets_are_named_before_anything_is_done() {
    let world = World::new().await;
    let refused = |role, expected: &[&str]| {
        for command in [&["run"][..], &["config", "check"]] {
            let said = world.command(role, command);
            assert_eq!(said.status.code(), Some(78), "{command:?}: {}", text(&said.stderr));
            for word in expected {
                assert!(
                    text(&said.stderr).contains(word),
                    "{command:?} should say {word:?}: {}",
                    text(&said.stderr)
                );
            }
        }
    };
    let good = world.command(Role::Nsc, &["config", "check"]);
    assert!(good.status.success(), "{}", text(&good.stderr));
    assert!(text(&good.stdout).contains("the configuration is good: role nsc"), "{}", text(&good.stdout));

    let secret = world.site.dir.join("nsc/secrets/s3");
    let kept = std::fs::read(&secret).unwrap();
    std::fs::remove_file(&secret).unwrap();
    refused(Role::Nsc, &["store.secret_key_file", "nsc/secrets/s3"]);
    tsd_import::fs::write_durably(&secret, &kept).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = world.command(Role::Nsc, &["run"]);
    assert_eq!(said.status.code(), Some(78));
    assert!(text(&said.stderr).contains("chmod 600"), "{}", text(&said.stderr));

    append(&world, Role::Tsd, "store.bukket = \"x\"\nwatch.interval2 = 7\n");
    refused(
        Role::Tsd,
        &["tsd.toml: store.bukket: unknown key", "watch.interval2: unknown key", "2 fault(s)"],
    );
    assert!(world.fold(Role::Tsd).started.is_none(), "nothing was begun");
}

#[tokio::test]
async fn a_second_daemon_is_told_who_holds_the_state_directory() {
    let mut world = World::new().await;
    world.start(Role::Tsd, &[]);
    world.until("the first runs", |w| w.fold(Role::Tsd).started.is_some()).await;
    let second = world.command(Role::Tsd, &["run"]);
    assert_eq!(second.status.code(), Some(75));
    let (said, pid) = (text(&second.stderr), world.daemons[0].1.pid().unwrap());
    assert!(said.contains(&format!("in use by process {pid} on p22-hpc-02 (role tsd")), "{said}");
    world.stop().await;
}

#[tokio::test]
async fn endpoints_that_are_down_at_start_are_waited_for() {
    let mut world = World::new().await;
    let dna = world.samples(2, 200_000);
    let nowhere =
        [("TSD_IMPORT__STORE__ENDPOINT", "http://127.0.0.1:9"), ("TSD_IMPORT__STORE__ATTEMPTS", "1")];
    world.start(Role::Nsc, &nowhere);
    world.start(Role::Tsd, &nowhere);
    for (role, actor) in [(Role::Nsc, "uploader"), (Role::Tsd, "watcher")] {
        let down = |w: &World| {
            w.events(role).iter().any(|l| matches!(&l.event, Event::Degraded { actor: a, why } if a == actor && why.contains("the store did not")))
        };
        world.until(&format!("{actor} says that the store is down"), down).await;
    }
    world
        .until("packing goes on meanwhile", |w| {
            w.fold(Role::Nsc)
                .packages()
                .filter(|r| matches!(r.state, State::Packed | State::Uploading))
                .count()
                == 2
        })
        .await;
    let says = |w: &World| {
        let status = text(&w.command(Role::Nsc, &["status"]).stdout);
        status.contains("DEGRADED")
            && status.contains("! uploader cannot work for ")
            && status.contains("the store did not")
    };
    world.until("status says so", says).await;
    world.stop().await;
    world.start_both();
    let ids = sample_ids(&dna);
    world.see_it_through(&ids).await;
}

#[tokio::test]
async fn a_lims_that_talks_nonsense_is_an_outage_and_everything_arrives_when_it_is_well() {
    let mut world = World::new().await;
    let dna = world.samples(2, 200_000);
    for kind in [Fault::HalfXml, Fault::Html503] {
        world.site.lims.fault(FaultRule::always("GET", "/queues/", kind));
        break_and_mend(&mut world).await;
    }
    world.start_both();
    let ids = sample_ids(&dna);
    world.see_it_through(&ids).await;
}

async fn break_and_mend(world: &mut World) {
    let before = world.events(Role::Nsc).len();
    world.start(Role::Nsc, &[]);
    let degraded = |w: &World| {
        w.events(Role::Nsc)[before..]
            .iter()
            .any(|l| matches!(&l.event, Event::Degraded { actor, .. } if actor == "poller"))
    };
    world.until("the poller says that the LIMS is out of order", degraded).await;
    assert!(world.fold(Role::Nsc).packages().next().is_none(), "nothing was made of nonsense");
    world.stop().await;
    world.site.lims.clear_faults();
}

#[tokio::test]
async fn an_answer_lost_after_the_claim_opens_no_second_step() {
    let mut world = World::new().await;
    let dna = world.samples(3, 200_000);
    world.site.lims.fault(FaultRule::once("POST", "/steps$", Fault::DropAfterWork));
    world.start_both();
    let ids = sample_ids(&dna);
    world.see_it_through(&ids).await;
    assert_eq!(world.site.lims.steps().len(), 3, "one step per sample");
}

#[tokio::test]
async fn missing_reads_keep_a_sample_queued_and_say_why() {
    let mut world = World::new().await;
    let dna = world.samples(2, 200_000);
    let gone = world.site.delivered(&dna[0]).unwrap().pop().unwrap();
    let kept = world.path().join("kept.gz");
    tsd_import::fs::publish(&gone, &kept).unwrap();
    world.start_both();
    world.until_ready(&sample_ids(&dna[1..])).await;
    let file = gone.file_name().unwrap().to_string_lossy().into_owned();
    let says = |w: &World| {
        let status = text(&w.command(Role::Nsc, &["status"]).stdout);
        status.contains(&format!("{file} is not there"))
    };
    world.until("status says what it waits for", says).await;
    assert_eq!(world.site.lims.queued().len(), 1, "it is still queued");
    assert_eq!(world.site.lims.steps().len(), 1, "nothing was claimed for it");
    tsd_import::fs::publish(&kept, &gone).unwrap();
    let ids = sample_ids(&dna);
    world.see_it_through(&ids).await;
}

#[tokio::test]
async fn names_that_are_no_names_are_refused_where_they_come_in() {
    use tsd_import::demo::lims::{NewSample, Udf};
    let mut world = World::new().await;
    let dna = world.samples(1, 200_000);
    world
        .site
        .drop_in("analyses-results/singles", "white space", Priority::Normal, &[("a", b"x".to_vec())])
        .unwrap();
    let odd = world
        .site
        .drop_in("analyses-results/singles", "odd-inside", Priority::Normal, &[("a b", b"x".to_vec())])
        .unwrap();
    let project = world.site.lims.add_project("../../etc", vec![]);
    let kit = Udf::string("Kit version Diag", "wgs");
    let sample = NewSample { name: "HG1/../../x-KIT-wgs".into(), project, udfs: vec![kit], data: vec![] };
    let sample = world.site.lims.add_sample(sample).unwrap();
    world.site.lims.enqueue(&sample.root_artifact).unwrap();
    world.start_both();
    let ids = sample_ids(&dna);
    world.until_ready(&ids).await;
    let stopped = "analyses-results/singles/odd-inside/r1";
    world
        .until("the unsafe file is refused", |w| w.state(Role::Nsc, stopped) == Some(State::Quarantined))
        .await;
    let says = |w: &World| {
        let status = text(&w.command(Role::Nsc, &["status"]).stdout);
        status.contains("singles/white space")
            && status.contains("HG1/../../x-KIT-wgs (")
            && status.contains("no package name")
            && status.contains("unsafe-content")
    };
    world.until("status names all three", says).await;
    assert!(odd.join("a b").is_file(), "nothing was deleted");
    world.stop().await;
    world.everything_is_right(&ids);
}

#[tokio::test]
async fn a_trio_waits_for_its_members_and_an_expired_token_is_waited_out() {
    use tsd_import::demo::site::{Order, Reads, SiteOptions};
    let options = SiteOptions { token_life: Duration::from_secs(2), ..SiteOptions::default() };
    let mut world = World::with(options).await;
    let mut roots = Vec::new();
    for (n, relation) in ["proband", "father", "mother"].into_iter().enumerate() {
        let dna = format!("HG5000000{n}");
        let order = Order {
            dna: dna.clone(),
            priority: Priority::Normal,
            family: Some(("F7".into(), relation)),
            reads: Reads::Made(200_000),
        };
        roots.push(world.site.sequence(&order).unwrap().root_artifact);
        world.samples.push(dna);
    }
    world.site.sums().unwrap();
    roots[..2].iter().for_each(|r| world.site.lims.enqueue(r).unwrap());
    tokio::time::sleep(Duration::from_secs(3)).await; // the token that was written at the beginning is dead now
    world.start_both();
    let waits = |w: &World| {
        text(&w.command(Role::Nsc, &["status"]).stdout).contains("the mother is not in the queue yet")
    };
    world.until("it is said for whom the family waits", waits).await;
    assert_eq!(world.site.lims.steps().len(), 0);
    let expired = |w: &World| {
        w.events(Role::Nsc)
            .iter()
            .any(|l| matches!(&l.event, Event::Degraded { why, .. } if why.contains("token is expired")))
    };
    world.until("the expired token is named", expired).await;
    world.site.lims.enqueue(&roots[2]).unwrap();
    world.site.keep_tokens_fresh(Duration::from_millis(300));
    let mut ids = sample_ids(&world.samples);
    ids.push(format!("analyses/{PROJECT}-{}-TRIO/r1", world.samples[0]));
    world.see_it_through(&ids).await;
    let steps = world.site.lims.steps();
    assert_eq!((steps.len(), steps[0].inputs.len()), (1, 3), "one step for the three");
    let fold = world.fold(Role::Nsc);
    let left = |id: &String| {
        fold.package(&id.parse().unwrap())
            .unwrap()
            .way
            .iter()
            .find(|(s, _)| *s == State::Committed)
            .unwrap()
            .1
    };
    assert!(ids[..3].iter().all(|id| left(id) <= left(&ids[3])), "the analysis left last");
}

/// Without its journal a sender would send everything once more.
#[tokio::test]
async fn a_journal_that_was_taken_away_is_not_begun_anew() {
    let mut world = World::new().await;
    let ids = sample_ids(&world.samples(1, 100_000));
    world.start_both();
    world.until_ready(&ids).await;
    world.stop().await;
    let journal = world.site.state(Role::Nsc).join("journal.jsonl");
    let aside = journal.with_file_name("kept-elsewhere");
    tsd_import::fs::publish(&journal, &aside).unwrap();
    let refused = world.command(Role::Nsc, &["run"]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(text(&refused.stderr).contains("is missing, although a daemon has worked in"), "{refused:?}");
    assert!(!journal.exists());
    tsd_import::fs::publish(&aside, &journal).unwrap();
    world.start(Role::Nsc, &[]);
    let starts =
        |w: &World| w.events(Role::Nsc).iter().filter(|l| matches!(l.event, Event::Started { .. })).count();
    world.until("it starts again", |w| starts(w) == 2).await;
    world.stop().await;
    world.everything_is_right(&ids);
}
