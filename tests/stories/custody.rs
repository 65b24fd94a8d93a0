//! The whole way of a package, told from both sides' records, and checked with the commands that are named and nothing of ours.
use std::path::Path;
use std::process::Command;

use tsd_import::conf::Role;
use tsd_import::demo::site::PROJECT;
use tsd_import::fs;
use tsd_import::signature::Signer;

use crate::world::{World, sample_ids, text};

/// Runs every command of the README in the evidence; those that fail.
fn failing(evidence: &Path) -> Vec<String> {
    let readme = std::fs::read_to_string(evidence.join("README.md")).unwrap();
    let commands: Vec<&str> =
        readme.split("```sh\n").skip(1).map(|block| block.split("\n```").next().unwrap()).collect();
    assert!(commands.len() >= 8, "{readme}");
    let fails = |command: &&&str| {
        !Command::new("sh").args(["-euc", command]).current_dir(evidence).output().unwrap().status.success()
    };
    commands.iter().filter(fails).map(|command| (*command).to_owned()).collect()
}

/// Changes one byte of a file for as long as `while_so` runs.
fn with_another_byte(path: &Path, while_so: impl FnOnce()) {
    let good = std::fs::read(path).unwrap();
    let mut bad = good.clone();
    let at = bad.len() / 2;
    bad[at] ^= 1;
    fs::write_durably(path, &bad).unwrap();
    while_so();
    fs::write_durably(path, &good).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)] // the store answers while a command is waited for
async fn the_whole_way_is_told_and_checked_without_us() {
    let mut world = World::new().await;
    let dna = world.samples(2, 20_000);
    let ids = sample_ids(&dna);
    world.start_both();
    world.see_it_through(&ids).await;
    let at = |name: &str| world.path().join(name);
    let run = |role, args: &[&str]| {
        let done = world.command(role, &[&["custody"], args].concat());
        (done.status.code(), text(&done.stdout) + &text(&done.stderr))
    };
    // One that may be several is asked back; a part of the name is enough.
    let (code, said) = run(Role::Tsd, &[PROJECT]);
    assert_eq!(code, Some(1), "{said}");
    assert!(ids.iter().all(|id| said.contains(id.as_str())), "{said}");
    assert_eq!(run(Role::Tsd, &["HG99"]).0, Some(1));
    // Each side knows its side, and says what it does not know.
    let (code, said) = run(Role::Tsd, &[&dna[0]]);
    assert_eq!(code, Some(0), "{said}");
    for expected in [
        "? ",
        "where it came from is not known here",
        "p22-hpc-02",
        "COMMIT was read and believed",
        "every byte was read back",
        "handed over",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let (code, said) = run(Role::Nsc, &[&ids[0]]);
    assert_eq!(code, Some(0), "{said}");
    for expected in [
        "gdx-login",
        "LIMS step 24-",
        "md5 ",
        "the bytes of COMMIT were decided: number",
        "COMMIT is signed by SHA256:",
        "what became of it at the receiving side is not known",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    // Joined, from an export and from the journal.
    let export = at("nsc.json");
    fs::write_durably(&export, &world.command(Role::Nsc, &["custody", &ids[0], "--json"]).stdout).unwrap();
    let (code, said) = run(Role::Tsd, &[&ids[0], "--with", export.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("ok COMMIT: nsc and tsd say ") && said.contains("?  nsc: told by an export"),
        "{said}"
    );
    let (journal, evidence) = (world.site.state(Role::Nsc).join("journal.jsonl"), at("evidence"));
    let args =
        [ids[0].as_str(), "--with", journal.to_str().unwrap(), "--evidence", evidence.to_str().unwrap()];
    let (code, said) = run(Role::Tsd, &args);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("ok nsc: its journal is whole") && !said.contains("\n! ") && !said.contains("\n? "),
        "{said}"
    );
    assert_eq!(run(Role::Tsd, &args).0, Some(78), "evidence is never written over");
    assert_eq!(failing(&evidence), Vec::<String>::new(), "every claim holds");
    mutants(&world, &evidence, &ids[0]);
    // An export that was changed contradicts, whoever changed it.
    let told = std::fs::read_to_string(&export).unwrap();
    let value: serde_json::Value = serde_json::from_str(&told).unwrap();
    let digest = value["sides"][0]["commit_sha256"].as_str().unwrap();
    fs::write_durably(&export, told.replace(digest, &"ab".repeat(32)).as_bytes()).unwrap();
    let (code, said) = run(Role::Tsd, &[&ids[0], "--with", export.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("\n!  COMMIT: nsc says abab"), "{said}");
    for (with, why) in [(&ids[1], "it is about"), (&ids[0], "it is of this side")] {
        let own = at("tsd.json");
        fs::write_durably(&own, &world.command(Role::Tsd, &["custody", with, "--json"]).stdout).unwrap();
        let (code, said) = run(Role::Tsd, &[&ids[0], "--with", own.to_str().unwrap()]);
        assert!(code == Some(1) && said.contains(why), "{said}");
    }
    // The bucket is emptied and the consumer has taken the package: what was kept is still told, and what is gone is said.
    fs::discard_scratch(&world.site.dir.join("store/p22-import/tsd-import/samples")).unwrap();
    let landed = world.site.landing("samples").join(format!("{PROJECT}-{}", dna[0]));
    fs::publish(&landed, &at("imported")).unwrap();
    let later = at("later");
    let (code, said) = run(Role::Tsd, &[&ids[0], "--evidence", later.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    for expected in [
        "taken away by its consumer",
        "SHA256SUMS is not in the bucket any more",
        "COMMIT is signed by SHA256:",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(later.join("COMMIT").is_file() && !later.join("SHA256SUMS").exists());
}

/// Whatever is changed, one of the commands says so.
fn mutants(world: &World, evidence: &Path, id: &str) {
    for (file, command) in [
        ("COMMIT", "ssh-keygen"),
        ("COMMIT", "sha256sum -c --strict DIGESTS"),
        ("COMMIT.sig", "ssh-keygen"),
        ("SHA256SUMS", "sha256sum -c --strict DIGESTS"),
        ("journal-tsd.jsonl", "cmp - journal-tsd.jsonl"),
        ("journal-nsc.jsonl", "cmp - journal-nsc.jsonl"),
    ] {
        with_another_byte(&evidence.join(file), || {
            let failing = failing(evidence);
            assert!(failing.iter().any(|failed| failed.contains(command)), "{file}: {failing:?}");
        });
    }
    let name = id.split('/').nth(1).unwrap();
    let landed = world.site.landing("samples").join(name);
    let reads = fs::plain_files(&landed)
        .unwrap()
        .into_iter()
        .find(|p| p.to_string_lossy().contains("fastq"))
        .unwrap();
    with_another_byte(&landed.join(reads), || {
        assert!(failing(evidence).iter().any(|failed| failed.starts_with("cd ")), "a file of the package");
    });
    let delivered = world.site.delivered(name.strip_prefix("Diag-wgs1-").unwrap()).unwrap();
    with_another_byte(&delivered[0], || {
        assert!(failing(evidence).iter().any(|failed| failed.contains("md5sum")), "a delivered file");
    });
    // Somebody else's key under the sender's name.
    let allowed = evidence.join("allowed_signers");
    let good = std::fs::read(&allowed).unwrap();
    let (_, public) = Signer::generate().unwrap();
    fs::write_durably(&allowed, format!("gdx-login {public}\n").as_bytes()).unwrap();
    assert!(failing(evidence).iter().any(|failed| failed.contains("ssh-keygen")));
    fs::write_durably(&allowed, &good).unwrap();
    assert_eq!(failing(evidence), Vec::<String>::new());
}
