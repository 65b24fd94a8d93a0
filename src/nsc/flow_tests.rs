//! Orders from end to end against a source that does what the test says.
use std::sync::{Mutex, PoisonError};

use super::*;
use crate::conf::{OnInvalid, TransferConf};
use crate::disk::OnDisk;
use crate::journal::{Facts, Holder, Owner};
use crate::nsc::poller::{Poller, Polling};
use crate::nsc::source::*;
use crate::package::{Order, Reason, Window};
use crate::supervisor::meter::Board;
use crate::supervisor::{Backoff, turn};

/// What the source says, and what it was asked.
#[derive(Default)]
struct Said {
    looks: Vec<Look>,
    standing: Option<Standing>,
    found: Option<Found>,
    obstacle: Option<String>,
    refuses_badly: bool,
    asked: Vec<String>,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Said>>);

impl Fake {
    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.said().asked)
    }
}

impl Source for Fake {
    fn name(&self) -> &str {
        "a test"
    }

    fn preflight(&self) -> Ask<'_, Vec<String>> {
        self.said().asked.push("preflight".into());
        let obstacle = self.said().obstacle.clone();
        async move { obstacle.map_or(Ok(vec!["a remark".into()]), |why| Err(Blame::again(why))) }
            .boxed_local()
    }

    fn look<'a>(&'a self, _: Looking<'a>) -> Ask<'a, Look> {
        self.said().asked.push("look".into());
        async move { Ok(self.said().looks.pop().unwrap_or_default()) }.boxed_local()
    }

    fn claim<'a>(&'a self, order: &'a Order) -> Ask<'a, Claim> {
        self.said().asked.push(format!("claim {}", order.id));
        async move { Ok(Claim { id: "24-1".into(), us: None }) }.boxed_local()
    }

    fn find_claim<'a>(&'a self, order: &'a Order, _: Option<&'a str>) -> Ask<'a, Found> {
        self.said().asked.push(format!("find {}", order.id));
        async move { Ok(self.said().found.clone().unwrap_or(Found::Queued)) }.boxed_local()
    }

    fn standing<'a>(&'a self, claim: &'a str, _: &'a Order) -> Ask<'a, Standing> {
        self.said().asked.push(format!("standing {claim}"));
        async move { Ok(self.said().standing.clone().unwrap_or(Standing::Open)) }.boxed_local()
    }

    fn end<'a>(&'a self, claim: &'a str, _: &'a Order, ending: &'a Ending) -> Ask<'a, Ended> {
        self.said().asked.push(format!("end {claim} {ending:?}"));
        let ended = match ending {
            Ending::Delivered => Ended::Completed,
            Ending::Undelivered(_) => Ended::Withdrawn("w".into()),
            Ending::Partly(_) => Ended::Review("r".into()),
        };
        async move { Ok(ended) }.boxed_local()
    }

    fn refuse<'a>(&'a self, artifact: &'a str, fault: &'a Fault, again: bool) -> Ask<'a, String> {
        self.said().asked.push(format!("refuse {artifact} {} {again}", fault.reason));
        async move { if self.said().refuses_badly { Err(Blame::again("no")) } else { Ok("there".into()) } }
            .boxed_local()
    }
}

struct Bench {
    fake: Fake,
    packing: Packing,
    packager: Packager,
    meter: Meter,
    _owner: Owner,
    dir: tempfile::TempDir,
}

fn work() -> WorkConf {
    let backoff = || Backoff::try_new(Duration::from_millis(1), Duration::from_millis(2)).unwrap();
    WorkConf {
        rhythm: Duration::from_secs(1),
        unit_stall: Duration::from_secs(60),
        max_failures: 3,
        retry: backoff(),
        outage: backoff(),
        pool_threads: 1,
        disk_patience: Duration::from_secs(5),
        packages_at_once: 2,
        large: 1 << 30,
        overtakes: 2,
        window: Window { limit: 9, urgent: 1 },
    }
}

fn bench_with(after: CompleteAfter, then: OnInvalid) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let holder = Holder::this("h".into(), "nsc".into());
    let owner = Owner::acquire(&dir.path().join("state"), &holder, Duration::from_secs(30), false).unwrap();
    let journal = Journal::open(&dir.path().join("state"), &owner).unwrap();
    let disks = Disks::new(1, Duration::from_secs(5), Arc::new(|_, _, _| {}));
    let tree = Tree::new(&TransferConf {
        root: dir.path().join("transfer"),
        kinds: ["samples", "analyses"].map(|k| k.parse().unwrap()).to_vec(),
        complete_marker: "COMPLETE".into(),
        settle: None,
        scan: Duration::from_secs(1),
    });
    crate::fs::create_dir(&dir.path().join("transfer")).unwrap();
    tree.prepare(&OnDisk::alone()).unwrap();
    let fake = Fake::default();
    let packing = Packing {
        journal,
        source: Arc::new(fake.clone()),
        tree,
        building: disks.at("building", dir.path()).unwrap(),
        tree_disk: disks.at("transfer", dir.path()).unwrap(),
        disks,
        after,
        patience: Patience { looks: 2, then },
        sends_here: true,
        refusals: Notices::default(),
    };
    let hour = Duration::from_secs(3600);
    let packager = Packager::new(packing.clone(), work(), hour, hour);
    let meter = Board::default().begin("packager", "t".into());
    Bench { fake, packing, packager, meter, _owner: owner, dir }
}

fn bench() -> Bench {
    bench_with(CompleteAfter::Commit, OnInvalid::Leave)
}

fn package(n: usize) -> PackageId {
    format!("analyses/Diag-{n}/r1").parse().unwrap()
}

fn order(id: &str, packages: &[usize]) -> Order {
    let draft = |n: &usize| Draft { artifact: Some("A".to_owned()), ..Draft::bare(package(*n)) };
    let packages = packages.iter().map(draft).collect();
    Order { id: OrderId(id.into()), artifacts: vec!["A".into()], packages, note: None }
}

impl Bench {
    /// Does what waits, except the looks of the timers, until nothing waits any more; failures are blamed.
    async fn run(&mut self) {
        for _ in 0..50 {
            let waiting = self.packager.waiting();
            let Some(unit) = waiting.into_iter().find(|u| !matches!(u, Unit::Look | Unit::Check)) else {
                return;
            };
            match self.packager.perform(unit.clone(), self.meter.clone()).await {
                Ok(()) => {}
                Err(Failure::Unit(blame)) => {
                    self.packager.blame(unit, blame).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(5)).await; // the back-off of this bench
                }
                Err(other) => panic!("{unit}: {other:?}"),
            }
        }
        panic!("it never comes to rest: {:?}", self.packager.waiting());
    }

    async fn moved(&self, n: usize, states: &[State]) {
        for step in states.windows(2) {
            let journal = &self.packing.journal;
            assert!(
                journal.step(&package(n), Some(step[0]), step[1], "t", Facts::default()).await.unwrap(),
                "{step:?}"
            );
        }
    }

    async fn ordered(&self, order: Order) {
        assert!(self.packing.journal.order(order, None, 99).await.unwrap());
    }

    fn phase(&self, id: &str) -> (Phase, String) {
        let view = self.packing.journal.view();
        let row = view.order(&OrderId(id.into())).unwrap();
        (row.phase, row.detail.clone().unwrap_or_default())
    }

    fn state(&self, n: usize) -> (State, Option<Reason>) {
        let view = self.packing.journal.view();
        let row = view.package(&package(n)).unwrap();
        (row.state, row.facts.reason)
    }

    async fn check(&self, standing: Standing) {
        self.fake.said().standing = Some(standing);
        self.packing.check(&self.meter).await.unwrap();
    }
}

use crate::journal::Phase;

const UP: [State; 4] = [State::Packed, State::Uploading, State::Committed, State::Transferred];

#[tokio::test]
async fn an_order_goes_its_whole_way() {
    let mut b = bench();
    b.ordered(order("O", &[1])).await;
    b.run().await;
    assert_eq!((b.phase("O").0, b.state(1).0), (Phase::Opened, State::Packed));
    b.moved(1, &UP).await;
    b.run().await;
    assert_eq!(b.phase("O").0, Phase::Completed);
    assert_eq!(b.fake.asked(), ["claim O", "end 24-1 Delivered"]);
    assert!(b.dir.path().join("transfer/production/normal/analyses/Diag-1/Diag-1.analysis").is_file());
}

#[tokio::test]
async fn an_order_without_packages_is_claimed_and_called_delivered() {
    let mut b = bench();
    b.ordered(order("O", &[])).await;
    b.run().await;
    assert_eq!(b.phase("O").0, Phase::Completed);
    assert_eq!(b.fake.asked(), ["claim O", "end 24-1 Delivered"]);
}

#[tokio::test]
async fn an_order_without_packages_that_cannot_be_claimed_comes_to_an_end_too() {
    let mut b = bench();
    b.ordered(order("O", &[])).await;
    b.packing.say(&OrderId("O".into()), Phase::Intent, None, None).await.unwrap();
    b.fake.said().found = Some(Found::Lost("it is nowhere".into()));
    b.run().await;
    let (phase, words) = b.phase("O");
    assert_eq!(phase, Phase::Flagged);
    assert!(words.contains("cannot be claimed"), "{words}");
    assert_eq!(b.fake.asked(), ["find O"; 3]);
}

#[tokio::test]
async fn an_adopted_order_is_never_claimed_again() {
    let mut b = bench();
    assert!(b.packing.journal.order(order("O", &[1]), Some("24-9".into()), 9).await.unwrap());
    b.run().await;
    b.moved(1, &UP).await;
    b.run().await;
    assert_eq!(b.fake.asked(), ["end 24-9 Delivered"]);
}

#[tokio::test]
async fn what_is_taken_back_is_stopped_wherever_it_is_before_its_commit() {
    for upto in 0..2 {
        let mut b = bench();
        b.ordered(order("O", &[1, 2])).await;
        b.run().await;
        b.moved(1, &UP[..=upto]).await;
        b.check(Standing::Open).await;
        assert_eq!(b.phase("O").0, Phase::Opened);
        b.check(Standing::Gone).await;
        assert_eq!(b.state(1), (State::Quarantined, Some(Reason::Withdrawn)));
        assert_eq!(b.state(2), (State::Quarantined, Some(Reason::Withdrawn)));
        let (phase, words) = b.phase("O");
        assert_eq!(phase, Phase::Withdrawn, "{words}");
        b.run().await;
        b.check(Standing::Gone).await;
        assert!(!b.fake.asked().iter().any(|a| a.starts_with("end")), "there is nothing left to end");
        assert!(
            !b.packing
                .journal
                .decide_commit(&package(1), &"here/1#1".parse().unwrap(), "{}".into())
                .await
                .unwrap()
        );
    }
}

#[tokio::test]
async fn what_is_taken_back_after_its_commit_was_decided_is_flagged_and_goes_on() {
    for decided_only in [true, false] {
        let mut b = bench();
        b.ordered(order("O", &[1, 2])).await;
        b.run().await;
        b.moved(1, &UP[..2]).await;
        assert!(
            b.packing
                .journal
                .decide_commit(&package(1), &"here/1#1".parse().unwrap(), "{}".into())
                .await
                .unwrap()
        );
        if !decided_only {
            b.moved(1, &UP[1..]).await;
        }
        b.check(Standing::Gone).await;
        let (phase, words) = b.phase("O");
        assert_eq!(phase, Phase::Flagged);
        assert!(
            words.contains("too late for analyses/Diag-1/r1")
                && words.contains("Not delivered: analyses/Diag-2/r1"),
            "{words}"
        );
        assert_eq!(b.state(2), (State::Quarantined, Some(Reason::Withdrawn)));
        if decided_only {
            assert_eq!(b.state(1).0, State::Uploading, "a decided commit is put");
            b.moved(1, &UP[1..]).await;
        }
        let lines = b.packing.journal.view().lines;
        b.run().await;
        b.check(Standing::Gone).await;
        assert_eq!(b.packing.journal.view().lines, lines, "said once");
    }
}

#[tokio::test]
async fn a_step_that_somebody_else_completes_under_way_is_flagged() {
    let mut b = bench();
    b.ordered(order("O", &[1])).await;
    b.run().await;
    b.check(Standing::Completed).await;
    let (phase, words) = b.phase("O");
    assert_eq!((phase, b.state(1)), (Phase::Flagged, (State::Quarantined, Some(Reason::Withdrawn))));
    assert!(words.contains("NOT delivered, and stopped: analyses/Diag-1/r1"), "{words}");
}

#[tokio::test]
async fn where_another_host_sends_what_is_packed_cannot_be_stopped_and_that_is_said() {
    let mut b = bench();
    b.packing.sends_here = false;
    b.ordered(order("O", &[1, 2])).await;
    b.run().await;
    b.check(Standing::Gone).await;
    assert_eq!((b.state(1).0, b.phase("O").0), (State::Packed, Phase::Flagged));
}

#[tokio::test]
async fn what_a_person_must_see_to_in_a_step_that_has_ended_already_is_flagged() {
    for standing in [Standing::Completed, Standing::Gone] {
        let mut b = bench();
        b.ordered(order("O", &[1, 2])).await;
        b.run().await;
        b.moved(1, &UP).await;
        b.moved(2, &[State::Packed, State::Quarantined]).await;
        b.fake.said().standing = Some(standing);
        b.run().await;
        assert_eq!(b.phase("O"), (Phase::Flagged, "r".to_owned()), "nothing in the LIMS would ever tell");
    }
}

#[tokio::test]
async fn a_person_who_was_asked_ends_the_order() {
    for (standing, end) in [(Standing::Completed, Phase::Failed), (Standing::Gone, Phase::Withdrawn)] {
        let mut b = bench();
        b.ordered(order("O", &[1, 2])).await;
        b.run().await;
        b.moved(1, &UP).await;
        b.moved(2, &[State::Packed, State::Quarantined]).await;
        b.run().await;
        assert_eq!(b.phase("O").0, Phase::Review);
        for waits in [Standing::InReview, Standing::Open] {
            b.check(waits).await;
            assert_eq!(b.phase("O").0, Phase::Review);
        }
        b.check(standing).await;
        let (phase, words) = b.phase("O");
        assert_eq!(phase, end);
        assert!(
            words.contains("delivered: analyses/Diag-1/r1; not delivered: analyses/Diag-2/r1"),
            "{words}"
        );
        let lines = b.packing.journal.view().lines;
        b.run().await;
        assert_eq!(b.packing.journal.view().lines, lines, "a person who knows is not told again");
    }
}

/// We may have completed it this very moment: what is at its end is ended by us, whatever the step looks like.
#[tokio::test]
async fn our_own_completion_is_not_taken_for_somebody_elses() {
    let mut b = bench();
    b.ordered(order("O", &[1])).await;
    b.run().await;
    b.moved(1, &UP).await;
    b.check(Standing::Completed).await;
    assert_eq!(b.phase("O").0, Phase::Opened);
    b.run().await;
    assert_eq!(b.phase("O").0, Phase::Completed);
}

#[tokio::test]
async fn completed_after_packing_and_flagged_when_the_upload_fails_later() {
    let mut b = bench_with(CompleteAfter::Packing, OnInvalid::Leave);
    b.ordered(order("O", &[1, 2])).await;
    b.run().await;
    assert_eq!(
        (b.phase("O").0, b.state(1).0, b.state(2).0),
        (Phase::Completed, State::Packed, State::Packed)
    );
    b.moved(1, &UP).await;
    b.run().await;
    assert_eq!(b.phase("O").0, Phase::Completed);
    b.moved(2, &[State::Packed, State::Uploading, State::Quarantined]).await;
    b.run().await;
    let (phase, words) = b.phase("O");
    assert_eq!(phase, Phase::Flagged);
    assert!(words.contains("not delivered: analyses/Diag-2/r1"), "{words}");
    assert_eq!(b.fake.asked(), ["claim O", "end 24-1 Delivered"]);
}

#[tokio::test]
async fn an_order_that_was_never_claimed_is_not_open_for_ever() {
    let mut b = bench();
    b.ordered(order("O", &[1])).await;
    b.moved(1, &[State::Found, State::Quarantined]).await;
    b.run().await;
    assert_eq!(b.phase("O").0, Phase::Withdrawn);
    assert!(b.fake.asked().is_empty());
}

fn doubtful() -> Look {
    let fault = Fault { reason: Reason::LimsInvalid, detail: "d".into() };
    Look { doubts: vec![Doubtful { artifact: "A".into(), who: "w".into(), fault }], ..Look::default() }
}

fn poller(b: &Bench) -> Poller {
    let Packing { source, journal, disks, building, patience, .. } = b.packing.clone();
    let waiting = Notices::default();
    let polling = Polling { source, journal, waiting, disks, delivery: building, patience };
    Poller::new(polling, work().window, Duration::from_secs(1))
}

#[tokio::test]
async fn a_doubt_is_refused_after_its_looks_and_forgotten_when_it_is_gone() {
    let mut b = bench_with(CompleteAfter::Commit, OnInvalid::Route);
    let poller = poller(&b);
    let meter = b.meter.clone();
    let round = || poller.perform(crate::nsc::poller::Round, meter.clone());
    for refusals in [0, 1] {
        b.fake.said().looks = vec![doubtful()];
        round().await.unwrap();
        let waiting = b.packager.waiting();
        assert_eq!(waiting.iter().filter(|u| matches!(u, Unit::Refuse(_))).count(), refusals);
    }
    round().await.unwrap();
    assert!(b.packing.journal.view().doubts().is_empty(), "gone, and not in hand yet");
    b.fake.said().looks = vec![doubtful(), doubtful()];
    round().await.unwrap();
    round().await.unwrap();
    drop(b.fake.asked());
    b.fake.said().refuses_badly = true;
    let refuse = || Unit::Refuse("A".into());
    let Err(Failure::Unit(blame)) = b.packager.perform(refuse(), b.meter.clone()).await else {
        panic!("refused")
    };
    b.packager.blame(refuse(), blame).await.unwrap();
    assert_eq!(b.packing.refusals.now()["refusal of A"], "no", "shown by status");
    round().await.unwrap();
    assert_eq!(
        b.packing.journal.view().doubts()["A"].refused,
        Some(false),
        "in hand: kept though the look misses it"
    );
    b.fake.said().refuses_badly = false;
    tokio::time::sleep(Duration::from_millis(5)).await;
    b.run().await;
    assert_eq!(b.fake.asked(), ["refuse A lims-invalid false", "look", "refuse A lims-invalid true"]);
    assert!(b.packing.refusals.now().is_empty());
    round().await.unwrap();
    assert!(b.packing.journal.view().doubts().is_empty());
    b.run().await;
    assert_eq!(b.fake.asked(), ["look"], "refused once");
}

#[tokio::test]
async fn each_life_of_the_poller_asks_first_whether_the_source_is_fit() {
    let b = bench();
    let polls = poller(&b);
    let round = || polls.perform(crate::nsc::poller::Round, b.meter.clone());
    b.fake.said().obstacle = Some("wants a signature: switch it off".into());
    let Err(Failure::Outage(why)) = round().await else { panic!("an outage, with its remedy") };
    assert!(why.contains("switch it off"));
    b.fake.said().obstacle = None;
    round().await.unwrap();
    round().await.unwrap();
    assert_eq!(b.fake.asked(), ["preflight", "preflight", "look", "look"]);
    poller(&b).perform(crate::nsc::poller::Round, b.meter.clone()).await.unwrap();
    assert_eq!(b.fake.asked(), ["preflight", "look"]);
}

#[tokio::test]
async fn the_rounds_are_taken_without_a_place_of_their_own() {
    let mut b = bench();
    let units = b.packager.waiting();
    assert_eq!(
        units.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [Unit::Check.to_string(), Unit::Look.to_string()]
    );
    assert!(units.iter().all(|u| b.packager.weight(u) == turn::Weight::SERVICE));
    assert!(b.packager.needs_outside(&Unit::Check) && !b.packager.needs_outside(&Unit::Look));
}
