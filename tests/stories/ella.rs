//! ELLA's eyes: a client that polls an incoming folder as ELLA does, while packages land and the daemon is killed again and again. What it
//! finds with `READY` must be whole at that very moment, and it finds each package once.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;
use tsd_import::journal::Event;
use tsd_import::package::{Sha256Hex, State};

use crate::cargo::{Cargo, Sender};
use crate::kill_minus_nine::Moments;
use crate::world::World;

/// Of each kind that is watched.
const PACKAGES: usize = 18;
const KILLS: usize = 22;
const KINDS: [&str; 2] = ["ella-incoming", "analyses"];

/// What one reader has seen.
#[derive(Default)]
struct Seen {
    looks: u64,
    /// Directories at a look that had no READY yet.
    not_yet: u64,
    taken: BTreeMap<String, usize>,
    bytes: u64,
    wrong: Vec<String>,
}

/// Takes what is READY, as ELLA does: lists the directories, takes one whose `READY` is there, reads all of it, moves it away.
fn read(incoming: &Path, imported: &Path, over: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    loop {
        let last = over.load(Ordering::Relaxed);
        seen.looks += 1;
        for entry in std::fs::read_dir(incoming).unwrap() {
            let dir = entry.unwrap().path();
            if !dir.join("READY").exists() {
                seen.not_yet += 1;
                continue;
            }
            let name = dir.file_name().unwrap().to_string_lossy().into_owned();
            match whole(&dir, &name) {
                Ok(bytes) => seen.bytes += bytes,
                Err(why) => seen.wrong.push(format!("{name}: {why}")),
            }
            let times = seen.taken.entry(name.clone()).or_default();
            *times += 1;
            tsd_import::fs::publish(&dir, &imported.join(format!("{name}.{times}"))).unwrap();
        }
        if last {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Name = stem = what the document calls itself; every file of the manifest is there and right; nothing else is. Read with nothing of the
/// program but a digest.
fn whole(dir: &Path, name: &str) -> Result<u64, String> {
    let slurp = |path: &str| std::fs::read(dir.join(path)).map_err(|e| format!("{path}: {e}"));
    let document: Value =
        serde_json::from_slice(&slurp(&format!("{name}.analysis"))?).map_err(|e| e.to_string())?;
    if document["name"] != name {
        return Err(format!("its .analysis calls itself {}", document["name"]));
    }
    let manifest = String::from_utf8(slurp("SHA256SUMS")?).map_err(|e| e.to_string())?;
    let (mut bytes, mut listed) = (0, vec![PathBuf::from("READY"), PathBuf::from("SHA256SUMS")]);
    for line in manifest.lines() {
        let (digest, path) = line.split_once("  ").ok_or("a line of the manifest")?;
        let text = slurp(path)?;
        if Sha256Hex::of(&text).as_str() != digest {
            return Err(format!("{path} has {} bytes that are not those of the manifest", text.len()));
        }
        bytes += text.len() as u64;
        listed.push(PathBuf::from(path));
    }
    listed.sort();
    let found = tsd_import::fs::plain_files(dir).map_err(|e| e.to_string())?;
    if found != listed {
        return Err(format!("holds {found:?}, not {listed:?}"));
    }
    Ok(bytes)
}

/// Documents, small files, and one that takes several requests.
fn cargo(kind: &str, name: &str, size: usize) -> Cargo {
    let document =
        json!({"name": name, "type": "genome", "samples": ["Diag-wgs1-HG1"], "priority": "2", "params": {}});
    let noise = |seed: usize, size: usize| -> Vec<u8> {
        let step = |n: usize| (n.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503)) >> 7;
        (0..size).map(|n| step(n + seed) as u8).collect()
    };
    let mut files = BTreeMap::from([(format!("{name}.analysis"), document.to_string().into_bytes())]);
    for n in 0..6 {
        drop(files.insert(format!("qc/part-{n}.json"), noise(size + n, 1_000 + size % 977)));
    }
    drop(files.insert(format!("{name}.vcf"), noise(size, size)));
    Cargo::of(kind, name, files)
}

#[tokio::test]
async fn what_ella_sees_is_whole_whenever_the_daemon_is_killed() {
    let moments = Moments::new();
    let options = SiteOptions { token_life: Duration::from_secs(900), ..SiteOptions::default() };
    let mut world = World::with(options).await;
    let mut sender = Sender::of(&world);
    let over = Arc::new(AtomicBool::new(false));
    let readers: Vec<(PathBuf, JoinHandle<Seen>)> = KINDS
        .into_iter()
        .map(|kind| {
            let (incoming, imported) = (world.site.landing(kind), world.site.dir.join("imported").join(kind));
            tsd_import::fs::create_dir(&imported).unwrap();
            let (to, over) = (imported.clone(), over.clone());
            (imported, std::thread::spawn(move || read(&incoming, &to, &over)))
        })
        .collect();
    let soon = [("TSD_IMPORT__WATCH__INTERVAL", "100 ms"), ("TSD_IMPORT__WORK__RHYTHM", "50 ms")];
    let (mut ids, mut kills, mut under_way_at_kill) = (Vec::new(), 0, 0);
    while kills < KILLS {
        world.start(Role::Tsd, &soon);
        let starts = |w: &World| {
            w.events(Role::Tsd).iter().filter(|l| matches!(l.event, Event::Started { .. })).count()
        };
        world.until("it has begun", |w| starts(w) > kills).await;
        // While it works: what there is to land comes bit by bit, so that each kill meets something.
        for kind in KINDS {
            if ids.len() < KINDS.len() * PACKAGES {
                let size = 20_000 + moments.below(9 << 20) as usize;
                ids.push(sender.put(&cargo(kind, &format!("Diag-{kind}-{}", ids.len()), size)).to_string());
            }
        }
        // From its first look to some time behind the end of what it has.
        tokio::time::sleep(Duration::from_millis(moments.below(1_200))).await;
        world.kill(Role::Tsd).await;
        kills += 1;
        under_way_at_kill += usize::from(world.fold(Role::Tsd).under_way() > 0);
    }
    world.start(Role::Tsd, &soon);
    let all = |w: &World| ids.iter().all(|id| w.state(Role::Tsd, id) == Some(State::Ready));
    world.until("all have landed", all).await;
    world.stop().await;
    over.store(true, Ordering::Relaxed);
    let mut taken = 0;
    for (kind, (imported, reader)) in KINDS.into_iter().zip(readers) {
        let seen = reader.join().unwrap();
        println!(
            "{kind}: {} looks, {} times a directory without READY, {} packages with {} bytes taken",
            seen.looks,
            seen.not_yet,
            seen.taken.len(),
            seen.bytes
        );
        assert!(seen.wrong.is_empty(), "{:#?}", seen.wrong);
        assert!(seen.taken.values().all(|times| *times == 1), "each once: {:?}", seen.taken);
        assert_eq!(seen.taken.len(), ids.iter().filter(|id| id.starts_with(&format!("{kind}/"))).count());
        // It still is what it was: nobody wrote into it after it was taken.
        for name in seen.taken.keys() {
            whole(&imported.join(format!("{name}.1")), name).unwrap();
        }
        taken += seen.taken.len();
        assert_eq!(
            std::fs::read_dir(world.site.landing(kind)).unwrap().count(),
            0,
            "{kind}: nothing is left"
        );
    }
    world.nothing_is_left_incoming();
    let ready = world.events(Role::Tsd).into_iter();
    let ready = ready.filter(|l| matches!(&l.event, Event::Moved { to: State::Ready, .. })).count();
    assert_eq!((taken, ready), (ids.len(), ids.len()), "each came to its end once");
    assert!(ids.len() > 30 && kills > 20, "{} packages, {kills} kills", ids.len());
    println!(
        "{kills} times killed, {under_way_at_kill} of them with packages under way; {taken} packages taken, all whole"
    );
    assert!(under_way_at_kill >= kills / 4, "most kills met nothing: {under_way_at_kill} of {kills}");
}
