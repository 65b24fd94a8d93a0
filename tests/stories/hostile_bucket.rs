//! What comes out of the bucket is hostile until proven: nothing wrong becomes READY, everybody else arrives.
use std::path::Path;

use tsd_import::conf::Role;
use tsd_import::package::{Commit, PackageId, Reason, State};

use crate::world::{World, sample_ids, text};

fn plant(root: &Path, key: &str, bytes: &[u8]) {
    let path = root.join("store/p22-import/tsd-import").join(key);
    tsd_import::fs::create_dir(path.parent().unwrap()).unwrap();
    tsd_import::fs::write_durably(&path, bytes).unwrap();
}

#[tokio::test]
async fn planted_and_damaged_packages_are_refused_each_with_its_reason() {
    let mut world = World::new().await;
    let dna = world.samples(3, 300_000);
    world.start(Role::Nsc, &[]);
    let sent = |w: &World| w.fold(Role::Nsc).tally().get(&State::Transferred) == Some(&3);
    world.until("three packages are in the bucket", sent).await;

    let root = world.site.dir.clone();
    let bucket = root.join("store/p22-import/tsd-import/samples");
    let of = |n: usize| format!("Diag-wgs1-{}", dna[n]);
    // A flipped byte in a payload object.
    let reads = std::fs::read_dir(bucket.join(of(0)).join("r1")).unwrap().map(|e| e.unwrap().path());
    let reads = reads.filter(|p| p.to_string_lossy().ends_with("gz")).min().unwrap();
    let mut bytes = std::fs::read(&reads).unwrap();
    bytes[1000] ^= 1;
    tsd_import::fs::write_durably(&reads, &bytes).unwrap();
    // A manifest that is not the committed one.
    let sums = bucket.join(of(1)).join("r1/SHA256SUMS");
    let text_of = std::fs::read_to_string(&sums).unwrap();
    tsd_import::fs::write_durably(&sums, text_of.replacen('a', "b", 1).as_bytes()).unwrap();
    // A commit that names another package; one that nobody signed; rubbish; keys that are no package's.
    let good = std::fs::read(bucket.join(of(2)).join("r1/COMMIT")).unwrap();
    let signature = std::fs::read(bucket.join(of(2)).join("r1/COMMIT.sig")).unwrap();
    let id: PackageId = sample_ids(&dna)[2].parse().unwrap();
    let mut forged = Commit::parse(&good, &id).unwrap();
    forged.package = "Forged".parse().unwrap();
    plant(&root, "samples/Moved/r1/COMMIT", &good);
    plant(&root, "samples/Forged/r1/COMMIT", forged.to_text().as_bytes());
    plant(&root, "samples/Forged/r1/COMMIT.sig", &signature);
    forged.package = "Unsigned".parse().unwrap();
    plant(&root, "samples/Unsigned/r1/COMMIT", forged.to_text().as_bytes());
    plant(&root, "samples/Rubbish/r1/COMMIT", b"{\"version\": 1");
    plant(&root, "samples/Traversal/r1/COMMIT", forged.to_text().replace("Unsigned", "../../etc").as_bytes());
    plant(&root, "samples/white space/r1/COMMIT", &good);

    world.start(Role::Tsd, &[]);
    let expected = [
        (of(0), Reason::BytesDiffer),
        (of(1), Reason::BadManifest),
        ("Moved".into(), Reason::BadCommit),
        ("Forged".into(), Reason::BadSignature),
        ("Unsigned".into(), Reason::BadSignature),
        ("Rubbish".into(), Reason::BadCommit),
        ("Traversal".into(), Reason::BadCommit),
    ];
    for (name, reason) in &expected {
        let id: PackageId = format!("samples/{name}/r1").parse().unwrap();
        world
            .until(&format!("{name} is quarantined"), |w| {
                w.state(Role::Tsd, &id.to_string()) == Some(State::Quarantined)
            })
            .await;
        assert_eq!(world.fold(Role::Tsd).package(&id).unwrap().facts.reason, Some(*reason), "{name}");
        assert!(!world.site.landing("samples").join(name).exists(), "{name} must not land");
    }
    let innocent = sample_ids(&dna)[2].clone();
    world.until("the innocent one is READY", |w| w.state(Role::Tsd, &innocent) == Some(State::Ready)).await;
    world
        .until("the incoming area is empty", |w| {
            std::fs::read_dir(w.site.dir.join("tsd/archive/.incoming")).unwrap().count() == 0
        })
        .await;
    // `status` may be a second behind.
    let says = |w: &World| {
        let status = text(&w.command(Role::Tsd, &["status"]).stdout);
        status.contains("white space") && status.contains("may hold only letters")
    };
    world.until("status names the key that is nobody's", says).await;
    world.stop().await;
    assert_eq!(world.fold(Role::Tsd).tally().get(&State::Ready), Some(&1));
    // What was copied before it was found wrong is kept aside, with the reason beside it.
    let aside = world.site.dir.join("tsd/archive/.quarantine");
    let note = std::fs::read_to_string(aside.join(format!("samples~{}~r1.reason.json", of(0)))).unwrap();
    assert!(note.contains("bytes-differ") && note.contains("as a new revision"), "{note}");
}
