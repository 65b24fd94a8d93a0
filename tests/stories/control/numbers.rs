//! The numbers of real daemons: they parse, they are right, they name nobody, and counters only go up.
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;

use super::parser::{Numbers, parse};
use super::{ask, ask_with, socket};
use crate::signals::{snapshot, up};
use crate::world::{World, sample_ids, text};

async fn scraped(world: &World, role: Role) -> Numbers {
    let answer = ask(&socket(world, role), "/metrics").await;
    assert!(
        answer.head.to_ascii_lowercase().contains("content-type: text/plain; version=0.0.4"),
        "{}",
        answer.head
    );
    parse(&answer.body).unwrap_or_else(|e| panic!("{e}\n{}", answer.body))
}

/// Whatever was ever scraped, no sample may be in it.
fn names_nobody(body: &str, dna: &[String]) {
    for word in dna.iter().map(String::as_str).chain(["Diag-wgs1"]) {
        assert!(!body.contains(word), "{word} in {body}");
    }
}

#[tokio::test]
async fn numbers_are_right_name_nobody_and_counters_only_go_up_over_a_restart_of_an_actor() {
    let file = |role: Role, world: &World| world.path().join(format!("{role}.prom"));
    let more_of = vec![(Role::Tsd, "alarm.ready = \"1 h\"\n".to_owned())];
    let options = SiteOptions { more_of, token_life: Duration::from_secs(600), ..SiteOptions::default() };
    let mut world = World::with(options).await;
    let dna = world.samples(4, 300_000);
    let ids = sample_ids(&dna);
    let (nsc, tsd) =
        (file(Role::Nsc, &world).display().to_string(), file(Role::Tsd, &world).display().to_string());
    // The uploader falls once, in the middle.
    let falls = ("FAILPOINTS", "uploader=12*off->1*panic(a fault)->off");
    world.start(Role::Nsc, &[falls, ("TSD_IMPORT__METRICS__TEXTFILE", &nsc)]);
    world.start(Role::Tsd, &[("TSD_IMPORT__METRICS__TEXTFILE", &tsd)]);
    up(&world, Role::Nsc).await;
    let mut before = scraped(&world, Role::Nsc).await;
    let mut rounds = 0;
    loop {
        let now = scraped(&world, Role::Nsc).await;
        for (key, value) in before.counters() {
            let value_now = now.samples.get(key);
            assert!(value_now.is_some_and(|v| *v >= value), "{key} went from {value} to {value_now:?}");
        }
        let restarted = now.sum("tsd_import_actor_restarts_total", &["uploader"]) == Some(1.0);
        let all = now.sum("tsd_import_packages", &["state=\"transferred\""]) == Some(4.0);
        (before, rounds) = (now, rounds + 1);
        if restarted && all {
            break;
        }
        assert!(rounds < 600, "{:?}\n{}", before.samples, world.stderr(Role::Nsc));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.until_ready(&ids).await;
    // What an actor has done it says a moment later.
    while scraped(&world, Role::Tsd).await.sum("tsd_import_actor_done_total", &["verifier"]) < Some(4.0) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (here, there) = (scraped(&world, Role::Nsc).await, scraped(&world, Role::Tsd).await);
    for (numbers, name, with, expected) in [
        (&here, "tsd_import_build_info", vec!["role=\"nsc\"", "version="], 1.0),
        (&here, "tsd_import_packages", vec!["kind=\"samples\"", "priority=\"urgent\""], 2.0),
        (&here, "tsd_import_packages", vec!["kind=\"samples\""], 4.0),
        (&here, "tsd_import_actor_up", vec![], 3.0),
        (&here, "tsd_import_alarms_open", vec![], 0.0),
        (&there, "tsd_import_packages", vec!["state=\"ready\"", "role=\"tsd\""], 4.0),
        (&there, "tsd_import_area_answers", vec!["area=\"landing.samples\""], 1.0),
        (&there, "tsd_import_stopping", vec![], 0.0),
    ] {
        assert_eq!(numbers.sum(name, &with), Some(expected), "{name} {with:?}");
    }
    let lines = world.events(Role::Nsc).len() as f64;
    assert!(here.sum("tsd_import_journal_lines", &[]).unwrap() <= lines);
    assert!(here.sum("tsd_import_journal_syncs_total", &[]).unwrap() > 10.0);
    assert!(here.sum("tsd_import_moved_bytes_total", &["uploader"]).unwrap() >= 4.0 * 300_000.0);
    assert!(there.sum("tsd_import_moved_bytes_total", &["copier"]).unwrap() >= 4.0 * 300_000.0);
    assert!(there.sum("tsd_import_actor_done_total", &["verifier"]).unwrap() >= 4.0);
    for role in [Role::Nsc, Role::Tsd] {
        for target in ["/metrics", "/healthz", "/readyz"] {
            names_nobody(&ask(&socket(&world, role), target).await.body, &dna);
        }
        let accept = "host: localhost\r\naccept: application/openmetrics-text; version=1.0.0\r\n";
        let open = ask_with(&socket(&world, role), "GET /metrics", accept).await;
        assert!(open.body.ends_with("# EOF\n") && open.head.contains("openmetrics-text"), "{}", open.head);
        names_nobody(&open.body, &dna);
    }
    let snapshot = ask(&socket(&world, Role::Nsc), "/v1/snapshot").await;
    assert_eq!(snapshot.status, 200);

    let renewed = |w: &World| {
        [Role::Nsc, Role::Tsd].into_iter().all(|role| {
            let text = std::fs::read_to_string(file(role, w)).unwrap_or_default();
            parse(&text).is_ok_and(|n| {
                let done = if role == Role::Nsc { "state=\"transferred\"" } else { "state=\"ready\"" };
                n.sum("tsd_import_packages", &[done]) == Some(4.0)
            })
        })
    };
    world.until("the files for node_exporter are renewed", renewed).await;
    for role in [Role::Nsc, Role::Tsd] {
        let path = file(role, &world);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        names_nobody(&std::fs::read_to_string(&path).unwrap(), &dna);
    }
    world.stop().await;
    world.everything_is_right(&ids);
}

#[tokio::test]
async fn a_metrics_file_that_cannot_be_written_and_a_socket_that_cannot_be_opened_stop_no_package() {
    let mut world = World::new().await;
    let dna = world.samples(1, 200_000);
    let taken = world.path().join("taken.sock");
    tsd_import::fs::write_durably(&taken, b"somebody's file").unwrap();
    let taken = taken.display().to_string();
    let env = [
        ("TSD_IMPORT__METRICS__TEXTFILE", "/nowhere/x.prom"),
        ("TSD_IMPORT__CONTROL__SOCKET", taken.as_str()),
    ];
    world.start(Role::Nsc, &env);
    world.start(Role::Tsd, &[]);
    world.until_ready(&sample_ids(&dna)).await;
    let told = |w: &World| snapshot(w, Role::Nsc).is_some_and(|s| s.not_taken.len() == 2);
    world.until("both are told", told).await;
    let status = text(&world.command(Role::Nsc, &["status"]).stdout);
    assert!(
        status.contains("metrics.textfile: could not write /nowhere/x.prom")
            && status.contains("Packages go on"),
        "{status}"
    );
    assert!(status.contains("control socket:") && status.contains("is there and is no socket"), "{status}");
    assert_eq!(std::fs::read(&taken).unwrap(), b"somebody's file");
    world.stop().await;
    world.everything_is_right(&sample_ids(&dna));
}
