//! Every fault of the simulated LIMS at every request of an export: it converges, or stops at a person with a reason.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tsd_import::demo::lims::{Fault, FaultRule};

use crate::rig::{End, Policy, Rig, Shape, What};

/// Worlds at the same time.
const AT_ONCE: usize = 4;

/// Every fault there is; the match below keeps the list complete.
fn faults() -> Vec<Fault> {
    let exception = |status: u16| Fault::Exception { status, message: "An unexpected error".into() };
    let all = vec![
        Fault::Html503,
        Fault::Html504AfterWork,
        Fault::Empty401,
        Fault::Empty403,
        Fault::Status413,
        exception(400),
        exception(404),
        exception(500),
        Fault::ExceptionAt200,
        Fault::Redirect("http://127.0.0.1:9/api/v2/queues/1".into()),
        Fault::DropBeforeWork,
        Fault::DropAfterWork,
        Fault::CutBody,
        Fault::HalfXml,
        Fault::BrokenUtf8,
        Fault::EmptyBody,
        Fault::Delay(Duration::from_millis(2500)), // longer than the deadline of a request
        Fault::LagReads(4),
        Fault::BogusRow("92-1".into()),
        Fault::MissingUdf("Sample sheet position".into()),
    ];
    for fault in &all {
        match fault {
            Fault::Html503
            | Fault::Html504AfterWork
            | Fault::Empty401
            | Fault::Empty403
            | Fault::Status413 => {}
            Fault::Exception { .. } | Fault::ExceptionAt200 | Fault::Redirect(_) | Fault::DropBeforeWork => {}
            Fault::DropAfterWork | Fault::CutBody | Fault::HalfXml | Fault::BrokenUtf8 | Fault::EmptyBody => {
            }
            Fault::Delay(_) | Fault::LagReads(_) | Fault::BogusRow(_) | Fault::MissingUdf(_) => {}
        }
    }
    all
}

/// The kinds of exports, so that every request that the program can make occurs.
const KINDS: [(What, Policy); 4] = [
    (What::Single, Policy::Delete),
    (What::Damaged, Policy::Delete),
    (What::Damaged, Policy::Route),
    (What::Invalid, Policy::PutOut),
];

/// The distinct requests of an export, without those of `others`. What puts an invalid sample out of the queue is asked anew: the
/// requests are those of other failures, what stands behind them is not.
async fn shapes(kind: (What, Policy), others: &BTreeSet<Shape>) -> BTreeSet<Shape> {
    let mut rig = Rig::new(kind.1).await;
    rig.start(&[]);
    let artifacts = rig.order(kind.0);
    rig.until_over(&artifacts, "undisturbed").await;
    rig.world.stop().await;
    let anew = |shape: &Shape| kind.0 == What::Invalid && shape.changes();
    rig.shapes().into_iter().filter(|shape| anew(shape) || !others.contains(shape)).collect()
}

type Ends = BTreeMap<&'static str, u32>;

/// One world, one daemon, one fault: a sample for each shape that meets it twice in a row.
async fn one_fault(fault: Fault, (what, policy): (What, Policy), shapes: BTreeSet<Shape>) -> (String, Ends) {
    let mut rig = Rig::new(policy).await;
    rig.start(&[]);
    let mut ends = Ends::new();
    for shape in &shapes {
        let why = format!("{what:?} {policy:?}: {fault:?} at {shape}");
        let (method, path) = shape.0.split_once(' ').unwrap();
        let path = path.split('?').next().unwrap();
        let rule = FaultRule::once(method, &format!("/{path}$"), fault.clone());
        rig.world.site.lims.fault(FaultRule { times: 2, ..rule });
        let artifacts = rig.order(what);
        rig.until_over(&artifacts, &why).await;
        rig.world.site.lims.clear_faults();
        let word = match rig.ends_of(&artifacts).into_values().next().unwrap() {
            End::Exported => "exported",
            End::Queued => "queued",
            End::Failed(_) => "where failed ones go",
            End::Person(reason) => {
                assert!(!reason.is_empty(), "{why}: a person is told why");
                "with a person"
            }
            End::Gone => panic!("{why}: it is nowhere"),
            End::Underway(open) => panic!("{why}: in {open} open steps"),
        };
        *ends.entry(word).or_default() += 1;
        rig.is_sound(&why);
        assert!(!rig.has_ended(), "{why}: the daemon lives on");
    }
    rig.world.stop().await;
    (format!("{what:?} {policy:?} {fault:?}"), ends)
}

/// Of how many combinations of fault and request one is tried: `TSD_IMPORT_THIN`, or all.
fn thin() -> usize {
    std::env::var("TSD_IMPORT_THIN")
        .map_or(1, |thin| thin.parse().expect("TSD_IMPORT_THIN is a number from 1 on"))
}

#[tokio::test]
async fn at_every_request_ends_well_or_with_a_person() {
    let (mut known, mut kinds) = (BTreeSet::new(), Vec::new());
    for kind in KINDS {
        let own = shapes(kind, &known).await;
        known.extend(own.clone());
        kinds.push((kind, own));
    }
    println!("{} requests: {known:?}", known.len());
    assert!(known.len() >= 20, "{known:?}");
    let (thin, mut runs) = (thin(), Vec::new());
    for (kind, own) in &kinds {
        for (nth, fault) in faults().into_iter().enumerate() {
            // Another share of the requests for each fault: together they meet every request, each with some of the faults.
            let mine = own.iter().enumerate().filter(|(at, _)| (at + nth) % thin == 0);
            runs.push(one_fault(fault, *kind, mine.map(|(_, shape)| shape.clone()).collect()));
        }
    }
    let table: Vec<_> = stream::iter(runs).buffer_unordered(AT_ONCE).collect().await;
    let (mut well, mut all) = (0, 0);
    for (fault, ends) in &table {
        println!("{fault}: {ends:?}");
        let usual = match fault {
            f if f.starts_with("Single") => "exported",
            f if f.starts_with("Damaged Delete") => "queued",
            _ => "where failed ones go",
        };
        well += ends.get(usual).copied().unwrap_or(0);
        all += ends.values().sum::<u32>();
    }
    println!("{well} of {all} came to the same end as undisturbed");
    assert!(well * 100 >= all * 95, "{well} of {all}");
}
