//! Each sort of line, changed in each of its bytes; lines taken out, put in, exchanged, cut off; a writer at work meanwhile.
use std::io::Write as _;
use std::path::PathBuf;

use super::*;
use crate::fs;
use crate::journal::{Acted, Lever};
use crate::journal::{Event, FILE, Facts, Incident, Phase, read};
use crate::package::{Commit, Draft, Order, PackageId, Priority, Reason, Revision, State};

fn id(n: u32) -> PackageId {
    format!("analyses/Diag-{n}/r1").parse().unwrap()
}

fn commit(n: u32, sequence: u64, previous: Option<Sha256Hex>) -> String {
    let commit = Commit {
        version: 1,
        package: id(n).name,
        kind: id(n).kind,
        revision: Revision::FIRST,
        priority: Priority::High,
        files: 1,
        bytes: 7,
        manifest_sha256: Sha256Hex::of(b"m"),
        sender: "gdx-login/1".parse().unwrap(),
        sequence,
        previous,
        committed_at: "2026-06-12T10:00:00Z".parse().unwrap(),
    };
    commit.to_text()
}

fn moved(n: u32, from: Option<State>, to: State, facts: Facts) -> Event {
    Event::Moved { package: id(n), from, to, by: "uploader".into(), facts: facts.into() }
}

/// Every sort of event, along legal moves.
fn every_sort() -> Vec<Event> {
    let at: Timestamp = "2026-06-12T10:00:00Z".parse().unwrap();
    let order = Order {
        id: crate::package::OrderId("A1".into()),
        artifacts: vec!["2-1".into()],
        packages: vec![Draft::bare(id(1))],
        note: None,
    };
    let (first, order_id) = (commit(1, 1, None), order.id.clone());
    let digest = Sha256Hex::of(first.as_bytes());
    let claim =
        |phase| Event::Claim { order: order_id.clone(), phase, step: None, technician: None, detail: None };
    let place = || Facts { place: Some("/x".into()), ..Facts::default() };
    let committing = |n, sequence, commit: &str| Event::Committing {
        package: id(n),
        sender: Some("gdx-login/1".parse().unwrap()),
        sequence,
        commit: commit.to_owned(),
    };
    let (what, why, actor) = ("seen".to_owned(), "so".to_owned(), "copier".to_owned());
    vec![
        Event::Started { role: "nsc".into(), host: "h".into(), pid: 7, version: "1".into() },
        Event::Ordered { order: Box::new(order) },
        Event::OrderFailed { order: order_id.clone(), failures: 1, error: why.clone(), retry_at: at },
        claim(Phase::Intent),
        claim(Phase::Opened),
        Event::Doubted {
            artifact: "2-2".into(),
            who: "HG2".into(),
            reason: Reason::LimsInvalid,
            detail: why.clone(),
            times: 1,
        },
        Event::Refused { artifact: "2-2".into(), done: false, detail: why.clone() },
        moved(1, Some(State::Found), State::Claimed, Facts::default()),
        moved(1, Some(State::Claimed), State::Packed, place()),
        moved(1, Some(State::Packed), State::Uploading, Facts::default()),
        Event::Failed { package: id(1), by: actor.clone(), failures: 1, error: why.clone(), retry_at: at },
        committing(1, 1, &first),
        moved(
            1,
            Some(State::Uploading),
            State::Committed,
            Facts { commit_sha256: Some(digest.clone()), ..Facts::default() },
        ),
        moved(2, None, State::Packed, place()),
        moved(2, Some(State::Packed), State::Uploading, Facts::default()),
        committing(2, 2, &commit(2, 2, Some(digest))),
        moved(3, None, State::Seen, Facts::default()),
        moved(3, Some(State::Seen), State::Copying, Facts::default()),
        moved(3, Some(State::Copying), State::Copied, place()),
        moved(3, Some(State::Copied), State::Verified, Facts::default()),
        Event::Placed { package: id(3), place: "/y".into() },
        moved(3, Some(State::Verified), State::Ready, place()),
        Event::Incident(Incident {
            actor: actor.clone(),
            incarnation: 1,
            cause: "panic".into(),
            detail: why.clone(),
            in_hand: vec![],
            streak: 1,
            budget_left: 3,
            next_delay_ms: None,
            action: "restart".into(),
            outcome: why.clone(),
        }),
        Event::Restarted { actor: actor.clone(), incarnation: 2, down_ms: 3 },
        Event::Degraded { actor: actor.clone(), why: why.clone() },
        Event::Recovered { actor, after_ms: 3 },
        Event::Silent { what: what.clone(), why: why.clone(), last: at },
        Event::Heard { what, after_ms: 4 },
        Event::Reloaded { changed: vec!["a".into()], needs_restart: vec![] },
        Event::Acted(Acted {
            act: Lever::Paced { limit: Some(7), until: Some(at) },
            by: why.clone(),
            why: why.clone(),
        }),
        Event::Stopped { exit: 0, why },
    ]
}

fn lines_of(events: Vec<Event>) -> Vec<String> {
    let mut prev = Sha256Hex::zero();
    let lines = events.into_iter().zip(1..).map(|(event, seq)| {
        let line = Line {
            v: VERSION,
            seq,
            at: Timestamp::from_second(1_800_000_000 + seq as i64).unwrap(),
            prev: prev.clone(),
            event,
        };
        let text = serde_json::to_string(&line).unwrap();
        prev = Sha256Hex::of(text.as_bytes());
        text
    });
    lines.collect()
}

fn proof_of(bytes: &[u8], heads: &[Head]) -> Proof {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
    prove(&path, heads, |_, _| {}).unwrap()
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn said(proof: &Proof) -> Vec<(u64, &str)> {
    proof.faults.iter().map(|f| (f.line, f.code)).collect()
}

#[test]
fn a_journal_as_it_was_written_is_whole() {
    let lines = lines_of(every_sort());
    let proof = proof_of(text(&lines).as_bytes(), &[]);
    assert_eq!(said(&proof), [], "{proof:?}");
    assert_eq!((proof.lines, proof.packages, proof.moves), (lines.len() as u64, 3, 12));
    assert_eq!(proof.head.sha256, Sha256Hex::of(lines.last().unwrap().as_bytes()));
    assert_eq!(proof.sent, [("gdx-login/1".parse().unwrap(), 2)]);
    assert_eq!(proof.replayed_until, proof.lines);
    assert_eq!(proof_of(b"", &[]).head, Head { line: 0, sha256: Sha256Hex::zero() });
}

/// Every sort of line, in the middle: whatever byte is changed, it is that line that is named (with the one behind it, where a
/// newline came or went).
#[test]
fn each_byte_of_each_sort_of_line_counts() {
    let lines = lines_of(every_sort());
    let whole = text(&lines).into_bytes();
    let mut start = 0;
    for (n, line) in lines.iter().enumerate().take(lines.len() - 1) {
        // All bytes of all lines are 12,000 proofs; every eleventh one, others in each line, is enough of them.
        for at in (start + n % 11..=start + line.len()).step_by(11) {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            let proof = proof_of(&bad, &[]);
            let number = n as u64 + 1;
            assert!(
                !proof.holds(),
                "line {number}, byte {at}: {}",
                String::from_utf8_lossy(&bad[start..at + 1])
            );
            let first = proof.faults[0].line;
            assert!((number..=number + 1).contains(&first), "line {number}, byte {at}: {:?}", proof.faults);
        }
        start += line.len() + 1;
    }
}

#[test]
fn the_last_line_is_proven_by_a_head_that_was_noted() {
    let lines = lines_of(every_sort());
    let mut other = lines.clone();
    let last = other.last_mut().unwrap();
    *last = last.replace("\"exit\":0", "\"exit\":1");
    let before = proof_of(text(&lines).as_bytes(), &[]).head;
    assert!(proof_of(text(&other).as_bytes(), &[]).holds(), "nothing stands behind it");
    let proof = proof_of(text(&other).as_bytes(), std::slice::from_ref(&before));
    assert_eq!(said(&proof), [(lines.len() as u64, "head")]);
    assert!(proof_of(text(&lines).as_bytes(), std::slice::from_ref(&before)).holds());
    // Cut off, and rewritten from somewhere with digests that fit.
    let cut = proof_of(text(&lines[..9]).as_bytes(), std::slice::from_ref(&before));
    assert!(!cut.holds() && cut.faults[0].what.contains("lines were cut off"), "{:?}", cut.faults);
    let mut events = every_sort();
    events[0] = Event::Started { role: "nsc".into(), host: "other".into(), pid: 7, version: "1".into() };
    let rewritten = text(&lines_of(events));
    assert!(proof_of(rewritten.as_bytes(), &[]).holds());
    assert_eq!(said(&proof_of(rewritten.as_bytes(), &[before])), [(lines.len() as u64, "head")]);
}

#[test]
fn the_changed_line_is_told_from_the_one_that_shows_it() {
    let lines = lines_of(every_sort());
    let changed = |from: &str, to: &str| {
        let whole = text(&lines);
        assert!(whole.contains(from), "{from}");
        proof_of(whole.replacen(from, to, 1).as_bytes(), &[])
    };
    assert_eq!(said(&changed("\"pid\":7", "\"pid\":8")), [(1, "changed")]);
    let proof = changed("\"phase\":\"opened\"", "\"phase\":\"failed\"");
    assert_eq!(said(&proof), [(5, "changed")]);
    assert_eq!(proof.replayed_until, 5, "what is behind a changed line is not replayed");
    // The digest in a line is part of it.
    let prev = serde_json::from_str::<Line>(&lines[8]).unwrap().prev;
    let other = Sha256Hex::of(b"other");
    assert_eq!(said(&changed(prev.as_str(), other.as_str())), [(9, "changed")]);
    assert_eq!(said(&changed("\"seq\":4,", "\"seq\":5,")), [(4, "number"), (4, "changed")]);
    assert_eq!(
        said(&changed("{\"v\":1,\"seq\":3,", "{\"v\":2,\"seq\":3,")),
        [(3, "version"), (3, "changed")]
    );
    let two = changed("\"pid\":7", "\"pid\":8");
    assert_eq!(two.more_faults, 0);
}

#[test]
fn lines_that_were_taken_out_put_in_or_exchanged_are_noticed_once() {
    let lines = lines_of(every_sort());
    let mut without = lines.clone();
    drop(without.drain(4..6));
    let proof = proof_of(text(&without).as_bytes(), &[]);
    assert!(said(&proof).contains(&(5, "number")), "{proof:?}");
    assert_eq!(proof.faults.iter().filter(|f| f.code == "number").count(), 1, "{proof:?}");
    let mut twice = lines.clone();
    twice.insert(6, lines[5].clone());
    assert!(!proof_of(text(&twice).as_bytes(), &[]).holds());
    let mut exchanged = lines.clone();
    exchanged.swap(4, 5);
    assert!(!proof_of(text(&exchanged).as_bytes(), &[]).holds());
    let headless = proof_of(text(&lines[1..]).as_bytes(), &[]);
    assert!(headless.faults.iter().any(|f| f.line == 1 && f.what.contains("beginning")), "{headless:?}");
}

#[test]
fn a_torn_end_is_said_and_is_no_fault() {
    let lines = lines_of(every_sort());
    let whole = text(&lines).into_bytes();
    let last = lines.last().unwrap().len();
    for cut in [1, 2, last / 2, last] {
        let proof = proof_of(&whole[..whole.len() - cut], &[]);
        assert!(proof.holds(), "{proof:?}");
        assert_eq!((proof.lines, proof.torn), (lines.len() as u64 - 1, (last + 1 - cut) as u64));
    }
}

#[test]
fn a_whole_chain_of_illegal_moves_is_no_proof() {
    let odd = |events: Vec<Event>| {
        let proof = proof_of(text(&lines_of(events)).as_bytes(), &[]);
        proof.faults.iter().map(|f| format!("{}: {}", f.line, f.what)).collect::<Vec<_>>().join("; ")
    };
    let seen = || moved(3, None, State::Seen, Facts::default());
    let ready = moved(3, Some(State::Seen), State::Ready, Facts::default());
    assert_eq!(odd(vec![seen(), ready]), "2: analyses/Diag-3/r1 may not move from seen to ready");
    let late = moved(3, Some(State::Copying), State::Copied, Facts::default());
    assert_eq!(odd(vec![seen(), late]), "2: analyses/Diag-3/r1 moves from copying, but it is seen");
    let placed = Event::Placed { package: id(3), place: "/y".into() };
    assert_eq!(odd(vec![placed]), "1: analyses/Diag-3/r1 is not known here");
    let uploading = || {
        [
            moved(1, None, State::Packed, Facts::default()),
            moved(1, Some(State::Packed), State::Uploading, Facts::default()),
        ]
    };
    let decided =
        |text: String, sequence| Event::Committing { package: id(1), sender: None, sequence, commit: text };
    let with = |event| odd(uploading().into_iter().chain([event]).collect());
    assert_eq!(with(decided(commit(1, 1, None), 1)), "");
    assert!(with(decided(commit(2, 1, None), 1)).contains("is about analyses/Diag-2/r1"));
    assert!(with(decided(commit(1, 2, Some(Sha256Hex::zero())), 2)).contains("but 1 comes next"));
    assert!(
        odd(vec![decided(commit(1, 1, None), 1)])
            .contains("a commit of analyses/Diag-1/r1 is decided, but it is nowhere")
    );
}

/// What is being written has no end yet, and more of it comes while it is read: neither a proof nor a plain reading may take that for damage.
#[test]
fn a_writer_at_work_is_not_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join(FILE);
    let whole = text(&lines_of(every_sort())).into_bytes();
    drop(fs::open(&path, fs::Mode::New).unwrap());
    let to = path.clone();
    let (done, over) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut file = fs::open(&to, fs::Mode::Append).unwrap();
        for piece in whole.chunks(11) {
            file.write_all(piece).unwrap();
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
        drop(done);
        whole.len()
    });
    let mut looks = 0;
    while over.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
        assert!(prove(&path, &[], |_, _| {}).unwrap().holds());
        read(dir.path(), |_| {}).unwrap();
        looks += 1;
    }
    assert!(looks > 10, "{looks}");
    let length = writer.join().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), length as u64);
}
