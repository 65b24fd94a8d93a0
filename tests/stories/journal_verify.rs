//! `journal verify` over the journals that real daemons wrote, beside it the loop of the documents that does the same without us.
use std::path::Path;
use std::process::{Command, Output};

use tsd_import::conf::Role;
use tsd_import::package::Priority;

use crate::world::{PROGRAM, World, sample_ids, text};

fn verify(journal: &Path, more: &[&str]) -> (Option<i32>, String) {
    let done = Command::new(PROGRAM)
        .args(["journal", "verify", "--journal"])
        .arg(journal)
        .args(more)
        .output()
        .unwrap();
    (done.status.code(), text(&done.stdout) + &text(&done.stderr))
}

/// The loop of docs/operations.md, as it stands there.
fn loop_of_the_documents(journal: &Path) -> Output {
    let docs = include_str!("../../docs/operations.md");
    let script =
        docs.split("```sh\n").find(|block| block.starts_with("prev=")).unwrap().split("```").next().unwrap();
    Command::new("sh").args(["-euc", script, "sh"]).arg(journal).output().unwrap()
}

#[tokio::test]
async fn the_journals_of_a_run_are_proven_with_us_and_without_us() {
    let mut world = World::new().await;
    let ids = sample_ids(&world.samples(2, 20_000));
    drop(
        world
            .site
            .drop_in("analyses-results/trios", "res", Priority::High, &[("a.vcf", b"v".to_vec())])
            .unwrap(),
    );
    let all: Vec<String> = ids.iter().cloned().chain(["analyses-results/trios/res/r1".to_owned()]).collect();
    world.start_both();
    // While they write.
    for _ in 0..20 {
        for role in [Role::Nsc, Role::Tsd] {
            let done = world.command(role, &["journal", "verify"]);
            let said = text(&done.stdout) + &text(&done.stderr);
            assert!(matches!(done.status.code(), Some(0 | 78)), "{said}");
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for id in &all {
        world
            .until(&format!("{id} landed"), |w| {
                w.state(Role::Tsd, id) == Some(tsd_import::package::State::Ready)
            })
            .await;
    }
    world.stop().await;
    for role in [Role::Nsc, Role::Tsd] {
        let journal = world.site.state(role).join("journal.jsonl");
        let lines = world.events(role).len();
        let (code, said) = verify(&journal, &[]);
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.contains(&format!("{lines} lines, from 20")) && said.contains("of 3 packages"),
            "{said}"
        );
        let head = said.lines().find_map(|line| line.strip_prefix("head  ")).unwrap().to_owned();
        let without_us = loop_of_the_documents(&journal);
        assert!(without_us.status.success(), "{}", text(&without_us.stderr));
        assert_eq!(text(&without_us.stdout).trim(), head, "the same head");
        let as_json: serde_json::Value =
            serde_json::from_slice(&world.command(role, &["journal", "verify", "--json"]).stdout).unwrap();
        assert_eq!(as_json["holds"], true);
        assert_eq!(
            format!(
                "{}:{}",
                as_json["proof"]["head"]["line"],
                as_json["proof"]["head"]["sha256"].as_str().unwrap()
            ),
            head
        );
        one_byte_of_each_sort_of_line(&journal, &world.path().join(role.as_str()).join("copy.jsonl"), &head);
    }
}

/// One byte of the first line of each sort is changed: both say no, and name the line.
fn one_byte_of_each_sort_of_line(journal: &Path, copy: &Path, head: &str) {
    let whole = std::fs::read(journal).unwrap();
    let (mut sorts, mut start) = (std::collections::BTreeSet::new(), 0);
    let count = whole.split_inclusive(|b| *b == b'\n').count();
    for (n, line) in whole.split_inclusive(|b| *b == b'\n').enumerate() {
        let value: serde_json::Value = serde_json::from_slice(line).unwrap();
        let sort = format!("{}{}", value["event"], value["to"]);
        if sorts.insert(sort.clone()) {
            let mut bad = whole.clone();
            bad[start + line.len() / 2] ^= 2;
            tsd_import::fs::write_durably(copy, &bad).unwrap();
            let (code, said) = verify(copy, &["--head", head]);
            assert_eq!(code, Some(1), "{sort}: {said}");
            let named = |n: usize| said.contains(&format!("! line {n}: "));
            assert!(named(n + 1) || named(n + 2), "{sort} in line {}: {said}", n + 1);
            assert!(said.contains("what to do: ") && said.contains("Do not edit the journal"), "{said}");
            let without_us = loop_of_the_documents(copy);
            let its_head = text(&without_us.stdout);
            assert!(!without_us.status.success() || its_head.trim() != head, "{sort}: {its_head}");
            assert!(
                n + 1 == count || !without_us.status.success(),
                "{sort}: only the last line needs the head"
            );
        }
        start += line.len();
    }
    assert!(sorts.len() > 6, "{sorts:?}");
    // Nothing to read is no proof.
    assert_eq!(verify(&copy.with_file_name("none.jsonl"), &[]).0, Some(78));
    // Torn.
    tsd_import::fs::write_durably(copy, &whole[..whole.len() - 5]).unwrap();
    let (code, said) = verify(copy, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("have no end"), "{said}");
}
