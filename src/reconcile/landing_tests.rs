//! Which difference, and which fix: above all that nothing is let through that may have landed.
use super::landing::{Fact, Half, Known, Lies, Promise, Said, Stopped, World, judge};
use super::{Fix, Level};
use crate::journal::Facts;
use crate::package::{PackageId, Reason, Sha256Hex, State};

fn id() -> PackageId {
    "samples/Diag-1/r1".parse().unwrap()
}

fn good() -> Promise {
    let facts = Facts { manifest_sha256: Some(Sha256Hex::of(b"m")), ..Facts::default() };
    Promise::Good { facts: Box::new(facts), committed_at: "2026-06-12T10:00:00Z".parse().unwrap() }
}

fn lies(manifest: Option<&[u8]>, ready: bool) -> Option<Lies> {
    Some(Lies { path: "/p/Diag-1".into(), ready, wants_ready: true, manifest: manifest.map(Sha256Hex::of) })
}

fn half(seat: Option<&str>) -> Half {
    Half { path: "/p/.incoming/x".into(), seat: seat.map(str::to_owned) }
}

fn known(state: State) -> Option<Known> {
    let (manifest, reason) = (Some(Sha256Hex::of(b"m")), Some(Reason::LandedBefore));
    Some(Known { state, placed: false, manifest, reason, promised: true })
}

/// Code, level, and what the fix is.
fn of(lost: bool, fact: Fact, said: &Said) -> Vec<(&'static str, Level, String)> {
    let world = World {
        lost,
        running: false,
        seat: Some("a1".into()),
        packages: [(id(), fact)].into(),
        ..World::default()
    };
    let word = |fix: Option<Fix>| match fix {
        None => "-".to_owned(),
        Some(Fix::Adopt { .. }) => "adopt".into(),
        Some(Fix::Stop { reason, .. }) => reason.code().into(),
        Some(Fix::Release) => "release".into(),
        Some(Fix::Aside { from }) => format!("aside {}", from.display()),
    };
    judge(&world, said).into_iter().map(|d| (d.code, d.level, word(d.fix))).collect()
}

fn one(lost: bool, fact: Fact) -> (&'static str, String) {
    let all = of(lost, fact, &Said::default());
    let [(code, _, fix)] = &all[..] else { panic!("{all:?}") };
    (*code, fix.clone())
}

#[test]
fn what_lies_in_place_with_the_committed_manifest_is_read_back_and_journalled() {
    for lost in [false, true] {
        let fact = Fact { promise: Some(good()), place: lies(Some(b"m"), true), ..Fact::default() };
        assert_eq!(one(lost, fact), ("landed-unknown", "adopt".into()));
    }
}

#[test]
fn what_lies_in_place_and_is_not_proven_is_never_adopted() {
    let odd = || Promise::Odd(Reason::BadSignature, "no".into());
    for (promise, place) in [
        (good(), lies(Some(b"n"), true)),
        (good(), lies(None, true)),
        (good(), lies(Some(b"m"), false)),
        (odd(), lies(Some(b"m"), true)),
    ] {
        let fact = Fact { promise: Some(promise), place, ..Fact::default() };
        assert_eq!(one(false, fact.clone()), ("in-the-way", "-".into()));
        assert_eq!(one(true, fact), ("in-the-way", "landed-before".into()));
    }
    let fact = Fact { place: lies(Some(b"m"), true), ..Fact::default() };
    for lost in [false, true] {
        assert_eq!(one(lost, fact.clone()), ("foreign", "-".into()), "no commit, no proof");
    }
}

#[test]
fn with_a_lost_journal_nothing_lands_that_may_have_landed() {
    let promised = |promise| Fact { promise: Some(promise), ..Fact::default() };
    assert_eq!(one(false, promised(good())), ("new", "-".into()));
    assert_eq!(one(true, promised(good())), ("landed-before", "landed-before".into()));
    let odd = Promise::Odd(Reason::BadCommit, "no".into());
    assert_eq!(
        one(true, promised(odd)),
        ("landed-before", "landed-before".into()),
        "it may be readable later"
    );
    // What shows that it did not.
    let ours = Fact { incoming: vec![half(None)], ..promised(good()) };
    assert_eq!(one(true, ours), ("new", "-".into()));
    let others = Fact { incoming: vec![half(Some("b2"))], ..promised(good()) };
    assert_eq!(of(true, others, &Said::default())[0].0, "landed-before", "another host may have gone on");
    let new = Said { new: [id()].into(), lost_at: None };
    assert_eq!(of(true, promised(good()), &new), [("new", Level::Note, "-".into())]);
    for (at, code) in [("2026-06-12T09:59:59Z", "new"), ("2026-06-12T10:00:00Z", "landed-before")] {
        let said = Said { lost_at: Some(at.parse().unwrap()), ..Said::default() };
        assert_eq!(of(true, promised(good()), &said)[0].0, code, "{at}");
    }
    // What was stopped stays stopped, for its own reason, whatever is said.
    let before = Stopped { reason: Some(Reason::BytesDiffer), detail: "x".into() };
    let stopped = Fact { stopped: Some(before), ..promised(good()) };
    assert_eq!(of(true, stopped, &new)[0], ("stopped-before", Level::Act, "bytes-differ".into()));
}

#[test]
fn what_the_journal_knows_is_compared_with_what_lies_there() {
    let of = |state, fact: Fact| {
        let all = of(false, Fact { known: known(state), ..fact }, &Said::default());
        all.into_iter().map(|(code, _, fix)| format!("{code} {fix}")).collect::<Vec<_>>().join(", ")
    };
    let there = Some(Promise::There);
    assert_eq!(of(State::Ready, Fact { place: lies(Some(b"m"), true), ..Fact::default() }), "");
    assert_eq!(
        of(State::Ready, Fact::default()),
        "",
        "its consumer has taken it, and the bucket was cleaned"
    );
    assert_eq!(
        of(State::Ready, Fact { place: lies(Some(b"m"), false), ..Fact::default() }),
        "ready-missing -"
    );
    assert_eq!(
        of(State::Ready, Fact { place: lies(Some(b"n"), true), ..Fact::default() }),
        "manifest-changed -"
    );
    let left = vec![half(Some("a1"))];
    assert_eq!(
        of(State::Ready, Fact { incoming: left.clone(), ..Fact::default() }),
        "scratch aside /p/.incoming/x"
    );
    assert_eq!(of(State::Copied, Fact { incoming: left, ..Fact::default() }), "");
    // What another host left is neither a sign of ours nor in our way.
    let other = vec![half(Some("b2"))];
    assert_eq!(of(State::Ready, Fact { incoming: other.clone(), ..Fact::default() }), "of-another-host -");
    let gone = Fact { incoming: other, ..Fact::default() };
    assert_eq!(of(State::Copied, gone), "copy-gone -, of-another-host -");
    assert_eq!(of(State::Copied, Fact::default()), "copy-gone -");
    assert_eq!(of(State::Seen, Fact::default()), "commit-gone -");
    assert_eq!(of(State::Seen, Fact { promise: there.clone(), ..Fact::default() }), "");
    assert_eq!(
        of(State::Copying, Fact { promise: there, place: lies(None, false), ..Fact::default() }),
        "in-the-way -"
    );
    assert_eq!(of(State::Quarantined, Fact { stopped: Some(Stopped::default()), ..Fact::default() }), "");
}

#[test]
fn a_person_says_that_it_is_new_and_only_what_waits_for_that_is_taken_up() {
    let new = Said { new: [id()].into(), lost_at: None };
    let stopped =
        || Fact { known: known(State::Quarantined), promise: Some(Promise::There), ..Fact::default() };
    let word = |fact| {
        of(false, fact, &new)
            .into_iter()
            .map(|(code, _, fix)| format!("{code} {fix}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(word(stopped()), "released release");
    let other = |change: fn(&mut Known)| {
        let mut fact = stopped();
        change(fact.known.as_mut().unwrap());
        word(fact)
    };
    assert_eq!(other(|known| known.reason = Some(Reason::BadSignature)), "not-released -");
    assert_eq!(other(|known| known.promised = false), "not-released -");
    assert_eq!(other(|known| known.state = State::Ready), "not-released -");
    assert_eq!(word(Fact { place: lies(None, false), ..stopped() }), "not-released -");
    assert_eq!(word(Fact { promise: None, ..stopped() }), "not-released -");
}

#[test]
fn scratch_of_nobody_is_moved_aside_only_while_nobody_works() {
    let fact = Fact { incoming: vec![half(None)], ..Fact::default() };
    assert_eq!(one(false, fact.clone()), ("scratch", "aside /p/.incoming/x".into()));
    let world = World {
        running: true,
        packages: [(id(), fact)].into(),
        strangers: vec!["/p/odd d".into()],
        ..World::default()
    };
    let all = judge(&world, &Said::default());
    assert!(all[0].fix.is_none() && all[1].code == "stranger" && all[1].level == Level::Note, "{all:?}");
}

#[test]
fn what_lies_under_a_name_is_the_revision_whose_manifest_it_has() {
    let second: PackageId = "samples/Diag-1/r2".parse().unwrap();
    let of_first = |manifest: &[u8]| Fact {
        known: known(State::Ready).map(|known| Known { manifest: Some(Sha256Hex::of(manifest)), ..known }),
        ..Fact::default()
    };
    for (lying, differences) in [(&b"m"[..], 0), (b"old", 0), (b"neither", 1)] {
        let first = Fact { place: lies(Some(lying), true), ..of_first(b"old") };
        let packages = [(id(), first), (second.clone(), of_first(b"m"))].into();
        let mut world = World { packages, ..World::default() };
        world.attribute();
        let codes: Vec<_> = judge(&world, &Said::default()).into_iter().map(|d| d.code).collect();
        assert_eq!(codes.len(), differences, "{codes:?}");
        assert!(codes.iter().all(|code| *code == "manifest-changed"));
    }
}
