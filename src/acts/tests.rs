//! Whatever people do in whatever order: every move is a legal one, nothing becomes READY that was not verified since it was last taken
//! up, what is said to undo an act undoes it, and a dry run is the act up to the journal.
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::journal::{Event, Fold, Line};
use crate::package::{Reason, Sha256Hex};

fn at(secs: u64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs as i64).unwrap()
}

/// A journal in memory.
#[derive(Default)]
struct Book {
    fold: Fold,
    lines: u64,
}

impl Book {
    fn write(&mut self, event: Event) {
        self.lines += 1;
        let line = Line { v: 1, seq: self.lines, at: at(self.lines), prev: Sha256Hex::zero(), event };
        self.fold.apply(&line);
    }

    fn go(&mut self, id: &PackageId, to: State, facts: Facts) {
        let from = self.fold.package(id).map(|row| row.state);
        assert!(State::may_move(from, to), "{from:?} to {to}");
        self.write(Event::Moved {
            package: id.clone(),
            from,
            to,
            by: "an actor".into(),
            facts: facts.into(),
        });
    }

    /// As [`perform`] does it.
    fn act(&mut self, act: &Act, site: Site) -> Result<Told, Refusal> {
        let Plan { deed, told } = judge(&self.fold, act, site, at(self.lines))?;
        match deed {
            Deed::Nothing => {}
            Deed::Move { package, from, to, facts } => {
                assert_eq!(self.fold.package(&package).map(|row| row.state), Some(from));
                self.go(&package, to, Facts { detail: Some("why".into()), ..*facts });
            }
            Deed::Pull(act, still) => {
                if let Some((package, state)) = still {
                    assert_eq!(self.fold.package(&package).map(|row| row.state), Some(state));
                }
                self.write(Event::Acted(crate::journal::Acted { act, by: "anna".into(), why: "why".into() }));
            }
        }
        Ok(told)
    }
}

const SENDER: Site = Site { role: Role::Nsc, shared: false };
const RECEIVER: Site = Site { role: Role::Tsd, shared: false };

fn id() -> PackageId {
    "samples/Diag-wgs1-HG12345677/r1".parse().unwrap()
}

fn commit_seen() -> Facts {
    let digest = Some(Sha256Hex::of(b"x"));
    Facts { manifest_sha256: digest.clone(), commit_sha256: digest, ..Facts::default() }
}

/// The facts with which an actor moves there.
fn facts(to: State, reason: usize) -> Facts {
    match to {
        State::Seen => commit_seen(),
        State::Quarantined => {
            Facts { reason: Some(Reason::ALL[reason % Reason::ALL.len()]), ..Facts::default() }
        }
        _ => Facts::default(),
    }
}

fn every(package: &str) -> Vec<Act> {
    let package = || package.to_owned();
    let mut acts = vec![
        Act::Hold { package: package() },
        Act::Release { package: package() },
        Act::Retry { package: package(), from: None },
        Act::Reexport { package: package() },
        Act::Pause { what: "uploads".into() },
        Act::Resume { what: "uploads".into() },
        Act::Pause { what: "copier".into() },
        Act::Bandwidth { limit: Limit::Bytes(1), until: None },
        Act::Bandwidth { limit: Limit::AsConfigured, until: None },
        Act::Undrain,
    ];
    acts.extend(State::ALL.map(|from| Act::Retry { package: package(), from: Some(from) }));
    acts.extend(Priority::ALL.map(|priority| Act::Priority { package: package(), priority }));
    acts
}

/// What is undone must be as before: where it is, how soon, who is paused, which limit counts.
fn levers_of(book: &Book) -> (Option<Priority>, Vec<String>) {
    let row = book.fold.package(&id());
    let lines = levers::lines(&book.fold, at(book.lines));
    let words = lines.iter().map(|line| line.split(" by ").next().unwrap_or_default().to_owned());
    (row.map(|row| row.priority), words.collect())
}

/// The act that these words of a command line are.
fn undoing(words: &str) -> Act {
    let words: Vec<&str> = words.split(' ').collect();
    match words.as_slice() {
        ["hold", package] => Act::Hold { package: (*package).to_owned() },
        ["release", package] => Act::Release { package: (*package).to_owned() },
        ["priority", package, priority] => {
            Act::Priority { package: (*package).to_owned(), priority: priority.parse().unwrap() }
        }
        ["pause", what] => Act::Pause { what: (*what).to_owned() },
        ["resume", what] => Act::Resume { what: (*what).to_owned() },
        ["bandwidth", "as-configured"] => Act::Bandwidth { limit: Limit::AsConfigured, until: None },
        ["bandwidth", "off"] => Act::Bandwidth { limit: Limit::Off, until: None },
        ["bandwidth", limit] => {
            let bytes = limit.trim_end_matches("B/s").parse().unwrap();
            Act::Bandwidth { limit: Limit::Bytes(bytes), until: None }
        }
        odd => panic!("{odd:?}"),
    }
}

fn walk(site: Site, steps: Vec<(bool, usize, usize)>) {
    let (mut book, id) = (Book::default(), id());
    for (person, pick, reason) in steps {
        let state = book.fold.package(&id).map(|row| row.state);
        if !person {
            let ours = |to: &&State| {
                let sender = matches!(
                    to,
                    State::Found
                        | State::Claimed
                        | State::Packed
                        | State::Uploading
                        | State::Committed
                        | State::Transferred
                );
                // Only people hold and release.
                let released = matches!(state, Some(State::Held | State::Quarantined));
                let stops = matches!(to, State::Quarantined);
                !released && **to != State::Held && (stops || sender == (site.role == Role::Nsc))
            };
            let may: Vec<State> = State::moves(state).iter().filter(ours).copied().collect();
            let Some(to) = may.get(pick % may.len().max(1)) else { continue };
            book.go(&id, *to, facts(*to, reason));
            continue;
        }
        let acts = every(&id.to_string());
        let act = &acts[pick % acts.len()];
        let before = (state, levers_of(&book));
        let foreseen = judge(&book.fold, act, site, at(book.lines)).map(|plan| plan.told);
        let done = book.act(act, site);
        assert_eq!(foreseen, done, "a dry run says what is done");
        let now = book.fold.package(&id).map(|row| row.state);
        assert!(
            !matches!(now, Some(State::Verified | State::Ready | State::Transferred)) || now == state,
            "{act:?}"
        );
        // A limit that was set before is undone to that one; the tests above have one without an end only.
        if let (
            Ok(Told { undo: Some(undo), .. }),
            Act::Priority { .. } | Act::Pause { .. } | Act::Resume { .. },
        ) = (&done, act)
        {
            let mut undone = Book { fold: book.fold.clone(), lines: book.lines };
            let _told = undone.act(&undoing(undo), site).unwrap();
            assert_eq!(
                (undone.fold.package(&id).map(|row| row.state), levers_of(&undone)),
                before,
                "{act:?}, then {undo}"
            );
        }
        if let (Ok(Told { undo: Some(undo), .. }), Act::Hold { .. }) = (&done, act) {
            let mut undone = Book { fold: book.fold.clone(), lines: book.lines };
            match undone.act(&undoing(undo), site) {
                Ok(_) => {
                    let again = undone.fold.package(&id).map(|row| row.state).unwrap();
                    assert!(matches!(again, State::Found | State::Packed | State::Seen), "{again}");
                }
                // Without an order nobody could build it, which is said.
                Err(refusal) => assert!(
                    refusal.why.contains("never built") || refusal.why.contains("never believed"),
                    "{refusal:?}"
                ),
            }
        }
    }
    let Some(row) = book.fold.package(&id) else { return };
    if row.state == State::Ready {
        let begun = row.way.iter().rposition(|(state, _)| *state == State::Seen).unwrap_or(0);
        let since: Vec<State> =
            row.way.get(begun..).unwrap_or_default().iter().map(|(state, _)| *state).collect();
        let verified = since.iter().rposition(|state| *state == State::Verified);
        let copied = since.iter().position(|state| *state == State::Copied);
        assert!(verified.is_some() && copied < verified, "{since:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_order_of_acts_and_steps_breaks_the_rules(
        sender in any::<bool>(),
        steps in prop::collection::vec((any::<bool>(), 0..1000usize, 0..1000usize), 0..60),
    ) {
        walk(if sender { SENDER } else { RECEIVER }, steps);
    }
}

/// A receiver's package that came as far as this.
fn received(states: &[State], reason: Option<Reason>) -> Book {
    let mut book = Book::default();
    for state in states {
        let mut facts = facts(*state, 0);
        facts.reason = reason.filter(|_| *state == State::Quarantined);
        book.go(&id(), *state, facts);
    }
    book
}

#[test]
fn what_nobody_may_override_is_refused_with_what_to_do() {
    let way = [State::Seen, State::Quarantined];
    let mut overridden = 0;
    for reason in Reason::ALL {
        let mut book = received(&way, Some(*reason));
        match book.act(&Act::Release { package: "HG12345677".into() }, RECEIVER) {
            Ok(told) => {
                overridden += 1;
                assert!(
                    told.changes.iter().any(|change| change.contains("every byte is verified")),
                    "{told:?}"
                );
                assert_eq!(book.fold.package(&id()).unwrap().state, State::Seen);
            }
            Err(refusal) => assert_eq!(refusal.remedy.as_deref(), Some(reason.remedy()), "{refusal:?}"),
        }
    }
    assert!(overridden > 5 && overridden < Reason::ALL.len() - 5, "{overridden}");
    for reason in [Reason::BadSignature, Reason::CommitFork, Reason::Supersedes] {
        assert!(
            received(&way, Some(reason))
                .act(&Act::Release { package: "HG12345677".into() }, RECEIVER)
                .is_err()
        );
    }
}

#[test]
fn it_is_too_late_to_hold_what_is_being_put_in_place_or_was_sent() {
    let mut book = received(&[State::Seen, State::Copying, State::Copied, State::Verified], None);
    let hold = Act::Hold { package: id().to_string() };
    assert!(book.act(&hold, RECEIVER).unwrap_err().why.contains("being put in place"));
    let mut sent = Book::default();
    for state in [State::Packed, State::Uploading, State::Committed] {
        sent.go(&id(), state, Facts::default());
    }
    assert!(sent.act(&hold, SENDER).unwrap_err().why.contains("too late"));
}

#[test]
fn a_name_that_may_be_several_is_refused_and_names_them() {
    let mut book = Book::default();
    for name in ["Diag-wgs1-HG1", "Diag-wgs1-HG12", "Diag-wgs2-HG1"] {
        book.go(&format!("samples/{name}/r1").parse().unwrap(), State::Seen, commit_seen());
    }
    let hold = |package: &str| Act::Hold { package: package.into() };
    let refused = book.act(&hold("HG1"), RECEIVER).unwrap_err();
    assert!(
        refused.why.contains("wgs1-HG1/")
            && refused.why.contains("wgs2-HG1/")
            && !refused.why.contains("HG12")
    );
    assert!(book.act(&hold("HG12"), RECEIVER).is_ok());
    assert!(book.act(&hold("Nobody"), RECEIVER).unwrap_err().why.contains("knows no package"));
    assert!(book.act(&hold(" "), RECEIVER).is_err());
}

#[test]
fn a_limit_of_bytes_ends_by_itself_and_is_undone_to_what_counted() {
    let mut book = Book::default();
    let set = |limit, until| Act::Bandwidth { limit, until };
    let told = book.act(&set(Limit::Bytes(1000), Some(at(50))), SENDER).unwrap();
    assert_eq!(told.undo.as_deref(), Some("bandwidth as-configured"));
    let pace = |book: &Book, now| levers::over(&book.fold, at(now)).map(|over| over.rate);
    assert_eq!((pace(&book, 49), pace(&book, 50)), (Some(Some(1000)), None));
    let told = book.act(&set(Limit::Off, None), SENDER).unwrap();
    assert_eq!(told.undo, Some(format!("bandwidth 1000B/s --until {}", at(50))));
    assert_eq!(pace(&book, 60), Some(None));
    let _told = book.act(&set(Limit::AsConfigured, None), SENDER).unwrap();
    assert_eq!(pace(&book, 60), None);
    for odd in
        [set(Limit::Bytes(0), None), set(Limit::Off, Some(at(0))), set(Limit::AsConfigured, Some(at(90)))]
    {
        assert!(book.act(&odd, SENDER).is_err(), "{odd:?}");
    }
}
