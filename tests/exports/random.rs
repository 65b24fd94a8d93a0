//! Random queues, servers, faults, kills and people, from a seed: each artifact ends exported once, or queued, or with a person
//! or where the site wants failed ones, and is told so.
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tsd_import::demo::lims::{Fault, FaultRule, Program, ProgramOutcome, Settings, StepState};
use tsd_import::supervisor::Dice;

use crate::rig::{End, Policy, Rig, Shape, What};

const RUNS: u64 = 16;
const AT_ONCE: usize = 4;

/// A number from 0 up to, but not, `n`.
fn below(dice: &Dice, n: u32) -> u32 {
    (dice.roll() * f64::from(n)) as u32
}

fn chance(dice: &Dice, likely: f64) -> bool {
    dice.roll() < likely
}

fn one_of<'a, T>(dice: &Dice, all: &'a [T]) -> &'a T {
    &all[below(dice, all.len() as u32) as usize]
}

/// As odd as real servers are.
fn make_odd(settings: &mut Settings, dice: &Dice) {
    settings.page_size = 1 + below(dice, 5) as usize;
    settings.duplicates = chance(dice, 0.3);
    settings.odd_xml = chance(dice, 0.3);
    settings.setup_screen = chance(dice, 0.3);
    settings.started_reads = below(dice, 3);
    settings.seed = u64::from(below(dice, 1 << 30));
    if chance(dice, 0.3) {
        settings.next_page_base = Some("https://lims.inside.example/api/v2".into());
    }
    if chance(dice, 0.3) {
        settings.programs.push(Program {
            name: "a program".into(),
            leaving: StepState::RecordDetails,
            reads: below(dice, 3),
            outcome: ProgramOutcome::Ok,
            message: None,
        });
    }
}

fn fault(dice: &Dice) -> FaultRule {
    let methods = ["GET", "POST", "PUT", "DELETE", ""];
    let kinds = [
        Fault::Html503,
        Fault::Html504AfterWork,
        Fault::DropBeforeWork,
        Fault::DropAfterWork,
        Fault::CutBody,
        Fault::HalfXml,
        Fault::BrokenUtf8,
        Fault::EmptyBody,
        Fault::ExceptionAt200,
        Fault::Exception { status: 500, message: "oops".into() },
        Fault::Exception { status: 400, message: "no".into() },
        Fault::LagReads(3),
        Fault::MissingUdf("SampleSheet Sample_ID".into()),
    ];
    let paths =
        ["/", "/steps", "/advance$", "/actions$", "/queues/", "/batch/retrieve", "/processes", "/artifacts"];
    let mut rule = FaultRule::once(
        methods[below(dice, 5) as usize],
        paths[below(dice, 8) as usize],
        one_of(dice, &kinds).clone(),
    );
    rule.skip = below(dice, 12);
    rule.times = 1 + below(dice, 3);
    rule
}

/// Somebody at a screen.
fn a_person(rig: &Rig, dice: &Dice) {
    let lims = &rig.world.site.lims;
    let queued = lims.queued();
    let open: Vec<_> = lims.steps().into_iter().filter(|s| s.state != StepState::Completed).collect();
    // The daemon may be faster; then there is nothing to do for a person.
    match below(dice, 4) {
        0 if !queued.is_empty() => {
            let _was_there = lims.withdraw(one_of::<String>(dice, &queued));
        }
        1 if !queued.is_empty() => {
            let step = lims.start_elsewhere(&[one_of(dice, &queued).clone()]);
            drop(step.and_then(|step| lims.complete_elsewhere(&step)));
        }
        2 if !open.is_empty() => drop(lims.abort_elsewhere(&one_of(dice, &open).id)),
        _ => {}
    }
}

async fn one_run(seed: u64) -> BTreeMap<&'static str, u32> {
    let dice = Dice::seeded(seed);
    let policy = *one_of(&dice, &[Policy::Delete, Policy::FailedStep, Policy::Route, Policy::Review]);
    let mut rig = Rig::with(policy, |settings| make_odd(settings, &dice)).await;
    rig.start(&[]);
    let mut artifacts = Vec::new();
    for _ in 0..1 + below(&dice, 3) {
        let what = *one_of(&dice, &[What::Single, What::Single, What::Trio, What::Damaged]);
        artifacts.push(rig.order(what));
    }
    for _ in 0..below(&dice, 5) {
        rig.world.site.lims.fault(fault(&dice));
    }
    for _ in 0..below(&dice, 4) {
        let shapes =
            ["GET queues/*", "POST steps", "PUT steps/*/actions", "POST steps/*/advance", "GET steps/*"];
        let shape = Shape(shapes[below(&dice, 5) as usize].to_owned());
        if rig.has_ended() {
            rig.world.daemons.clear();
            rig.start(&[]);
        }
        rig.trap(&shape, 1 + below(&dice, 5));
        tokio::time::sleep(Duration::from_millis(50 + u64::from(below(&dice, 750)))).await;
        if chance(&dice, 0.4) {
            a_person(&rig, &dice);
        }
    }
    let _sprung = rig.disarm();
    rig.world.site.lims.clear_faults();
    let mut ends = BTreeMap::new();
    let why = format!("TSD_IMPORT_SEED={seed}");
    rig.settles(&artifacts.concat(), &why).await;
    for (artifact, end) in rig.ends_of(&artifacts.concat()) {
        let word = match end {
            End::Exported => "exported",
            End::Queued => "queued",
            End::Gone => "taken by a person",
            End::Failed(reason) | End::Person(reason) => {
                assert!(!reason.is_empty(), "{why}: {artifact}: a person is told why");
                "with a person"
            }
            End::Underway(open) => panic!("{why}: {artifact} is in {open} open steps and nobody is told"),
        };
        *ends.entry(word).or_default() += 1;
    }
    rig.is_sound(&why);
    rig.world.stop().await;
    ends
}

#[tokio::test]
async fn each_artifact_ends_exported_once_or_queued_or_with_a_person() {
    let given: Option<u64> = std::env::var("TSD_IMPORT_SEED").ok().and_then(|s| s.parse().ok());
    let first = given.unwrap_or(tsd_import::clock::now().as_millisecond() as u64);
    let seeds = if given.is_some() { first..first + 1 } else { first..first + RUNS };
    println!("seeds {seeds:?}; TSD_IMPORT_SEED=N repeats one");
    let runs: Vec<_> = stream::iter(seeds).map(one_run).buffer_unordered(AT_ONCE).collect().await;
    let mut sum: BTreeMap<&str, u32> = BTreeMap::new();
    runs.into_iter().flatten().for_each(|(word, n)| *sum.entry(word).or_default() += n);
    println!("{sum:?}");
    assert!(sum.contains_key("exported"), "{sum:?}");
}
