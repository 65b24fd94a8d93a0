//! The plan for every mixture of delivered and failed artifacts under every rule of the site.
use super::checking::nsc;
use super::*;
use crate::clarity::{Action, ProtocolStep, Transition};
use crate::conf::OnFailure;
use crate::nsc::exporter::plan::{Course, Rules, course};

fn step(to: &[u32]) -> ProtocolStep {
    let transition = |number: &u32| Transition {
        name: Some(format!("step {number}")),
        next_step_uri: format!("https://h/api/v2/configuration/protocols/5/steps/{number}"),
    };
    ProtocolStep {
        number: 60,
        uri: "https://h/api/v2/configuration/protocols/5/steps/60".into(),
        name: None,
        process_type: None,
        transitions: to.iter().map(transition).collect(),
        permitted_containers: Vec::new(),
        required_kits: Vec::new(),
        fields: Vec::new(),
        triggers: Vec::new(),
        properties: BTreeMap::new(),
    }
}

#[test]
fn what_failed_never_gets_the_action_of_what_was_delivered() {
    let mut seen = 0;
    let artifacts: std::collections::BTreeSet<LimsId> =
        ["2-1", "2-2", "2-3"].into_iter().map(|id| LimsId::new(id).unwrap()).collect();
    for on_failure in ["delete", "failed-step", "review"] {
        for to in [&[][..], &[61], &[70], &[61, 70]] {
            let all = [
                ("ORDERS__ON_FAILURE", on_failure),
                ("LIMS__FAILED_STEP", "61"),
                ("LIMS__FAILED_STAGE", "7/9"),
                ("LIMS__REVIEWER", "64"),
            ];
            let (nsc, step) = (nsc(&all), step(to));
            let rules = Rules { lims: &nsc.lims, orders: &nsc.orders, step: &step };
            for failed in 0..8_u32 {
                let is_failed = |n: usize| failed & (1 << n) != 0;
                let some = artifacts.iter().enumerate().filter(|(n, _)| is_failed(*n));
                let some: BTreeMap<String, Fault> = some.map(|(_, id)| (id.to_string(), fault())).collect();
                let ending = match failed {
                    0 => Ending::Delivered,
                    7 => Ending::Undelivered(fault()),
                    _ => Ending::Partly(some),
                };
                let good = plan::onward(&step, &nsc.lims);
                let plan = match course(rules, &artifacts, &ending) {
                    // A step that leads to the one for failures alone, and something was delivered.
                    Err(why) => {
                        assert!(to == [61] && failed != 7 && good.is_err(), "{why}");
                        continue;
                    }
                    Ok(Course::Delete(faults)) => {
                        assert_eq!((nsc.orders.on_failure, failed, faults.len()), (OnFailure::Delete, 7, 3));
                        continue;
                    }
                    Ok(Course::Leave(_)) => {
                        assert!(nsc.orders.on_failure == OnFailure::Delete && failed != 0 && failed != 7);
                        continue;
                    }
                    Ok(Course::Finish(plan)) => plan,
                };
                seen += 1;
                assert_eq!(plan.actions.keys().collect::<Vec<_>>(), artifacts.iter().collect::<Vec<_>>());
                for (n, id) in artifacts.iter().enumerate() {
                    let (action, delivered) = (&plan.actions[id], good.as_ref().ok());
                    match is_failed(n) {
                        false => assert_eq!(Some(action), delivered),
                        true => assert_ne!(Some(action), delivered, "{on_failure} {to:?}"),
                    }
                    let bad = matches!(action, Action::Review | Action::Remove)
                        || matches!(action, Action::NextStep(uri) if uri.ends_with("/61"));
                    assert_eq!(bad, is_failed(n), "{on_failure} {to:?} {action:?}");
                }
                let has = |action| plan.actions.values().any(|own| *own == action);
                assert_eq!(
                    (plan.route.is_some(), plan.review.is_some()),
                    (has(Action::Remove), has(Action::Review))
                );
                assert_eq!(plan.faults.len(), failed.count_ones() as usize);
            }
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn an_ending_about_something_else_is_refused() {
    let (nsc, step) = (nsc(&[]), step(&[]));
    let rules = Rules { lims: &nsc.lims, orders: &nsc.orders, step: &step };
    let own = [LimsId::new("2-1").unwrap()].into();
    let why = course(rules, &own, &partly(&[&"2-9".to_owned()])).unwrap_err();
    assert_eq!(why, "2-9 is not an artifact of the order");
    let why = course(rules, &own, &partly(&[])).unwrap_err();
    assert_eq!(why, "an order was delivered in part, but nothing of it is missing");
}
