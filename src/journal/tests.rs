use super::*;
use crate::package::Priority;

fn me() -> Holder {
    Holder::this("h".into(), "nsc".into())
}

fn open(dir: &Path) -> (Journal, Owner) {
    let owner = Owner::acquire(dir, &me(), std::time::Duration::from_secs(30), false).unwrap();
    (Journal::open(dir, &owner).unwrap(), owner)
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
    use crate::package::{Analysis, Content, Draft, Order, OrderId, Params};
    let dir = tempfile::tempdir().unwrap();
    let (journal, _owner) = open(dir.path());
    let order = |artifact: &str, names: &[usize]| {
        let draft = |n: &usize| {
            let params = Params { genepanel: None, pedigree: None, more: serde_json::Map::new() };
            let name = format!("Diag-{n}").parse().unwrap();
            let doc = Analysis {
                name,
                kind: None,
                samples: vec![],
                priority: "1".into(),
                params,
                date_analysis_requested: None,
                more: serde_json::Map::new(),
            };
            Draft {
                id: id(*n),
                priority: Priority::Normal,
                artifact: None,
                after: vec![],
                content: Content::Analysis { doc: Box::new(doc) },
            }
        };
        Order {
            id: OrderId(artifact.into()),
            artifacts: vec![artifact.into()],
            packages: names.iter().map(draft).collect(),
            note: None,
        }
    };
    let together = [order("2-1", &[1]), order("2-2", &[1]), order("2-1", &[2]), order("2-3", &[3, 3])];
    let taken = together.map(|o| journal.order(o, 9));
    let taken: Vec<bool> =
        futures_util::future::join_all(taken).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(taken, [true, false, false, false], "decided where it is written, also within one batch");
    assert!(!journal.order(order("2-9", &[1]), 9).await.unwrap());
    assert!(journal.order(order("2-9", &[9]), 9).await.unwrap());
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
