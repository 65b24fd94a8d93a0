use super::*;
use crate::package::Priority;

fn me() -> Holder {
    Holder::this("h".into(), "nsc".into())
}

fn open(dir: &Path) -> (Journal, Owner) {
    let owner = Owner::acquire(dir, &me(), std::time::Duration::from_secs(30), false).unwrap();
    (Journal::open(dir, &owner).unwrap(), owner)
}

fn place(number: u64) -> Place {
    Place { sender: "here/1".parse().unwrap(), sequence: number }
}

fn id(n: usize) -> PackageId {
    format!("samples/Diag-{n}/r1").parse().unwrap()
}

#[tokio::test]
async fn of_many_movers_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _owner) = open(dir.path());
    assert!(journal.step(&id(1), None, State::Seen, "t", Facts::default()).await.unwrap());
    let tries = (0..50).map(|_| {
        let journal = journal.clone();
        tokio::spawn(async move {
            journal.step(&id(1), Some(State::Seen), State::Copying, "t", Facts::default()).await.unwrap()
        })
    });
    let won =
        futures_util::future::join_all(tries).await.into_iter().filter(|w| *w.as_ref().unwrap()).count();
    assert_eq!(won, 1);
    let mut lines = 0;
    read(dir.path(), |_| lines += 1).unwrap();
    assert_eq!(lines, 2);
}

#[tokio::test]
async fn an_illegal_move_is_refused_and_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _owner) = open(dir.path());
    let refused =
        journal.step(&id(1), Some(State::Seen), State::Ready, "t", Facts::default()).await.unwrap_err();
    assert!(refused.to_string().contains("may not go from seen to ready"), "{refused}");
    assert_eq!(journal.view().lines, 0);
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (journal, _owner) = open(dir.path());
        for n in 0..300 {
            let priority = Priority::ALL[n % 3];
            let facts = Facts { priority: Some(priority), bytes: Some(n as u64), ..Facts::default() };
            assert!(journal.step(&id(n), None, State::Packed, "t", facts).await.unwrap());
        }
    }
    let (journal, _owner) = open(dir.path());
    let view = journal.view();
    assert_eq!(view.packages().count(), 300);
    let inbox = view.inbox(&[State::Packed], clock::now());
    assert!(inbox.is_sorted_by_key(|r| r.first_seen), "those that came first come first");
    let urgent = inbox.iter().filter(|r| r.priority == Priority::Urgent).count();
    assert_eq!((urgent, view.under_way()), (100, 300), "found by state, with what is known of them");
    assert_eq!(inbox.iter().map(|r| r.facts.bytes.unwrap()).sum::<u64>(), 299 * 300 / 2);
}

#[tokio::test]
async fn a_failed_package_waits_for_its_time_and_progress_clears_its_failures() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _owner) = open(dir.path());
    journal.step(&id(1), None, State::Seen, "t", Facts::default()).await.unwrap();
    let later = clock::now() + std::time::Duration::from_secs(60);
    let failed = Event::Failed {
        package: id(1),
        by: "copier".into(),
        failures: 2,
        error: "e".into(),
        retry_at: later,
    };
    journal.record(failed).await.unwrap();
    assert!(journal.view().inbox(&[State::Seen], clock::now()).is_empty());
    assert_eq!(journal.view().inbox(&[State::Seen], later).len(), 1);
    journal.step(&id(1), Some(State::Seen), State::Copying, "t", Facts::default()).await.unwrap();
    assert_eq!(journal.view().package(&id(1)).unwrap().failures, 0);
}

#[tokio::test]
async fn two_orders_never_share_an_artifact_or_a_package() {
    use crate::package::{Draft, Order, OrderId};
    let dir = tempfile::tempdir().unwrap();
    let (journal, _owner) = open(dir.path());
    let order = |artifact: &str, names: &[usize]| Order {
        id: OrderId(artifact.into()),
        artifacts: vec![artifact.into()],
        packages: names.iter().map(|n| Draft::bare(id(*n))).collect(),
        note: None,
    };
    let together = [order("2-1", &[1]), order("2-2", &[1]), order("2-1", &[2]), order("2-3", &[3, 3])];
    let taken = together.map(|o| journal.order(o, None, 9));
    let taken: Vec<bool> =
        futures_util::future::join_all(taken).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(taken, [true, false, false, false], "decided where it is written, also within one batch");
    assert!(!journal.order(order("2-9", &[1]), None, 9).await.unwrap());
    assert!(journal.order(order("2-9", &[9]), None, 9).await.unwrap());
}

#[tokio::test]
async fn without_a_lease_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, owner) = open(dir.path());
    journal.step(&id(1), None, State::Seen, "t", Facts::default()).await.unwrap();
    let before = std::fs::read(dir.path().join(FILE)).unwrap();
    owner.lease().release().unwrap();
    let refused = journal.step(&id(2), None, State::Seen, "t", Facts::default()).await.unwrap_err();
    assert!(matches!(*refused, JournalError::Fenced(_)), "{refused}");
    assert!(journal.view().package(&id(2)).is_none());
    assert_eq!(std::fs::read(dir.path().join(FILE)).unwrap(), before);
}

/// Whatever two sources believe to see, the credit is given away once.
#[tokio::test]
async fn credit_is_counted_where_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _owner) = open(dir.path());
    let at_once = (0..10).map(|n| {
        let journal = journal.clone();
        async move { journal.enter(&id(n), State::Packed, "t", Facts::default(), 4).await.unwrap() }
    });
    let entered = futures_util::future::join_all(at_once).await;
    assert_eq!(entered.iter().filter(|e| **e).count(), 4, "{entered:?}");
    assert_eq!(journal.view().under_way(), 4);
    assert!(
        journal.enter(&id(90), State::Packed, "t", Facts::default(), 5).await.unwrap(),
        "more for the urgent"
    );
    let first = journal.view().packages().next().unwrap().id.clone();
    journal.step(&first, Some(State::Packed), State::Quarantined, "t", Facts::default()).await.unwrap();
    assert!(!journal.enter(&first, State::Packed, "t", Facts::default(), 9).await.unwrap(), "known already");
    assert!(!journal.enter(&id(91), State::Packed, "t", Facts::default(), 4).await.unwrap());
    assert!(
        journal.enter(&id(92), State::Packed, "t", Facts::default(), 5).await.unwrap(),
        "one has come to its end"
    );
}

mod orders {
    use super::*;
    use crate::package::{Draft, Order, OrderId, Reason};

    fn order(id: &str, artifact: &str, packages: &[usize]) -> Order {
        let packages = packages.iter().map(|n| Draft::bare(super::id(*n))).collect();
        Order { id: OrderId(id.into()), artifacts: vec![artifact.into()], packages, note: None }
    }

    async fn phase(journal: &Journal, id: &str, phase: Phase) {
        let (order, step) = (OrderId(id.into()), None);
        let event = Event::Claim { order, phase, step, technician: None, detail: None };
        journal.record(event).await.unwrap();
    }

    /// Whoever writes first wins, within one batch too: a package is withdrawn or its commit is decided, never both.
    #[tokio::test]
    async fn a_package_is_withdrawn_or_committed_never_both() {
        let (mut withdrawn, mut committed) = (0, 0);
        for turn in 0..40 {
            let dir = tempfile::tempdir().unwrap();
            let (journal, _owner) = open(dir.path());
            assert!(journal.order(order("O", "A", &[1]), Some("24-1".into()), 9).await.unwrap());
            let way = [State::Found, State::Claimed, State::Packed, State::Uploading];
            for step in way.windows(2) {
                assert!(journal.step(&id(1), Some(step[0]), step[1], "t", Facts::default()).await.unwrap());
            }
            let (order, id) = (OrderId("O".into()), id(1));
            let stop = [(id.clone(), State::Uploading)];
            let facts = Facts { reason: Some(Reason::Withdrawn), ..Facts::default() };
            let first = place(1);
            let decide = journal.decide_commit(&id, &first, "{}".into());
            let withdraw = journal.withdraw(
                (&order, Phase::Opened),
                &stop,
                ("t", facts),
                (Phase::Withdrawn, "gone".into()),
            );
            let (decided, stopped) = if turn % 2 == 0 {
                tokio::join!(decide, withdraw)
            } else {
                let (stopped, decided) = tokio::join!(withdraw, decide);
                (decided, stopped)
            };
            let (decided, stopped) = (decided.unwrap(), stopped.unwrap());
            assert!(decided != stopped, "turn {turn}: decided {decided}, stopped {stopped}");
            let view = journal.view();
            assert_eq!(view.committing(&id).is_some(), decided);
            assert_eq!(view.package(&id).unwrap().state == State::Quarantined, stopped);
            assert_eq!(view.order(&order).unwrap().phase == Phase::Withdrawn, stopped);
            (withdrawn, committed) = (withdrawn + u32::from(stopped), committed + u32::from(decided));
        }
        assert!(withdrawn > 0 && committed > 0, "{withdrawn} and {committed}: both orders happened");
    }

    #[tokio::test]
    async fn a_commit_is_decided_only_for_what_is_being_uploaded() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _owner) = open(dir.path());
        assert!(!journal.decide_commit(&id(1), &place(1), "{}".into()).await.unwrap(), "nobody knows it");
        journal.step(&id(1), None, State::Packed, "t", Facts::default()).await.unwrap();
        assert!(!journal.decide_commit(&id(1), &place(1), "{}".into()).await.unwrap());
        journal.step(&id(1), Some(State::Packed), State::Uploading, "t", Facts::default()).await.unwrap();
        assert!(journal.decide_commit(&id(1), &place(1), "{}".into()).await.unwrap());
        assert_eq!(journal.view().sent(&place(1).sender).sequence, 1);
    }

    #[tokio::test]
    async fn an_artifact_is_ordered_again_only_after_its_order_has_ended_and_under_another_name() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _owner) = open(dir.path());
        assert!(journal.order(order("A", "A", &[1]), None, 9).await.unwrap());
        for phase_now in [Phase::Ordered, Phase::Intent, Phase::Opened, Phase::Review] {
            phase(&journal, "A", phase_now).await;
            assert!(!journal.order(order("A#2", "A", &[2]), None, 9).await.unwrap(), "{phase_now}");
        }
        for end in [Phase::Completed, Phase::Withdrawn, Phase::Failed, Phase::Flagged] {
            phase(&journal, "A", end).await;
            assert!(!journal.order(order("A", "A", &[2]), None, 9).await.unwrap(), "{end}: the same name");
            let again = order(&format!("A#{end}"), "A", &[100 + end as usize]);
            assert!(journal.order(again, None, 99).await.unwrap(), "{end}");
            phase(&journal, &format!("A#{end}"), Phase::Completed).await;
        }
        assert!(!journal.order(order("A#9", "A", &[1]), None, 99).await.unwrap(), "its package is known");
    }

    #[tokio::test]
    async fn an_adopted_order_is_open_from_the_first_and_survives_a_cut_between_its_lines() {
        let dir = tempfile::tempdir().unwrap();
        {
            let (journal, _owner) = open(dir.path());
            assert!(journal.order(order("A", "A", &[1]), Some("24-7".into()), 9).await.unwrap());
            let view = journal.view();
            let row = view.order(&OrderId("A".into())).unwrap();
            assert_eq!((row.phase, row.step.as_deref()), (Phase::Opened, Some("24-7")));
            assert_eq!(view.lines, 2);
        }
        let path = dir.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
        crate::fs::write_durably(&path, &whole[..first + 10]).unwrap();
        let (journal, _owner) = open(dir.path());
        let view = journal.view();
        assert_eq!(
            view.order(&OrderId("A".into())).unwrap().phase,
            Phase::Ordered,
            "claimed anew, then found"
        );
    }

    #[tokio::test]
    async fn what_is_being_refused_is_not_ordered_and_what_is_ordered_is_not_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _owner) = open(dir.path());
        let doubted = |artifact: &str| Event::Doubted {
            artifact: artifact.into(),
            who: "w".into(),
            reason: Reason::LimsInvalid,
            detail: "d".into(),
            times: 5,
        };
        assert!(!journal.refuse("A", "w".into()).await.unwrap(), "nobody doubts it");
        journal.record(doubted("A")).await.unwrap();
        journal.record(doubted("B")).await.unwrap();
        let (a, b) =
            tokio::join!(journal.refuse("A", "w".into()), journal.order(order("O", "A", &[1]), None, 9));
        assert!(a.unwrap() && !b.unwrap());
        assert!(!journal.refuse("A", "w".into()).await.unwrap(), "it is in hand already");
        assert!(journal.order(order("O", "B", &[1]), None, 9).await.unwrap());
        assert!(!journal.refuse("B", "w".into()).await.unwrap());
        assert_eq!(journal.view().doubts().keys().collect::<Vec<_>>(), ["A"]);
        let done = Event::Refused { artifact: "A".into(), done: true, detail: "there".into() };
        journal.record(done).await.unwrap();
        assert!(
            journal.order(order("P", "A", &[2]), None, 9).await.unwrap(),
            "put back into the queue, corrected"
        );
    }

    #[tokio::test]
    async fn an_order_without_packages_needs_no_credit() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _owner) = open(dir.path());
        assert!(journal.order(order("A", "A", &[1]), None, 1).await.unwrap());
        assert!(!journal.order(order("B", "B", &[2]), None, 1).await.unwrap());
        assert!(journal.order(order("C", "C", &[]), None, 1).await.unwrap());
    }
}

#[tokio::test]
async fn each_host_has_a_chain_of_its_own_and_a_lost_journal_begins_another() {
    let (dir, before) = (tempfile::tempdir().unwrap(), clock::now().as_second());
    let (journal, _owner) = open(dir.path());
    let host = |name: &str| name.parse().unwrap();
    assert_eq!(journal.view().sender(&host("new")).epoch, 1, "an empty journal");
    for n in 1..=3 {
        journal.step(&id(n), None, State::Packed, "t", Facts::default()).await.unwrap();
        journal.step(&id(n), Some(State::Packed), State::Uploading, "t", Facts::default()).await.unwrap();
    }
    let epoch = journal.view().sender(&host("new")).epoch;
    assert!((before..=clock::now().as_second()).contains(&i64::from(epoch)), "{epoch}");
    // As an older program wrote it: the sender stands in the commit alone.
    let commit = r#"{"sender":"here/1","sequence":1}"#.to_owned();
    let old = Event::Committing { package: id(1), sender: None, sequence: 1, commit };
    journal.record(old).await.unwrap();
    assert_eq!(journal.view().sender(&host("here")), place(1).sender, "it keeps its epoch");
    assert_eq!(journal.view().sent(&place(1).sender).sequence, 1);
    assert!(!journal.decide_commit(&id(2), &place(1), "{}".into()).await.unwrap(), "given out");
    assert!(journal.decide_commit(&id(2), &place(2), "{}".into()).await.unwrap());
    let there: Place = "there/7#1".parse().unwrap();
    assert!(journal.decide_commit(&id(3), &there, "{}".into()).await.unwrap(), "another host begins with 1");
    let view = journal.view();
    assert_eq!((view.sent(&there.sender).sequence, view.sent(&place(1).sender).sequence), (1, 2));
    assert_eq!(view.sender(&host("there")).epoch, 7);
}
