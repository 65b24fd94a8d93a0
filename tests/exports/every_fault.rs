//! Every fault of the simulated LIMS at every request of an export: it converges, or stops at a person with a reason.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tsd_import::demo::lims::{Fault, FaultRule};
use tsd_import::demo::site::SiteOptions;

use crate::rig::{End, Rig, Shape, What};

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

/// The distinct requests of an export.
async fn shapes() -> BTreeSet<Shape> {
    let mut rig = Rig::new(SiteOptions::default(), &[]).await;
    rig.start(&[]);
    let artifacts = rig.order(What::Single);
    rig.until_over(&artifacts, "undisturbed").await;
    rig.world.stop().await;
    rig.shapes().into_iter().collect()
}

/// One world, one daemon, one fault: a sample for each shape that meets it twice in a row.
async fn one_fault(fault: Fault, shapes: &BTreeSet<Shape>) -> (String, BTreeMap<&'static str, u32>) {
    let mut rig = Rig::new(SiteOptions::default(), &[]).await;
    rig.start(&[]);
    let mut ends: BTreeMap<&'static str, u32> = BTreeMap::new();
    for shape in shapes {
        let why = format!("{fault:?} at {shape}");
        let (method, path) = shape.0.split_once(' ').unwrap();
        let path = path.split('?').next().unwrap();
        rig.world
            .site
            .lims
            .fault(FaultRule { times: 2, ..FaultRule::once(method, &format!("/{path}$"), fault.clone()) });
        let artifacts = rig.order(What::Single);
        rig.until_over(&artifacts, &why).await;
        rig.world.site.lims.clear_faults();
        let word = match rig.ends_of(&artifacts).into_values().next().unwrap() {
            End::Exported => "exported",
            End::Queued => "queued",
            End::Failed(reason) | End::Person(reason) => {
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
    (format!("{fault:?}"), ends)
}

#[tokio::test]
async fn at_every_request_ends_well_or_with_a_person() {
    let shapes = shapes().await;
    assert!(shapes.len() >= 14, "{shapes:?}");
    let shapes = &shapes;
    let runs = stream::iter(faults()).map(|fault| one_fault(fault, shapes)).buffer_unordered(AT_ONCE);
    let table: Vec<_> = runs.collect().await;
    println!("{} requests: {shapes:?}", shapes.len());
    let (mut exported, mut all) = (0, 0);
    for (fault, ends) in &table {
        println!("{fault}: {ends:?}");
        exported += ends.get("exported").copied().unwrap_or(0);
        all += ends.values().sum::<u32>();
    }
    assert!(exported * 100 >= all * 90, "{exported} of {all} needed nobody");
}
