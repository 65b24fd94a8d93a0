//! A night on duty: a hundred packages, a store that answers 503, two poisoned packages, an urgent sample, a full disk, one package held.
//! Then the questions of whoever comes in the morning, each answered by one command.
use std::cell::RefCell;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;
use tsd_import::conf::Role;
use tsd_import::demo::site::{Order, PROJECT, Reads};
use tsd_import::demo::store::{FaultKind, FaultRule};
use tsd_import::package::{Priority, State};

use crate::full_disk::{archive, inside, receiver, this_machine_lets_us_mount, world};
use crate::processes::Watched;
use crate::telling::{Ends, bundle, no_name_in};
use crate::world::{World, sample_ids, text};

const SAMPLES: u32 = 10;
const RESULTS: usize = 90;
const KIND: &str = "analyses-results/singles";
/// Held in the night.
const HELD: &str = "analyses-results/singles/Diag-result-07/r1";
/// Its bytes are changed in the bucket.
const CHANGED: &str = "analyses-results/singles/Diag-result-13/r1";

thread_local! {
    /// Answers that were not right: all of them are told.
    static WRONG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// One question: the command, its exit code, and what must stand in the answer.
fn asks(w: &World, role: Role, args: &[&str], code: i32, words: &[&str]) -> String {
    let (begun, done) = (Instant::now(), w.command(role, args));
    let said = told(&done);
    println!("{role}: {} ({} ms)", args.join(" "), begun.elapsed().as_millis());
    let missing: Vec<&&str> = words.iter().filter(|word| !said.contains(**word)).collect();
    if done.status.code() != Some(code) || !missing.is_empty() {
        let (got, all) = (done.status.code(), args.join(" "));
        WRONG.with_borrow_mut(|wrong| {
            wrong.push(format!("{all}: exit code {got:?}, {code} is right; not said: {missing:?}\n{said}"))
        });
    }
    said
}

fn told(done: &Output) -> String {
    text(&done.stdout) + &text(&done.stderr)
}

fn count(w: &World, role: Role, state: State) -> usize {
    w.fold(role).tally().get(&state).copied().unwrap_or(0)
}

/// Reads of eleven samples, the last of which are not what was summed, and ninety results of another pipeline.
fn evening(world: &mut World) -> (Vec<String>, String) {
    let _ordinary = world.samples(SAMPLES, 300_000);
    let dna = "HG30009999".to_owned();
    let order =
        Order { dna: dna.clone(), priority: Priority::Normal, family: None, reads: Reads::Made(300_000) };
    let root = world.site.sequence(&order).unwrap().root_artifact;
    world.site.sums().unwrap();
    world.site.damage(&dna).unwrap();
    world.site.lims.enqueue(&root).unwrap();
    for n in 0..RESULTS {
        let files = [("calls.vcf", vec![n as u8; 20_000]), ("report.html", b"<p>".repeat(100))];
        let priority = if n == 40 { Priority::Urgent } else { Priority::Normal };
        world.site.drop_in(KIND, &format!("Diag-result-{n:02}"), priority, &files).unwrap();
    }
    (sample_ids(&world.samples), format!("samples/{PROJECT}-{dna}/r1"))
}

// The store of the site must answer while a command is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_on_duty_and_the_questions_of_the_morning() {
    if !this_machine_lets_us_mount() {
        return;
    }
    let mut world = world().await;
    let ends = Ends::new().await;
    for role in [Role::Nsc, Role::Tsd] {
        let conf = world.site.conf(role);
        let more = std::fs::read_to_string(&conf).unwrap() + &ends.conf();
        tsd_import::fs::write_durably(&conf, more.as_bytes()).unwrap();
    }
    let watched = Watched::begin();
    let (samples, poisoned) = evening(&mut world);
    let urgent = world.samples[0].clone();
    let many = SAMPLES as usize + RESULTS + 1;

    // The store answers 503 to everything.
    world.site.store.fault(FaultRule { times: 100_000, ..FaultRule::next(FaultKind::SlowDown) });
    world.start(
        Role::Nsc,
        &[("TSD_IMPORT__TRANSFER__SCAN", "200 ms"), ("TSD_IMPORT__WORK__UNDER_WAY", "150")],
    );
    let known = |w: &World| w.fold(Role::Nsc).packages().count() == many;
    world.until("all are known", known).await;
    let degraded = |w: &World| told(&w.command(Role::Nsc, &["status"])).contains("uploader cannot work");
    world.until("status names the outage", degraded).await;
    is_told(&world, &ends, "uploader cannot work").await;
    let _said = asks(&world, Role::Nsc, &["control", "get", "/readyz"], 1, &["degraded", "uploader"]);
    let _said =
        asks(&world, Role::Nsc, &["hold", HELD, "--reason", "the laboratory calls back"], 0, &["release"]);
    world.site.store.mend();
    let sent = |w: &World| count(w, Role::Nsc, State::Transferred) == many - 2;
    world.until("everything else is sent", sent).await;

    // One is changed where it lies, and the receiver's disk is too small.
    let object = world.site.dir.join("store/p22-import/tsd-import").join(CHANGED).join("calls.vcf");
    let mut bytes = std::fs::read(&object).unwrap();
    bytes[7] ^= 1;
    tsd_import::fs::write_durably(&object, &bytes).unwrap();
    let mut daemon = receiver(&world, "3M", "");
    let full = |w: &World| told(&w.command(Role::Tsd, &["status"])).contains("copier cannot work");
    world.until("status names the full disk", full).await;
    is_told(&world, &ends, "copier waits for room").await;
    let grown = inside(&daemon, &["mount", "-o", "remount,size=200M", archive(&world).to_str().unwrap()]);
    assert!(grown.status.success(), "{}", told(&grown));
    let arrived = |w: &World| count(w, Role::Tsd, State::Ready) == many - 3;
    world.until("everything that may arrive has arrived", arrived).await;

    morning(&world, &urgent, &poisoned, many);
    let seen = watched.end();
    assert!(seen.len() > 3, "both daemons and what they start: {seen:?}");
    seen.iter().for_each(|line| no_name_in("the process list", line));
    let pseudonym = told_apart(&world, &ends, &poisoned).await;
    let _said = bundle(&world, Role::Nsc, "nsc-bundle", &pseudonym);
    let _said = bundle(&world, Role::Tsd, "tsd-bundle", "P-");

    daemon.kill().await.unwrap();
    world.stop().await;
    // The same without any daemon: the journal knows.
    let _said =
        asks(&world, Role::Tsd, &["why", &urgent], 0, &["The daemon does not run", "ready", "handed over"]);
    let _said = asks(&world, Role::Nsc, &["status"], 1, &["NOT RUNNING", "1 held"]);
    assert!(samples.iter().all(|id| world.state(Role::Tsd, id) == Some(State::Ready)));
    let wrong = WRONG.take();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

async fn is_told(w: &World, ends: &Ends, word: &str) {
    w.until(&format!("it is told: {word}"), |_| ends.all().iter().any(|text| text.contains(word))).await;
}

/// Both sides told of the night, without names; this is what they call the sample that was stopped.
async fn told_apart(w: &World, ends: &Ends, poisoned: &str) -> String {
    is_told(w, ends, "stopped (md5-mismatch)").await;
    is_told(w, ends, "over: ").await;
    ends.all().iter().for_each(|text| no_name_in("what was received", text));
    let name = poisoned.trim_start_matches("samples/").trim_end_matches("/r1");
    let said = asks(w, Role::Nsc, &["pseudonym", name], 0, &["P-"]);
    let pseudonym = said.split_whitespace().find(|word| word.starts_with("P-")).unwrap().to_owned();
    assert!(ends.all().iter().any(|text| text.contains(&pseudonym)), "{pseudonym} is what was told");
    pseudonym
}

/// Fifteen questions.
fn morning(w: &World, urgent: &str, poisoned: &str, many: usize) {
    let (nsc, tsd) = (Role::Nsc, Role::Tsd);
    let dna = poisoned.trim_end_matches("/r1").rsplit('-').next().unwrap();
    let sent = format!("{} transferred", many - 2);
    // 1, 2: does it run, is it well? What is the tally?
    let _said = asks(w, nsc, &["status"], 0, &["running since", &sent, "1 quarantined", "1 held"]);
    let _said =
        asks(w, tsd, &["status"], 0, &["running since", &format!("{} ready", many - 3), "1 quarantined"]);
    // 3: is the urgent sample in production, and since when?
    let _said = asks(w, tsd, &["why", urgent], 0, &["ready", "urgent", "handed over", "[verifier]"]);
    // 4, 5: why is this one not in production, what is to be done?
    let _said = asks(w, nsc, &["why", dna], 0, &["quarantined", "stopped as", "md5-mismatch", "what to do"]);
    let _said = asks(w, tsd, &["why", CHANGED], 0, &["quarantined", "calls.vcf", "what to do"]);
    // 6: and this one?
    let who = std::env::var("USER").unwrap_or_default();
    let _said = asks(w, nsc, &["why", HELD], 0, &["held", "the laboratory calls back", &who]);
    // 7: the receiver does not know of it; where was it looked for?
    let _said = asks(w, tsd, &["why", HELD], 1, &["is not known here"]);
    // 8: what is stopped?
    let said = asks(w, nsc, &["list", "--stopped"], 0, &[HELD, poisoned]);
    assert!(!said.contains("Diag-result-08"), "{said}");
    // 9: is anything urgent still on its way?
    let said = asks(w, nsc, &["list", "--moving", "--priority", "urgent", "--json"], 0, &[]);
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["fit"], 0, "{said}");
    // 10, 11: what happened, is it over, do I have to act?
    let _said = asks(w, nsc, &["review"], 1, &["outages", "stopped", poisoned]);
    let _said = asks(w, tsd, &["review"], 1, &["outages", "stopped", CHANGED]);
    // 12: who had this sample, and is that certain?
    let _said =
        asks(w, tsd, &["custody", urgent], 0, &["handed over", "sha256sum", "every byte was read back"]);
    // 13: was the journal touched?
    let _said = asks(w, tsd, &["journal", "verify"], 0, &[]);
    // 14: what do the numbers say?
    for role in [nsc, tsd] {
        no_name_in(
            "the metrics",
            &asks(w, role, &["control", "get", "/metrics"], 0, &["tsd_import_packages"]),
        );
    }
    // 15: does it fit together? (That an upload is still being tidied up is a difference that is nobody's task.)
    let compared = format!("compared: {many} packages of the journal");
    let _said = asks(w, nsc, &["reconcile"], 0, &[&compared]);
    let held: Duration = {
        let fold = w.fold(nsc);
        let row = fold.package(&HELD.parse().unwrap()).unwrap();
        tsd_import::clock::age(row.since, tsd_import::clock::now())
    };
    assert!(held > Duration::ZERO && w.fold(nsc).packages().count() == many);
}
