//! Every class of bytes of every control file, mutated: nothing of it becomes READY, nothing panics.
//!
//! Thousands of mutants go through the receiver's own judging functions in the order in which watcher, copier and verifier call them,
//! some dozens through the released way of the program. What must be refused is decided by oracles that are not ours: bytes that are
//! equal, `serde_json::Value`, `ssh-keygen`.
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;
use tsd_import::disk::OnDisk;
use tsd_import::package::{Commit, MAX_COMMIT_BYTES, Manifest, Md5Hex, PackageId, Sha256Hex, State};
use tsd_import::signature::{AllowedSigners, Signer};
use tsd_import::supervisor::Dice;
use tsd_import::tsd::check;

use crate::cargo::{Cargo, Sender, put};
use crate::real_tools::{allowed, objects, signature_holds};
use crate::world::World;

/// What a byte is to whoever reads the file.
#[derive(Clone, Copy, Debug)]
enum Class {
    Structural,
    Digit,
    HexLetter,
    OtherLetter,
    Space,
    Newline,
    Quote,
    NotAscii,
    Nul,
}

impl Class {
    const ALL: [Self; 9] = [
        Self::Structural,
        Self::Digit,
        Self::HexLetter,
        Self::OtherLetter,
        Self::Space,
        Self::Newline,
        Self::Quote,
        Self::NotAscii,
        Self::Nul,
    ];

    fn members(self) -> &'static [u8] {
        match self {
            Self::Structural => b"{}[]:,/.-_+=\\",
            Self::Digit => b"0123456789",
            Self::HexLetter => b"abcdefABCDEF",
            Self::OtherLetter => b"ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ",
            Self::Space => b" \t\x0b\x0c",
            Self::Newline => b"\n\r",
            Self::Quote => b"\"'`",
            Self::NotAscii => b"\x80\xbf\xc3\xa5\xe2\xff\xfe",
            Self::Nul => b"\0\x01\x7f",
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Flip,
    Replace,
    Delete,
    Insert,
    Double,
    Swap,
    Truncate,
}

impl Act {
    const ALL: [Self; 7] =
        [Self::Flip, Self::Replace, Self::Delete, Self::Insert, Self::Double, Self::Swap, Self::Truncate];
}

/// What becomes of a file.
#[derive(Clone, Copy, Debug)]
struct Mutation {
    class: Class,
    act: Act,
    at: usize,
    by: usize,
}

impl Mutation {
    fn of(class: usize, act: usize, at: usize, by: usize) -> Self {
        let (class, act) = (Class::ALL[class % Class::ALL.len()], Act::ALL[act % Act::ALL.len()]);
        Self { class, act, at, by }
    }

    /// Acts where bytes of its class stand; where none stands, anywhere.
    fn of_bytes(self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        if out.is_empty() {
            return out;
        }
        let members = self.class.members();
        let stand: Vec<usize> = (0..out.len()).filter(|n| members.contains(&out[*n])).collect();
        let at = if stand.is_empty() { self.at % out.len() } else { stand[self.at % stand.len()] };
        let (other, member) = (self.by % out.len(), members[self.by % members.len()]);
        match self.act {
            Act::Flip => out[at] ^= 1 << (self.by % 8),
            Act::Replace => out[other] = members[self.at % members.len()],
            Act::Delete => drop(out.drain(at..(at + 1 + self.by % 3).min(bytes.len()))),
            Act::Insert => out.insert(if self.by.is_multiple_of(2) { at } else { other }, member),
            Act::Double => {
                let until = (at + 1 + self.by % 90).min(out.len());
                let slice = out[at..until].to_vec();
                drop(out.splice(until..until, slice));
            }
            Act::Swap => out.swap(at, other),
            Act::Truncate => out.truncate(at),
        }
        out
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    (0..9usize, 0..7usize, 0..100_000usize, 0..100_000usize)
        .prop_map(|(class, act, at, by)| Mutation::of(class, act, at, by))
}

/// A right package as objects, and as the copier would leave it.
struct Good {
    id: PackageId,
    objects: BTreeMap<String, Vec<u8>>,
    document: String,
    dir: tempfile::TempDir,
}

struct Bench {
    goods: Vec<Good>,
    signer: Signer,
    allowed: AllowedSigners,
    allowed_file: PathBuf,
    _dir: tempfile::TempDir,
}

/// Without fsync: nothing of this outlives the test.
fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::File::create(path).unwrap().write_all(bytes).unwrap();
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (private, public) = Signer::generate().unwrap();
        let key = dir.path().join("key");
        write(&key, private.as_bytes());
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let allowed_file = dir.path().join("allowed_signers");
        let line = format!("gdx-login namespaces=\"tsd-import\" {public}\n");
        write(&allowed_file, line.as_bytes());
        let signer = Signer::from_file(&key).unwrap();
        let allowed = AllowedSigners::parse(&line, &allowed_file).unwrap();
        let cargoes = [Cargo::sample("Diag-wgs1-HG1"), Cargo::analysis("Diag-wgs1-HG1-Nett")];
        let goods = cargoes.into_iter().map(|cargo| Good::of(&cargo, &signer)).collect();
        Self { goods, signer, allowed, allowed_file, _dir: dir }
    }

    /// As if the sender had meant it: listed, committed and signed anew.
    fn sent_anew(
        &self,
        mut objects: BTreeMap<String, Vec<u8>>,
        manifest: Option<Vec<u8>>,
    ) -> BTreeMap<String, Vec<u8>> {
        let payload = |(name, _): &(&String, &Vec<u8>)| !OURS.contains(&name.as_str());
        let sums = || {
            objects.iter().filter(payload).map(|(name, bytes)| format!("{}  {name}\n", Sha256Hex::of(bytes)))
        };
        let manifest = manifest.unwrap_or_else(|| sums().collect::<String>().into_bytes());
        let listed: Vec<String> = String::from_utf8_lossy(&manifest)
            .lines()
            .filter_map(|line| line.split_once("  ").map(|(_, name)| name.to_owned()))
            .collect();
        let bytes: usize = listed.iter().filter_map(|name| objects.get(name)).map(Vec::len).sum();
        let mut commit: Value = serde_json::from_slice(&objects["COMMIT"]).unwrap();
        commit["manifest_sha256"] = Sha256Hex::of(&manifest).as_str().into();
        commit["files"] = manifest.iter().filter(|b| **b == b'\n').count().into();
        commit["bytes"] = bytes.into();
        let commit = format!("{commit:#}\n").into_bytes();
        drop(objects.insert("COMMIT.sig".into(), self.signer.sign(&commit).unwrap().into_bytes()));
        drop(objects.insert("COMMIT".into(), commit));
        drop(objects.insert("SHA256SUMS".into(), manifest));
        objects
    }
}

const OURS: [&str; 3] = ["COMMIT", "COMMIT.sig", "SHA256SUMS"];

impl Good {
    fn of(cargo: &Cargo, signer: &Signer) -> Self {
        let mut objects = cargo.files.clone();
        let sums = cargo.sums().into_bytes();
        let commit = serde_json::json!({"version": 1, "package": cargo.name, "kind": cargo.kind, "revision": 1, "priority": "normal",
            "files": cargo.files.len(), "bytes": cargo.files.values().map(Vec::len).sum::<usize>(),
            "manifest_sha256": Sha256Hex::of(&sums).as_str(), "sender": "gdx-login/1", "sequence": 2,
            "previous": Sha256Hex::of(b"before").as_str(), "committed_at": "2026-06-12T10:00:00Z"});
        let commit = format!("{commit:#}\n").into_bytes();
        drop(objects.insert("COMMIT.sig".into(), signer.sign(&commit).unwrap().into_bytes()));
        drop(objects.insert("COMMIT".into(), commit));
        drop(objects.insert("SHA256SUMS".into(), sums));
        let document =
            cargo.files.keys().find(|name| name.ends_with(".sample") || name.ends_with(".analysis"));
        let dir = tempfile::tempdir().unwrap();
        let id = format!("{}/{}/r1", cargo.kind, cargo.name).parse().unwrap();
        Self { id, objects, document: document.unwrap().clone(), dir }
    }

    fn control(&self, which: usize) -> &str {
        ["COMMIT", "COMMIT.sig", "SHA256SUMS", self.document.as_str()][which % 4]
    }

    /// What watcher, copier and verifier ask, with their own functions and in their order. `Ok`: it would become READY.
    fn judged(
        &self,
        objects: &BTreeMap<String, Vec<u8>>,
        signers: Option<&AllowedSigners>,
    ) -> Result<Commit, String> {
        let text =
            objects.get("COMMIT").filter(|text| text.len() as u64 <= MAX_COMMIT_BYTES).ok_or("its size")?;
        let commit = Commit::parse(text, &self.id).map_err(|e| e.to_string())?;
        if let Some(signers) = signers {
            let name = commit.sender.name.as_str();
            signers.verify(name, text, &objects["COMMIT.sig"]).map_err(|e| e.to_string())?;
        }
        let sums = &objects["SHA256SUMS"];
        if Sha256Hex::of(sums) != commit.manifest_sha256 {
            return Err("not the committed manifest".into());
        }
        let manifest = Manifest::parse(sums).map_err(|e| e.to_string())?;
        if manifest.len() as u64 != commit.files {
            return Err("another number of files".into());
        }
        let dir = self.dir.path().join("incoming");
        let mut total = 0;
        for (path, digest) in manifest.iter() {
            let bytes = objects.get(path.as_str()).ok_or_else(|| format!("no object {path}"))?;
            if Sha256Hex::of(bytes) != *digest {
                return Err(format!("{path} arrived with other bytes"));
            }
            total += bytes.len() as u64;
            write(&dir.join(path.as_str()), bytes);
        }
        if total != commit.bytes {
            return Err("another number of bytes".into());
        }
        write(&dir.join("SHA256SUMS"), sums);
        let on = OnDisk::alone();
        let found = check::manifest_is(&on, &dir, Some(&commit.manifest_sha256))
            .and_then(|()| check::verify(&on, &dir, Some(&self.id), |_| {}));
        // Nothing of one mutant may lie there for the next.
        for entry in walkdir::WalkDir::new(&dir).into_iter().flatten().filter(|e| e.file_type().is_file()) {
            std::fs::remove_file(entry.path()).unwrap();
        }
        found.map(|_verified| commit).map_err(|e| e.to_string())
    }
}

thread_local! {
    static BENCH: Bench = Bench::new();
    static TALLY: RefCell<BTreeMap<&'static str, usize>> = const { RefCell::new(BTreeMap::new()) };
}

fn count(what: &'static str) {
    TALLY.with_borrow_mut(|tally| *tally.entry(what).or_default() += 1);
}

fn in_transit(
    bench: &Bench,
    (package, file): (usize, usize),
    mutation: Mutation,
) -> Result<(), TestCaseError> {
    let good = &bench.goods[package % bench.goods.len()];
    let name = good.control(file);
    let mutated = mutation.of_bytes(&good.objects[name]);
    prop_assume!(mutated != good.objects[name]);
    let mut objects = good.objects.clone();
    drop(objects.insert(name.to_owned(), mutated));
    match good.judged(&objects, Some(&bench.allowed)) {
        Err(_) => count("refused with signers"),
        Ok(_) => {
            // One the library might take for the same is for others another.
            let agrees = name == "COMMIT.sig" && {
                let place = good.dir.path().join("seen-by-ssh-keygen");
                OURS.iter().for_each(|file| write(&place.join(file), &objects[*file]));
                signature_holds(&bench.allowed_file, &place)
            };
            return Err(TestCaseError::fail(format!(
                "{name} was changed and accepted (ssh-keygen agrees: {agrees})"
            )));
        }
    }
    // Without signers nobody vouches for COMMIT: what it says of the bytes must still be true.
    match good.judged(&objects, None) {
        Err(_) => count("refused without signers"),
        Ok(_) if name == "COMMIT.sig" => count("nobody reads the signature"),
        Ok(_) => {
            prop_assert_eq!(name, "COMMIT", "accepted though {} was changed", name);
            let [before, now] = [&good.objects[name], &objects[name]]
                .map(|text| serde_json::from_slice::<Value>(text).unwrap());
            for field in ["version", "package", "kind", "revision", "files", "bytes"] {
                prop_assert_eq!(&before[field], &now[field], "{}", field);
            }
            // A digest is the same in capitals.
            let digest = |commit: &Value| commit["manifest_sha256"].as_str().map(str::to_ascii_lowercase);
            prop_assert_eq!(digest(&before), digest(&now));
            count("unsigned, and says the same of the bytes");
        }
    }
    Ok(())
}

/// The sender itself wrote it like that, and vouches for it: what is accepted must still hold together for a reader of JSON.
fn as_if_meant(
    bench: &Bench,
    (package, file): (usize, usize),
    mutation: Mutation,
) -> Result<(), TestCaseError> {
    let good = &bench.goods[package % bench.goods.len()];
    let name = good.control(2 + file % 2);
    let mutated = mutation.of_bytes(&good.objects[name]);
    prop_assume!(mutated != good.objects[name]);
    let mut objects = good.objects.clone();
    let objects = if name == "SHA256SUMS" {
        bench.sent_anew(objects, Some(mutated))
    } else {
        drop(objects.insert(name.to_owned(), mutated));
        bench.sent_anew(objects, None)
    };
    let Ok(_) = good.judged(&objects, Some(&bench.allowed)) else {
        count("refused though signed");
        return Ok(());
    };
    prop_assert_ne!(name, "SHA256SUMS", "one text for one content");
    let document: Value =
        serde_json::from_slice(&objects[name]).map_err(|e| TestCaseError::fail(e.to_string()))?;
    prop_assert_eq!(&document["name"], good.id.name.as_str());
    if name.ends_with(".sample") {
        let reads = document["reads"].as_array().cloned().unwrap_or_default();
        prop_assert!(!reads.is_empty());
        for read in reads {
            let bytes = objects.get(read["path"].as_str().unwrap_or_default());
            prop_assert!(bytes.is_some(), "{}", read);
            let bytes = bytes.unwrap();
            prop_assert_eq!(read["size"].as_u64(), Some(bytes.len() as u64));
            let md5 = Md5Hex::of(bytes);
            let said = read["md5"].as_str().map(str::to_ascii_lowercase); // the same digest in capitals
            prop_assert_eq!(said.as_deref(), Some(md5.as_str()));
        }
    }
    count("signed anew, and still true");
    Ok(())
}

/// A package and one of its control files, by number, and what becomes of it.
type Trial = fn(&Bench, (usize, usize), Mutation) -> Result<(), TestCaseError>;

fn many(cases: u32, trial: Trial) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let strategy = ((0..2usize, 0..4usize), mutation());
    runner.run(&strategy, |(which, mutation)| BENCH.with(|bench| trial(bench, which, mutation))).unwrap();
    TALLY.with_borrow(|tally| println!("{tally:?}"));
}

#[test]
fn what_was_changed_on_its_way_is_never_ready() {
    BENCH.with(|bench| {
        for good in &bench.goods {
            for signers in [Some(&bench.allowed), None] {
                assert!(good.judged(&good.objects, signers).is_ok(), "{}: the right one is right", good.id);
            }
        }
    });
    many(3_000, in_transit);
    let refused = TALLY.with_borrow(|tally| tally["refused with signers"]);
    assert!(refused > 2_500, "{refused}");
}

#[test]
fn what_a_sender_wrote_wrong_itself_is_never_ready() {
    BENCH.with(|bench| {
        for good in &bench.goods {
            let anew = bench.sent_anew(good.objects.clone(), None);
            assert!(good.judged(&anew, Some(&bench.allowed)).is_ok(), "{}", good.id);
        }
    });
    many(1_500, as_if_meant);
    let refused = TALLY.with_borrow(|tally| tally["refused though signed"]);
    assert!(refused > 500, "{refused}");
}

/// The program itself, as it runs: it and the functions above must say the same of each.
#[tokio::test]
async fn the_program_refuses_what_its_functions_refuse() {
    let seed = std::env::var("TSD_IMPORT_SEED").ok().and_then(|s| s.parse().ok());
    let seed = seed.unwrap_or_else(|| tsd_import::clock::now().as_millisecond() as u64 & 0xfffff);
    println!("seed: TSD_IMPORT_SEED={seed}");
    let dice = Dice::seeded(seed);
    let below = |n: usize| (dice.roll() * n as f64) as usize;
    let options = SiteOptions { token_life: Duration::from_secs(900), ..SiteOptions::default() };
    let mut world = World::with(options).await;
    let allowed = AllowedSigners::from_file(&allowed(&world)).unwrap();
    let (mut sender, mut expected) = (Sender::of(&world), BTreeMap::new());
    for n in 0..72 {
        let name = format!("m-{n}");
        let cargo = if n % 2 == 0 { Cargo::sample(&name) } else { Cargo::analysis(&name) };
        let mut good = Good::of(&cargo, &sender.signer);
        let id = sender.put(&cargo);
        let place = objects(&world, &id.to_string());
        for (name, bytes) in &mut good.objects {
            *bytes = std::fs::read(place.join(name)).unwrap();
        }
        assert!(good.judged(&good.objects, Some(&allowed)).is_ok(), "{id}");
        let which = good.control(n / 2).to_owned();
        // Every class with every file; two in a row are left as they are.
        if n >= 2 {
            let before = good.objects[&which].clone();
            let mutated =
                std::iter::repeat_with(|| Mutation::of(n / 8, below(7), below(100_000), below(100_000)))
                    .map(|mutation| mutation.of_bytes(&before))
                    .find(|mutated| *mutated != before);
            drop(good.objects.insert(which.clone(), mutated.unwrap()));
            put(&place.join(&which), &good.objects[&which]);
        }
        let judged = good.judged(&good.objects, Some(&allowed));
        drop(expected.insert(id, (which, judged.map(drop))));
    }
    let soon = [("TSD_IMPORT__WORK__RETRY_FIRST", "50 ms"), ("TSD_IMPORT__WORK__RETRY_MAX", "100 ms")];
    world.start(Role::Tsd, &soon);
    let decided = |w: &World| {
        let fold = w.fold(Role::Tsd);
        fold.packages().count() == expected.len() && fold.under_way() == 0
    };
    world.until("all are decided about", decided).await;
    world.stop().await;
    let fold = world.fold(Role::Tsd);
    let mut ready = 0;
    for (id, (which, judged)) in &expected {
        let row = fold.package(id).unwrap();
        let landed = world.site.landing(id.kind.as_str()).join(id.name.as_str());
        match judged {
            Ok(()) => {
                ready += 1;
                assert_eq!(row.state, State::Ready, "{id} ({which}): {:?}", row.facts);
                assert!(landed.join("READY").exists());
            }
            Err(why) => {
                assert_eq!(row.state, State::Quarantined, "{id} ({which}): {why}; {:?}", row.facts);
                assert!(!landed.exists(), "{id}: {which}, {why}");
            }
        }
    }
    assert!(ready >= 2 && expected.len() - ready >= 60, "{ready}");
    assert!(!world.stderr(Role::Tsd).contains("panic"), "{}", world.stderr(Role::Tsd));
    println!("{} mutants refused by the program, {ready} packages READY", expected.len() - ready);
}
