//! A corpus of damaged packages, each with the verdict that it must get: none lands, each is stopped for its own reason, and the good ones
//! beside them become READY. All are signed as they should be unless that is their damage.
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;
use tsd_import::package::{PackageId, Reason, Sha256Hex, State};
use tsd_import::signature::Signer;

use crate::cargo::{Cargo, RESULTS, Sender, Signature, put};
use crate::real_tools::{SEEN_BY_RULES_ALONE, Tools, allowed, judged_by_tools, objects};
use crate::world::World;

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
        ("all-bytes-promised", of("all-bytes-promised").field("bytes", json!(u64::MAX)), Reason::TooLarge),
        ("many-gib-promised", of("many-gib-promised").field("bytes", json!(1_u64 << 50)), Reason::TooLarge),
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
        ("huge-count", of("huge-count").field("files", json!(u64::MAX)), Reason::TooLarge),
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

/// Each tool rejects what is in its province; what none of them can see is listed, with the reason, and nothing else is.
fn the_tools_see_what_is_theirs(seen: &[(usize, &'static str, Tools)]) {
    let mut wrong = Vec::new();
    let by_rules: BTreeSet<&str> =
        SEEN_BY_RULES_ALONE.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    for (group, name, tools) in seen {
        let content = tools.sums && tools.promise;
        let (missed, whose) = match group {
            0 => (content, "sha256sum, or the numbers of COMMIT"),
            3 => (tools.signature, "ssh-keygen"),
            _ => (false, ""),
        };
        if missed {
            wrong.push(format!("{name} must be seen by {whose}"));
        }
        let by_nobody = content && tools.signature;
        let listed = by_rules.contains(name);
        if by_nobody != listed {
            wrong.push(format!("{name}: seen by no tool: {by_nobody}, listed as such: {listed}"));
        }
    }
    let rejects = |of: fn(&Tools) -> bool| seen.iter().filter(|(.., tools)| !of(tools)).count();
    println!(
        "of {} damaged packages ssh-keygen rejects {}, sha256sum {}, the numbers of COMMIT {}; {} are seen by rules alone",
        seen.len(),
        rejects(|t| t.signature),
        rejects(|t| t.sums),
        rejects(|t| t.promise),
        by_rules.len()
    );
    let unknown: Vec<_> =
        by_rules.iter().filter(|name| !seen.iter().any(|(_, other, _)| other == *name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
    let (mut expected, mut good, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    let allowed = allowed(&world);
    let groups = [payload(), manifests(), commits(), signatures(&foreign), documents()];
    for (n, group) in groups.into_iter().enumerate() {
        // Good ones between them.
        good.push(sender.put(&Cargo::results(&format!("good-results-{n}"))));
        good.push(sender.put(&Cargo::sample(&format!("good-sample-{n}"))));
        good.push(sender.put(&Cargo::analysis(&format!("good-analysis-{n}"))));
        for (name, cargo, reason) in group {
            assert_eq!(name, cargo.name);
            let id = sender.put(&cargo);
            seen.push((n, name, judged_by_tools(&allowed, &objects(&world, &id.to_string()))));
            expected.push((id, reason));
        }
    }
    the_tools_see_what_is_theirs(&seen);
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
    for id in &good {
        let tools = judged_by_tools(&allowed, &objects(&world, &id.to_string()));
        assert!(tools.signature && tools.sums && tools.promise, "{id}: {tools:?}");
    }
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
