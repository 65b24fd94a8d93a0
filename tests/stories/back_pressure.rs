//! Back-pressure is exact: a sink that stands still stops the source at the configured number, the urgent have their own
//! places, and 10,000 packages that wait cost the same memory as a few.
use std::path::Path;

use tsd_import::conf::Role;
use tsd_import::journal::{Event, Fold};
use tsd_import::package::{Commit, Priority, Sender, Sha256Hex, State};
use tsd_import::signature::Signer;

use crate::world::World;

const LIMIT: usize = 40;
const URGENT: usize = 5;
const WINDOW: [(&str, &str); 2] =
    [("TSD_IMPORT__WORK__UNDER_WAY", "40"), ("TSD_IMPORT__WORK__UNDER_WAY_URGENT", "5")];

/// Resident memory of a process in KiB.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The most that were ever under way, from the journal.
fn most_under_way(world: &World, role: Role) -> usize {
    let (mut fold, mut most) = (Fold::default(), 0);
    for line in world.events(role) {
        fold.apply(&line);
        if matches!(line.event, Event::Moved { .. }) {
            most = most.max(fold.under_way());
        }
    }
    most
}

fn place(path: &Path, bytes: &[u8]) {
    tsd_import::fs::create_dir(path.parent().unwrap()).unwrap();
    tsd_import::fs::write_volatile(path, bytes).unwrap(); // thousands of fsyncs prove nothing here
}

fn drop_in(world: &World, names: impl Iterator<Item = String>, priority: Priority) {
    let tree = world.site.dir.join("nsc/transfer/production").join(priority.as_str());
    for name in names {
        let dir = tree.join("analyses-results/singles").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        place(&dir.join("result.vcf"), b"##fileformat=VCFv4.3\n");
        place(&dir.join("COMPLETE"), b"");
    }
}

#[tokio::test]
async fn a_store_that_is_away_stops_the_scan_at_the_limit_whatever_waits_in_the_tree() {
    let mut world = World::new().await;
    drop_in(&world, (0..100).map(|n| format!("few-{n:05}")), Priority::Normal);
    let away = [WINDOW[0], WINDOW[1], ("TSD_IMPORT__STORE__ENDPOINT", "http://127.0.0.1:9")];
    world.start(Role::Nsc, &away);
    let under_way = |w: &World| w.fold(Role::Nsc).under_way();
    world.until("the window is full", |w| under_way(w) >= LIMIT).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let pid = world.daemons[0].1.pid().unwrap();
    let few = memory(pid);

    drop_in(&world, (0..10_000).map(|n| format!("many-{n:05}")), Priority::Normal);
    let said = |w: &World| String::from_utf8(w.command(Role::Nsc, &["status"]).stdout).unwrap();
    world.until("the scan saw them all", |w| said(w).contains("10060 package(s): wait in the tree")).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let many = memory(pid);
    assert_eq!(under_way(&world), LIMIT);
    println!("resident: {few} KiB with 60 waiting outside, {many} KiB with 10,060");
    assert!(many < few + 24 * 1024, "{few} KiB with 60 waiting, {many} KiB with 10,060");

    drop_in(&world, (0..20).map(|n| format!("urgent-{n:05}")), Priority::Urgent);
    world.until("the urgent have their own places", |w| under_way(w) == LIMIT + URGENT).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(most_under_way(&world, Role::Nsc), LIMIT + URGENT, "and no more than those");
    world.stop().await;

    // The store is back: whatever urgent is packed goes before what is normal, and the window is kept while everything flows.
    let before = world.events(Role::Nsc).len();
    world.start(Role::Nsc, &WINDOW);
    let sent = |w: &World, p: Priority| {
        w.fold(Role::Nsc).in_state(State::Transferred).filter(|row| row.priority == p).count()
    };
    world
        .until("a hundred are sent, the urgent among them", |w| {
            sent(w, Priority::Urgent) == 20 && sent(w, Priority::Normal) >= 80
        })
        .await;
    world.stop().await;
    let (urgent, normal, overtaken) = turns(&world, before);
    assert!(urgent >= 15 && normal >= 40, "{urgent} urgent and {normal} normal ones began");
    // One normal package has its turn after every eight urgent ones (work.overtakes).
    assert!(overtaken <= urgent / 8 + 1, "{overtaken} times a normal one began while an urgent one waited");
    assert!(most_under_way(&world, Role::Nsc) <= LIMIT + URGENT);
}

/// Urgent and normal packages whose upload began after the first `before` events, and how often a normal one began while an
/// urgent one had been waiting for it for longer than all that could have been in hand.
fn turns(world: &World, before: usize) -> (usize, usize, usize) {
    const IN_HAND: usize = 5; // work.packages_at_once and the express place
    let (mut fold, mut packed) = (Fold::default(), std::collections::BTreeMap::new());
    let (mut urgent, mut normal, mut overtaken) = (0, 0, 0);
    for (n, line) in world.events(Role::Nsc).into_iter().enumerate() {
        fold.apply(&line);
        let Event::Moved { package, to, .. } = &line.event else { continue };
        let is_urgent = fold.package(package).unwrap().priority == Priority::Urgent;
        match to {
            State::Packed if is_urgent => {
                let _was = packed.insert(package.clone(), urgent + normal);
            }
            State::Uploading => {
                let _was = packed.remove(package);
                if n < before {
                    continue;
                }
                let waited = packed.values().any(|since| urgent + normal > since + IN_HAND);
                overtaken += usize::from(!is_urgent && waited);
                *(if is_urgent { &mut urgent } else { &mut normal }) += 1;
            }
            _ => {}
        }
    }
    (urgent, normal, overtaken)
}

#[tokio::test]
async fn a_copier_that_stands_still_stops_the_watcher_at_the_limit_whatever_lies_in_the_bucket() {
    let mut world = World::new().await;
    let bucket = world.site.dir.join("store/p22-import/tsd-import/samples");
    let signer = Signer::from_file(&world.site.dir.join("nsc/secrets/signing-key")).unwrap();
    let mut previous = None;
    for n in 0..600_u64 {
        let name = format!("Diag-{n:05}");
        let priority = if n >= 590 { Priority::Urgent } else { Priority::Normal };
        let commit = Commit {
            version: 1,
            package: name.parse().unwrap(),
            kind: "samples".parse().unwrap(),
            revision: "r1".parse().unwrap(),
            priority,
            files: 1,
            bytes: 21,
            manifest_sha256: Sha256Hex::of(b"never fetched"),
            sender: Sender { name: "gdx-login".parse().unwrap(), epoch: 1 },
            sequence: n + 1,
            previous: previous.take(),
            committed_at: tsd_import::clock::now(),
        };
        let (dir, text) = (bucket.join(name).join("r1"), commit.to_text());
        previous = Some(Sha256Hex::of(text.as_bytes()));
        place(&dir.join("COMMIT.sig"), signer.sign(text.as_bytes()).unwrap().as_bytes());
        place(&dir.join("COMMIT"), text.as_bytes());
    }
    let stuck = [WINDOW[0], WINDOW[1], ("FAILPOINTS", "copier.unit=return(its disk does not answer)")];
    world.start(Role::Tsd, &stuck);
    let under_way = |w: &World| w.fold(Role::Tsd).under_way();
    world
        .until("the window is full, and the places of the urgent", |w| {
            let urgent = w.fold(Role::Tsd).packages().filter(|r| r.priority == Priority::Urgent).count();
            urgent == URGENT && under_way(w) == LIMIT + URGENT
        })
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(under_way(&world), LIMIT + URGENT, "nothing leaves, nothing comes");
    assert_eq!(most_under_way(&world, Role::Tsd), LIMIT + URGENT);
    let status = String::from_utf8(world.command(Role::Tsd, &["status"]).stdout).unwrap();
    assert!(status.contains("wait in the bucket until fewer than 40 are under way"), "{status}");
    assert!(status.contains("copier cannot work"), "{status}");
    world.stop().await;
}
