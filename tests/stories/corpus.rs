//! A corpus of damaged packages, each with the verdict that it must get: none lands, each is stopped for its own reason, and the good ones
//! beside them become READY. All are signed as they should be unless that is their damage.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;
use tsd_import::package::{Md5Hex, PackageId, Reason, Sha256Hex, State};
use tsd_import::signature::Signer;

use crate::world::World;

const RESULTS: &str = "analyses-results/trios";

/// A package on its way into the bucket.
struct Cargo {
    kind: String,
    name: String,
    files: BTreeMap<String, Vec<u8>>,
    /// Text of `SHA256SUMS`, if not that of the files.
    manifest: Option<Vec<u8>>,
    /// What becomes of the objects behind the manifest.
    spoil: Vec<(String, Spoil)>,
    /// What becomes of the fields of `COMMIT`.
    fields: Vec<(String, Value)>,
    /// Bytes of `COMMIT`, if not those of the fields.
    text: Option<Vec<u8>>,
    signature: Signature,
}

enum Spoil {
    Gone,
    Bytes(Vec<u8>),
}

enum Signature {
    Right,
    Gone,
    Text(Vec<u8>),
    /// Of other bytes.
    OfOther,
    By(Box<Signer>),
}

impl Cargo {
    fn results(name: &str) -> Self {
        let files = [
            ("data.vcf", &b"##fileformat=VCFv4.2\n"[..]),
            ("qc/report.pdf", b"%PDF-1.7 report"),
            ("empty", b""),
        ];
        Self::of(RESULTS, name, files.map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).into())
    }

    fn sample(name: &str) -> Self {
        let reads = ["R1", "R2"]
            .map(|mate| (format!("HG1-KIT_S1_{mate}_001.fastq.gz"), mate.repeat(40).into_bytes()));
        let listed: Vec<Value> = reads
            .iter()
            .map(
                |(path, bytes)| json!({"path": path, "md5": Md5Hex::of(bytes).as_str(), "size": bytes.len()}),
            )
            .collect();
        let document = json!({"name": name, "sample_id": "HG1", "project": "Diag-wgs1", "sequencer_id": "LH00534",
            "flowcell_id": "22ABCDLT4", "flowcell": "A", "lane": 1, "capturekit": "wgs", "taqman": null, "stats": {},
            "reads": listed});
        let mut files: BTreeMap<String, Vec<u8>> = reads.into();
        drop(files.insert(format!("{name}.sample"), document.to_string().into_bytes()));
        Self::of("samples", name, files)
    }

    fn analysis(name: &str) -> Self {
        let document = json!({"name": name, "type": "genome", "samples": ["Diag-wgs1-HG1"], "priority": "1", "params": {}});
        let files = [(format!("{name}.analysis"), document.to_string().into_bytes())].into();
        Self::of("analyses", name, files)
    }

    fn of(kind: &str, name: &str, files: BTreeMap<String, Vec<u8>>) -> Self {
        let (spoil, fields) = (Vec::new(), Vec::new());
        let (kind, name) = (kind.to_owned(), name.to_owned());
        Self { kind, name, files, manifest: None, spoil, fields, text: None, signature: Signature::Right }
    }

    /// Another `.sample`, and everything else to match it.
    fn document(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let path = self
            .files
            .keys()
            .find(|path| path.ends_with(".sample") || path.ends_with(".analysis"))
            .unwrap()
            .clone();
        let mut document: Value = serde_json::from_slice(&self.files[&path]).unwrap();
        change(&mut document);
        drop(self.files.insert(path, document.to_string().into_bytes()));
        self
    }

    fn file(mut self, path: &str, bytes: &[u8]) -> Self {
        drop(self.files.insert(path.to_owned(), bytes.to_vec()));
        self
    }

    fn without(mut self, path: &str) -> Self {
        assert!(self.files.remove(path).is_some(), "{path}");
        self
    }

    /// The object holds other bytes than the manifest says.
    fn holds(mut self, path: &str, bytes: &[u8]) -> Self {
        assert!(self.files.contains_key(path), "{path}");
        self.spoil.push((path.to_owned(), Spoil::Bytes(bytes.to_vec())));
        self
    }

    fn lost(mut self, path: &str) -> Self {
        self.spoil.push((path.to_owned(), Spoil::Gone));
        self
    }

    fn sums(&self) -> String {
        self.files.iter().map(|(path, bytes)| format!("{}  {path}\n", Sha256Hex::of(bytes))).collect()
    }

    /// Another manifest, committed as it is.
    fn manifest(mut self, change: impl FnOnce(String) -> Vec<u8>) -> Self {
        self.manifest = Some(change(self.sums()));
        self
    }

    fn field(mut self, name: &str, value: Value) -> Self {
        self.fields.push((name.to_owned(), value));
        self
    }

    fn text(mut self, text: &[u8]) -> Self {
        self.text = Some(text.to_vec());
        self
    }

    fn signed(mut self, signature: Signature) -> Self {
        self.signature = signature;
        self
    }
}

/// A sender that puts whatever it is told.
struct Sender {
    bucket: PathBuf,
    signer: Signer,
    sequence: u64,
    previous: Option<Sha256Hex>,
}

fn put(path: &Path, bytes: &[u8]) {
    tsd_import::fs::create_dir(path.parent().unwrap()).unwrap();
    tsd_import::fs::write_durably(path, bytes).unwrap();
}

impl Sender {
    fn of(world: &World) -> Self {
        let bucket = world.site.dir.join("store/p22-import/tsd-import");
        let signer = Signer::from_file(&world.site.dir.join("nsc/secrets/signing-key")).unwrap();
        Self { bucket, signer, sequence: 0, previous: None }
    }

    fn put(&mut self, cargo: &Cargo) -> PackageId {
        let place = self.bucket.join(&cargo.kind).join(&cargo.name).join("r1");
        for (path, bytes) in &cargo.files {
            put(&place.join(path), bytes);
        }
        let manifest = cargo.manifest.clone().unwrap_or_else(|| cargo.sums().into_bytes());
        put(&place.join("SHA256SUMS"), &manifest);
        self.sequence += 1;
        let mut commit = json!({"version": 1, "package": cargo.name, "kind": cargo.kind, "revision": 1, "priority": "normal",
            "files": cargo.files.len(), "bytes": cargo.files.values().map(|bytes| bytes.len() as u64).sum::<u64>(),
            "manifest_sha256": Sha256Hex::of(&manifest).as_str(), "sender": "gdx-login/1", "sequence": self.sequence,
            "previous": self.previous.as_ref().map(Sha256Hex::as_str), "committed_at": "2026-06-12T10:00:00Z"});
        for (name, value) in &cargo.fields {
            match value {
                Value::Null => drop(commit.as_object_mut().unwrap().remove(name)),
                value => commit[name] = value.clone(),
            }
        }
        let text = cargo.text.clone().unwrap_or_else(|| format!("{commit:#}\n").into_bytes());
        self.previous = Some(Sha256Hex::of(&text));
        let signature = match &cargo.signature {
            Signature::Right => Some(self.signer.sign(&text).unwrap().into_bytes()),
            Signature::Gone => None,
            Signature::Text(text) => Some(text.clone()),
            Signature::OfOther => Some(self.signer.sign(b"other").unwrap().into_bytes()),
            Signature::By(signer) => Some(signer.sign(&text).unwrap().into_bytes()),
        };
        if let Some(signature) = signature {
            put(&place.join("COMMIT.sig"), &signature);
        }
        put(&place.join("COMMIT"), &text);
        for (path, spoil) in &cargo.spoil {
            match spoil {
                Spoil::Gone => tsd_import::fs::remove_file(&place.join(path)).unwrap(),
                Spoil::Bytes(bytes) => put(&place.join(path), bytes),
            }
        }
        format!("{}/{}/r1", cargo.kind, cargo.name).parse().unwrap()
    }
}

/// What the objects of a package hold.
fn payload() -> Vec<(&'static str, Cargo, Reason)> {
    use Reason::BytesDiffer as R;
    let of = Cargo::results;
    let vcf = b"##fileformat=VCFv4.2\n";
    vec![
        ("flipped", of("flipped").holds("data.vcf", b"##fileformat=VCFv4.3\n"), R),
        ("truncated", of("truncated").holds("data.vcf", &vcf[..10]), R),
        ("longer", of("longer").holds("data.vcf", &[vcf, &b"\n"[..]].concat()), R),
        ("emptied", of("emptied").holds("data.vcf", b""), R),
        ("filled", of("filled").holds("empty", b"x"), R),
        ("lost", of("lost").lost("qc/report.pdf"), R),
        ("empty-lost", of("empty-lost").lost("empty"), R),
        ("swapped", of("swapped").holds("data.vcf", b"%PDF-1.7 report").holds("qc/report.pdf", vcf), R),
        ("renamed", of("renamed").lost("data.vcf").holds("empty", vcf), R),
        ("more-bytes-promised", of("more-bytes-promised").field("bytes", json!(10_000)), R),
        ("fewer-bytes-promised", of("fewer-bytes-promised").field("bytes", json!(1)), R),
        ("all-bytes-promised", of("all-bytes-promised").field("bytes", json!(u64::MAX)), R),
        ("many-gib-promised", of("many-gib-promised").field("bytes", json!(1_u64 << 50)), R),
    ]
}

/// `SHA256SUMS` as no sender of ours writes it, committed and signed as it is.
fn manifests() -> Vec<(&'static str, Cargo, Reason)> {
    use Reason::BadManifest as R;
    let of = Cargo::results;
    let of_path = |name: &str, path: &str| {
        let path = path.to_owned();
        of(name).manifest(move |sums| {
            let mut lines: Vec<String> = sums.lines().map(|line| format!("{line}\n")).collect();
            lines[0] = format!("{}  {path}\n", Sha256Hex::of(b"x"));
            lines.sort_by_key(|line| line.split("  ").last().map(str::to_owned));
            lines.concat().into_bytes()
        })
    };
    let edit = |name: &str, from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        of(name).manifest(move |sums| {
            assert!(sums.contains(&from), "{from}");
            sums.replacen(&from, &to, 1).into_bytes()
        })
    };
    let long = format!("{}/x", "d/".repeat(9).trim_end_matches('/'));
    vec![
        ("no-manifest", of("no-manifest").lost("SHA256SUMS"), R),
        ("empty-manifest", of("empty-manifest").manifest(|_| Vec::new()), R),
        (
            "edited-manifest",
            of("edited-manifest").field("manifest_sha256", json!(Sha256Hex::of(b"x").as_str())),
            R,
        ),
        ("manifest-of-spaces", of("manifest-of-spaces").manifest(|_| b"   \n".to_vec()), R),
        (
            "upper-case",
            of("upper-case").manifest(|sums| sums.replace("data.vcf", "DATA").to_uppercase().into_bytes()),
            R,
        ),
        (
            "order",
            of("order").manifest(|sums| {
                sums.lines().rev().map(|l| format!("{l}\n")).collect::<String>().into_bytes()
            }),
            R,
        ),
        (
            "twice",
            of("twice").manifest(|sums| [sums.lines().next().unwrap(), "\n", &sums].concat().into_bytes()),
            R,
        ),
        ("no-last-newline", of("no-last-newline").manifest(|sums| sums.trim_end().as_bytes().to_vec()), R),
        ("crlf", of("crlf").manifest(|sums| sums.replace('\n', "\r\n").into_bytes()), R),
        ("binary-marks", edit("binary-marks", "  data", " *data"), R),
        ("one-space", edit("one-space", "  data", " data"), R),
        ("tabs", edit("tabs", "  data", "\tdata"), R),
        ("comment", of("comment").manifest(|sums| format!("# sums\n{sums}").into_bytes()), R),
        ("empty-line", of("empty-line").manifest(|sums| format!("{sums}\n").into_bytes()), R),
        ("bom", of("bom").manifest(|sums| format!("\u{feff}{sums}").into_bytes()), R),
        ("utf-16", of("utf-16").manifest(|sums| sums.encode_utf16().flat_map(u16::to_le_bytes).collect()), R),
        ("nul", edit("nul", "data.vcf", "data\0.vcf"), R),
        ("short-digest", of("short-digest").manifest(|sums| sums.as_bytes()[1..].to_vec()), R),
        ("sha-512", of("sha-512").manifest(|sums| format!("{}{sums}", "0".repeat(64)).into_bytes()), R),
        ("up", of_path("up", "../escaped"), R),
        ("up-below", of_path("up-below", "qc/../../escaped"), R),
        ("absolute", of_path("absolute", "/etc/passwd"), R),
        ("here", of_path("here", "./data"), R),
        ("double-slash", of_path("double-slash", "qc//data"), R),
        ("last-slash", of_path("last-slash", "data/"), R),
        ("backslash", of_path("backslash", "qc\\data"), R),
        ("control", of_path("control", "da\u{7}ta"), R),
        ("escape", of_path("escape", "\u{1b}[2Jdata"), R),
        ("unicode", of_path("unicode", "d\u{e5}ta"), R),
        ("right-to-left", of_path("right-to-left", "fcv.\u{202e}atad"), R),
        ("ready", of_path("ready", "READY"), R),
        ("ready-in-other-case", of_path("ready-in-other-case", "Ready"), R),
        ("commit-inside", of_path("commit-inside", "COMMIT"), R),
        ("sums-inside", of_path("sums-inside", "SHA256SUMS"), R),
        ("other-case", of_path("other-case", "EMPTY"), R),
        ("directory-in-other-case", of_path("directory-in-other-case", "QC/data"), R),
        ("file-and-directory", of_path("file-and-directory", "empty/data"), R),
        ("deep", of_path("deep", &format!("{long}/y/z")), R),
        ("long-name", of_path("long-name", &"n".repeat(256)), R),
        ("more-files-promised", of("more-files-promised").field("files", json!(4)), R),
        ("fewer-files-promised", of("fewer-files-promised").field("files", json!(2)), R),
        ("huge-count", of("huge-count").field("files", json!(u64::MAX)), R),
    ]
}

fn commits() -> Vec<(&'static str, Cargo, Reason)> {
    use Reason::BadCommit as R;
    let of = Cargo::results;
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let field = |name: &'static str, field: &str, value: Value| (name, of(name).field(field, value), R);
    let text = |name: &'static str, text: &[u8]| (name, of(name).text(text), R);
    vec![
        text("commit-empty", b""),
        text("commit-cut", b"{\"version\": 1, \"package\": \"commit-cut\""),
        text("commit-array", b"[1]"),
        text("commit-null", b"null"),
        text("commit-deep", deep.as_bytes()),
        text("commit-deep-field", format!("{{\"version\": 1, \"x\": {deep}}}").as_bytes()),
        text("commit-twice", b"{\"version\": 1}{\"version\": 1}"),
        text("commit-field-twice", b"{\"version\": 1, \"version\": 1}"),
        text("commit-not-utf-8", b"{\"version\": 1, \"package\": \"\xff\"}"),
        text("commit-large", &[b' '; 70_000]),
        field("version-2", "version", json!(2)),
        field("version-text", "version", json!("1")),
        field("other-package", "package", json!("other")),
        field("package-up", "package", json!("../other")),
        field("other-kind", "kind", json!("samples")),
        field("other-revision", "revision", json!(2)),
        field("no-files", "files", json!(0)),
        field("negative-files", "files", json!(-3)),
        field("half-a-file", "files", json!(2.5)),
        field("negative-bytes", "bytes", json!(-1)),
        field("no-bytes", "bytes", Value::Null),
        field("no-sequence", "sequence", Value::Null),
        field("sequence-0", "sequence", json!(0)),
        field("no-previous", "previous", Value::Null),
        field("odd-previous", "previous", json!("abc")),
        field("no-epoch", "sender", json!("gdx-login")),
        field("odd-sender", "sender", json!("../x/1")),
        field("soon", "priority", json!("soon")),
        field("short-digest-in-commit", "manifest_sha256", json!("abc")),
        field("no-time", "committed_at", json!("yesterday")),
    ]
}

fn signatures(foreign: &Path) -> Vec<(&'static str, Cargo, Reason)> {
    use Reason::BadSignature as R;
    let of = Cargo::results;
    let stranger = || Signature::By(Box::new(Signer::from_file(foreign).unwrap()));
    let cut = b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQ==\n-----END SSH SIGNATURE-----\n".to_vec();
    vec![
        ("unsigned", of("unsigned").signed(Signature::Gone), R),
        ("signature-empty", of("signature-empty").signed(Signature::Text(Vec::new())), R),
        ("signature-of-other", of("signature-of-other").signed(Signature::OfOther), R),
        ("signature-cut", of("signature-cut").signed(Signature::Text(cut)), R),
        ("signature-rubbish", of("signature-rubbish").signed(Signature::Text(vec![0xff; 900])), R),
        ("signature-large", of("signature-large").signed(Signature::Text(vec![b'a'; 40_000])), R),
        ("stranger", of("stranger").signed(stranger()), R),
        ("other-sender", of("other-sender").field("sender", json!("elsewhere/1")), R),
    ]
}

fn documents() -> Vec<(&'static str, Cargo, Reason)> {
    use Reason::{BadDocument as R, Md5Mismatch, SizeMismatch, UnknownKind};
    let (sample, analysis) = (Cargo::sample, Cargo::analysis);
    let r2 = "HG1-KIT_S1_R2_001.fastq.gz";
    let deep = |n: usize| format!("{{\"name\": {}{}}}", "[".repeat(n), "]".repeat(n));
    vec![
        ("s-none", sample("s-none").without("s-none.sample"), R),
        ("s-two", sample("s-two").file("other.sample", b"{}"), R),
        ("s-not-json", sample("s-not-json").file("s-not-json.sample", b"name: x"), R),
        ("s-deep", sample("s-deep").file("s-deep.sample", deep(50_000).as_bytes()), R),
        ("s-other-name", sample("s-other-name").document(|d| d["name"] = json!("s-other")), R),
        ("s-no-name", sample("s-no-name").document(|d| d["name"] = json!(null)), R),
        ("s-name-up", sample("s-name-up").document(|d| d["name"] = json!("../s")), R),
        ("s-no-reads", sample("s-no-reads").document(|d| d["reads"] = json!([])), R),
        ("s-read-missing", sample("s-read-missing").without(r2), R),
        (
            "s-read-up",
            sample("s-read-up").document(|d| d["reads"][0]["path"] = json!("../x_R1_001.fastq.gz")),
            R,
        ),
        ("s-unpaired", sample("s-unpaired").document(|d| drop(d["reads"].as_array_mut().unwrap().pop())), R),
        ("s-taqman-missing", sample("s-taqman-missing").document(|d| d["taqman"] = json!("x.taqman")), R),
        ("s-lane", sample("s-lane").document(|d| d["lane"] = json!(-1)), R),
        ("s-md5", sample("s-md5").document(|d| d["reads"][0]["md5"] = json!("0".repeat(32))), Md5Mismatch),
        ("s-odd-md5", sample("s-odd-md5").document(|d| d["reads"][0]["md5"] = json!("xyz")), R),
        ("s-size", sample("s-size").document(|d| d["reads"][1]["size"] = json!(1)), SizeMismatch),
        ("a-none", analysis("a-none").without("a-none.analysis").file("x", b"x"), R),
        ("a-two", analysis("a-two").file("b.analysis", b"{}"), R),
        ("a-other-name", analysis("a-other-name").document(|d| d["name"] = json!("b")), R),
        ("a-not-json", analysis("a-not-json").file("a-not-json.analysis", b"\0"), R),
        (
            "nowhere",
            Cargo::of("nobodys-kind", "nowhere", [("x".to_owned(), b"x".to_vec())].into()),
            UnknownKind,
        ),
    ]
}

#[tokio::test]
async fn each_damaged_package_is_stopped_for_its_reason_and_the_good_ones_become_ready() {
    let options = SiteOptions { token_life: Duration::from_secs(900), ..SiteOptions::default() };
    let mut world = World::with(options).await;
    let foreign = world.site.dir.join("foreign-key");
    let (private, _public) = Signer::generate().unwrap();
    put(&foreign, private.as_bytes());
    std::process::Command::new("chmod").arg("600").arg(&foreign).status().unwrap();

    let mut sender = Sender::of(&world);
    let (mut expected, mut good) = (Vec::new(), Vec::new());
    let groups = [payload(), manifests(), commits(), signatures(&foreign), documents()];
    for (n, group) in groups.into_iter().enumerate() {
        // Good ones between them.
        good.push(sender.put(&Cargo::results(&format!("good-results-{n}"))));
        good.push(sender.put(&Cargo::sample(&format!("good-sample-{n}"))));
        good.push(sender.put(&Cargo::analysis(&format!("good-analysis-{n}"))));
        for (name, cargo, reason) in group {
            assert_eq!(name, cargo.name);
            expected.push((sender.put(&cargo), reason));
        }
    }
    // What lies beside a package's own objects is nobody's.
    let besides = sender.put(&Cargo::results("besides"));
    put(&sender.bucket.join(RESULTS).join("besides/r1/more.vcf"), b"more");
    good.push(besides);
    // One whose number was given out before, and one that was copied to another place.
    sender.sequence -= 1;
    expected.push((sender.put(&Cargo::results("number-twice")), Reason::CommitFork));
    let copied = sender.bucket.join(RESULTS).join("copied/r1");
    for file in ["COMMIT", "COMMIT.sig", "SHA256SUMS", "data.vcf", "qc/report.pdf", "empty"] {
        let bytes = std::fs::read(sender.bucket.join(RESULTS).join("good-results-0/r1").join(file)).unwrap();
        put(&copied.join(file), &bytes);
    }
    expected.push((format!("{RESULTS}/copied/r1").parse().unwrap(), Reason::BadCommit));
    let names: BTreeSet<&PackageId> = expected.iter().map(|(id, _)| id).collect();
    assert_eq!(names.len(), expected.len(), "each has a name of its own");
    assert!(expected.len() >= 60, "{}", expected.len());

    // What does not fit is looked at again before it is stopped.
    let soon = [("TSD_IMPORT__WORK__RETRY_FIRST", "50 ms"), ("TSD_IMPORT__WORK__RETRY_MAX", "100 ms")];
    world.start(Role::Tsd, &soon);
    let all = expected.len() + good.len();
    world
        .until("all are decided about", |w| {
            let fold = w.fold(Role::Tsd);
            fold.packages().count() == all && fold.under_way() == 0
        })
        .await;
    let fold = world.fold(Role::Tsd);
    let mut wrong = Vec::new();
    for (id, reason) in &expected {
        let row = fold.package(id).unwrap();
        if (row.state, row.facts.reason) != (State::Quarantined, Some(*reason)) {
            wrong.push(format!(
                "{id}: {} {:?} {:?}, not {reason}",
                row.state, row.facts.reason, row.facts.detail
            ));
        }
        let landed = world.site.landing(id.kind.as_str()).join(id.name.as_str());
        assert!(!landed.exists(), "{} must not be there", landed.display());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for id in &good {
        assert_eq!(
            fold.package(id).unwrap().state,
            State::Ready,
            "{id}: {:?}",
            fold.package(id).unwrap().facts
        );
    }
    assert!(!world.site.landing(RESULTS).join("besides/more.vcf").exists());
    // Nothing but the good ones, the manifests of which hold for a tool that knows nothing of us.
    for kind in [RESULTS, "samples", "analyses"] {
        for entry in std::fs::read_dir(world.site.landing(kind)).unwrap() {
            let entry = entry.unwrap();
            assert!(good.iter().any(|id| entry.file_name() == id.name.as_str()), "{:?}", entry.path());
            let mut check = std::process::Command::new("sha256sum");
            let check = check.args(["-c", "--strict", "--quiet", "SHA256SUMS"]).current_dir(entry.path());
            assert!(check.status().unwrap().success(), "{:?}", entry.path());
        }
    }
    assert!(!world.path().join("escaped").exists() && !world.site.dir.join("tsd/escaped").exists());
    println!(
        "{} damaged packages, each stopped for its reason; {} good ones READY",
        expected.len(),
        good.len()
    );
    world.stop().await;
}
