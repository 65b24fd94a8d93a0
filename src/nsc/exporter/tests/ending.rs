use super::*;

const BY_REVIEW: &[(&str, &str)] =
    &[("ORDERS__ON_FAILURE", "review"), ("LIMS__REVIEWER", "64"), ("LIMS__FAILURE_FIELD", FAILURE_FIELD)];
const BY_STEP: &[(&str, &str)] = &[
    ("ORDERS__ON_FAILURE", "failed-step"),
    ("LIMS__FAILED_STEP", "1603"),
    ("LIMS__FAILURE_FIELD", FAILURE_FIELD),
];
const BY_ROUTE: &[(&str, &str)] = &[
    ("ORDERS__ON_FAILURE", "failed-step"),
    ("LIMS__FAILED_STAGE", FAILED_STAGE),
    ("LIMS__FAILURE_FIELD", FAILURE_FIELD),
];

#[tokio::test]
async fn delivered_is_completed_once_and_a_repeat_changes_nothing() {
    let server = Server { setup_screen: true, started_reads: 2, ..Server::default() };
    let lab = Lab::new(server, &[]).await;
    let artifacts = lab.samples(3);
    let (order, step) = lab.claimed(&artifacts).await;
    for _ in 0..2 {
        assert_eq!(lab.exporter.end(&step, &order, &Ending::Delivered).await.unwrap(), Ended::Completed);
    }
    let view = lab.step(&step);
    assert_eq!(view.state, StepState::Completed);
    assert!(view.actions.iter().all(|(_, action)| action == "complete") && view.actions.len() == 3);
    assert_eq!((lab.lims.steps().len(), lab.count("PUT", "/actions")), (1, 1));
    assert_eq!(lab.exporter.standing(&step, &order).await.unwrap(), Standing::Completed);
}

#[tokio::test]
async fn with_one_step_to_go_to_samples_go_on_and_with_several_nothing_is_done() {
    let lab = Lab::new(Server { next_step: Some(1700), ..server(true) }, BY_STEP).await;
    let artifacts = lab.samples(2);
    let (order, step) = lab.claimed(&artifacts).await;
    assert_eq!(lab.exporter.end(&step, &order, &Ending::Delivered).await.unwrap(), Ended::Completed);
    assert_eq!(lab.lims.queued_for(1700).len(), 2);
    // The same server for a site that does not know which of the two is the one for failures.
    let lab = Lab::new(Server { next_step: Some(1700), ..server(true) }, &[]).await;
    let (order, step) = lab.claimed(&lab.samples(1)).await;
    let why = said(lab.exporter.end(&step, &order, &Ending::Delivered).await.unwrap_err());
    assert!(why.contains("1700 \"Exported\", 1603 \"Export failed\""), "{why}");
    assert_eq!(lab.count("PUT", "/actions"), 0);
}

#[tokio::test]
async fn nothing_delivered_deletes_the_step_and_the_samples_are_queued_again() {
    let lab = Lab::new(Server::default(), &[("LIMS__FAILURE_FIELD", FAILURE_FIELD)]).await;
    let artifacts = lab.samples(2);
    lab.lims.edit_udfs(&artifacts[0], |udfs| udfs.push(Udf::string("Merknad", "blåbær"))).unwrap();
    let (order, step) = lab.claimed(&artifacts).await;
    // The answer to the deletion is lost, and it shows late: the next attempt finds out.
    lab.lims.fault(FaultRule::once("DELETE", &format!("steps/{step}"), Trouble::DropAfterWork));
    let ending = Ending::Undelivered(fault());
    assert!(matches!(lab.exporter.end(&step, &order, &ending).await, Err(Failure::Outage(_))));
    for _ in 0..2 {
        let Ended::Withdrawn(how) = lab.exporter.end(&step, &order, &ending).await.unwrap() else { panic!() };
        assert!(how.contains("is in the queue again") && how.contains("md5-mismatch"), "{how}");
    }
    assert_eq!((lab.lims.queued().len(), lab.count("DELETE", &step)), (2, 1));
    assert_eq!(
        lab.field(&artifacts[1]).unwrap(),
        "not exported (md5-mismatch): HG12345670: prøven «æøå» stemmer ikke"
    );
    assert!(lab.lims.udfs(&artifacts[0]).contains(&Udf::string("Merknad", "blåbær")), "others' fields stay");
    assert_eq!(lab.exporter.standing(&step, &order).await.unwrap(), Standing::Gone);
}

#[tokio::test]
async fn failed_ones_go_to_the_failed_step_in_the_same_document_as_the_others() {
    let lab = Lab::new(Server { next_step: Some(1700), ..server(true) }, BY_STEP).await;
    let artifacts = lab.samples(3);
    let (order, step) = lab.claimed(&artifacts).await;
    let ending = partly(&[&artifacts[1]]);
    for _ in 0..2 {
        let Ended::Failed(how) = lab.exporter.end(&step, &order, &ending).await.unwrap() else { panic!() };
        assert!(how.starts_with(&format!("{} went to step 1603", artifacts[1])), "{how}");
    }
    assert_eq!(lab.lims.queued_for(FAILED), [artifacts[1].clone()]);
    assert_eq!(lab.lims.queued_for(1700), [artifacts[0].clone(), artifacts[2].clone()]);
    assert!(lab.field(&artifacts[1]).unwrap().contains("md5-mismatch") && lab.field(&artifacts[0]).is_none());
    let all = Ending::Undelivered(fault());
    let (order, step) = lab.claimed(&lab.samples(1)).await;
    assert!(matches!(lab.exporter.end(&step, &order, &all).await.unwrap(), Ended::Failed(_)));
    assert_eq!(lab.lims.queued_for(FAILED).len(), 2);
}

#[tokio::test]
async fn without_a_way_to_it_failed_ones_are_removed_and_routed_once_whatever_is_lost() {
    for trouble in
        [None, Some(Trouble::DropAfterWork), Some(Trouble::Html504AfterWork), Some(Trouble::LagReads(3))]
    {
        let lab = Lab::new(server(false), BY_ROUTE).await;
        let artifacts = lab.samples(2);
        let (order, step) = lab.claimed(&artifacts).await;
        lab.lims.fault(FaultRule::once(
            "POST",
            "route/artifacts",
            trouble.clone().unwrap_or(Trouble::LagReads(0)),
        ));
        let ending = partly(&[&artifacts[0]]);
        for _ in 0..2 {
            let Ended::Failed(how) = lab.exporter.end(&step, &order, &ending).await.unwrap() else {
                panic!()
            };
            assert!(how.contains("was put into stage 6603 of workflow 751"), "{how}");
        }
        assert_eq!(lab.lims.queued_for(FAILED), [artifacts[0].clone()], "{trouble:?}");
        assert_eq!(lab.count("POST", "route/artifacts"), 1, "{trouble:?}");
        let history = lab.lims.history(&artifacts[0]);
        assert_eq!(history, [(1601, "REMOVED"), (FAILED, "QUEUED")], "{trouble:?}");
        assert_eq!(lab.lims.history(&artifacts[1]), [(1601, "COMPLETE")]);
    }
}

#[tokio::test]
async fn a_route_that_never_reached_the_lims_is_sent_at_the_next_attempt() {
    let lab = Lab::new(server(false), BY_ROUTE).await;
    let (order, step) = lab.claimed(&lab.samples(1)).await;
    lab.lims.fault(FaultRule::once("POST", "route/artifacts", Trouble::DropBeforeWork));
    let ending = Ending::Undelivered(fault());
    assert!(matches!(lab.exporter.end(&step, &order, &ending).await, Err(Failure::Outage(_))));
    assert!(matches!(lab.exporter.end(&step, &order, &ending).await.unwrap(), Ended::Failed(_)));
    assert_eq!(lab.lims.queued_for(FAILED).len(), 1);
}

#[tokio::test]
async fn a_manager_is_asked_with_the_reason_and_the_step_waits() {
    let lab = Lab::new(Server::default(), BY_REVIEW).await;
    let artifacts = lab.samples(2);
    let (order, step) = lab.claimed(&artifacts).await;
    let ending = partly(&[&artifacts[1]]);
    for _ in 0..2 {
        let Ended::Review(how) = lab.exporter.end(&step, &order, &ending).await.unwrap() else { panic!() };
        assert!(how.contains("waits for a manager") && how.contains("md5-mismatch"), "{how}");
    }
    let view = lab.step(&step);
    assert_eq!(view.state, StepState::UnderReview);
    let comment = view.escalation.unwrap();
    assert!(
        comment
            .starts_with(&format!("{}: not exported (md5-mismatch): HG12345670: prøven «æøå»", artifacts[1]))
    );
    assert!(comment.contains("To do: have the file delivered again"), "{comment}");
    assert_eq!(lab.count("PUT", "/actions"), 1);
    assert_eq!(lab.exporter.standing(&step, &order).await.unwrap(), Standing::InReview);
    lab.lims.complete_elsewhere(&step).unwrap();
    let Ended::Review(how) = lab.exporter.end(&step, &order, &ending).await.unwrap() else { panic!() };
    assert!(how.contains("somebody completed step"), "{how}");
}

#[tokio::test]
async fn delivered_in_part_where_failures_are_deleted_leaves_the_step_open() {
    let lab = Lab::new(Server::default(), &[]).await;
    let artifacts = lab.samples(2);
    let (order, step) = lab.claimed(&artifacts).await;
    let Ended::Review(how) = lab.exporter.end(&step, &order, &partly(&[&artifacts[0]])).await.unwrap() else {
        panic!()
    };
    assert!(how.contains("stays open"), "{how}");
    assert_eq!(lab.step(&step).state, StepState::RecordDetails);
    assert_eq!((lab.count("PUT", "/actions"), lab.count("DELETE", &step)), (0, 0));
}

#[tokio::test]
async fn what_a_person_did_meanwhile_is_recognised_and_not_overruled() {
    let lab = Lab::new(server(true), BY_STEP).await;
    // Closed by a person although nothing was delivered.
    let (order, step) = lab.claimed(&lab.samples(1)).await;
    lab.lims.complete_elsewhere(&step).unwrap();
    let Ended::Review(how) = lab.exporter.end(&step, &order, &Ending::Undelivered(fault())).await.unwrap()
    else {
        panic!()
    };
    assert!(how.contains("somebody completed step") && how.contains("md5-mismatch"), "{how}");

    // Closed by a person, and everything was delivered: it is exported.
    let lab = Lab::new(Server::default(), &[]).await;
    let (order, step) = lab.claimed(&lab.samples(1)).await;
    lab.lims.complete_elsewhere(&step).unwrap();
    assert_eq!(lab.exporter.end(&step, &order, &Ending::Delivered).await.unwrap(), Ended::Completed);

    // Aborted by a person: nothing was delivered, and everything was.
    let artifacts = lab.samples(1);
    let (order, step) = lab.claimed(&artifacts).await;
    lab.exporter.client.abort_step(&LimsId::new(&step).unwrap()).await.unwrap();
    let Ended::Withdrawn(_) = lab.exporter.end(&step, &order, &Ending::Undelivered(fault())).await.unwrap()
    else {
        panic!()
    };
    let how = said(lab.exporter.end(&step, &order, &Ending::Delivered).await.unwrap_err());
    assert!(how.contains("does not call it exported") && how.contains("is in the queue again"), "{how}");
    assert!(lab.lims.withdraw(&artifacts[0]));
    let Ended::Review(how) = lab.exporter.end(&step, &order, &Ending::Undelivered(fault())).await.unwrap()
    else {
        panic!()
    };
    assert!(how.contains("is not in the queue"), "{how}");
}

#[tokio::test]
async fn delivered_ends_only_when_the_lims_calls_it_exported() {
    let lab = Lab::new(Server::default(), &[]).await;
    let (order, step) = lab.claimed(&lab.samples(1)).await;
    let id = LimsId::new(&step).unwrap();
    // Somebody put it before a manager by hand.
    let review = crate::clarity::Review { reviewer: 64, comment: "se på denne".into() };
    let choose = |_: &LimsId| Some(crate::clarity::Action::Review);
    let _asked = lab.exporter.client.decide(&id, choose, Some(&review)).await.unwrap();
    for _ in 0..2 {
        let _moved = lab.exporter.client.advance(&id, lab.exporter.settle()).await.unwrap();
    }
    let why = said(lab.exporter.end(&step, &order, &Ending::Delivered).await.unwrap_err());
    assert!(why.contains("somebody put it before a manager"), "{why}");
    lab.lims.complete_elsewhere(&step).unwrap();
    assert_eq!(lab.exporter.end(&step, &order, &Ending::Delivered).await.unwrap(), Ended::Completed);
}

#[tokio::test]
async fn a_program_that_leaves_a_message_holds_the_step_until_somebody_closes_it() {
    let program = |message: Option<&str>| crate::demo::lims::Program {
        name: "Notify".into(),
        leaving: StepState::RecordDetails,
        reads: 2,
        outcome: crate::demo::lims::ProgramOutcome::Ok,
        message: message.map(str::to_owned),
    };
    let lab = Lab::new(Server { programs: vec![program(None)], ..Server::default() }, &[]).await;
    let (order, step) = lab.claimed(&lab.samples(1)).await;
    assert_eq!(lab.exporter.end(&step, &order, &Ending::Delivered).await.unwrap(), Ended::Completed);
    let lab =
        Lab::new(Server { programs: vec![program(Some("Mail sendt"))], ..Server::default() }, &[]).await;
    let (order, step) = lab.claimed(&lab.samples(1)).await;
    let why = said(lab.exporter.end(&step, &order, &Ending::Delivered).await.unwrap_err());
    assert!(why.contains("stays in Record Details") && why.contains("says: Mail sendt"), "{why}");
    lab.lims.acknowledge(&step).unwrap();
    assert_eq!(lab.exporter.end(&step, &order, &Ending::Delivered).await.unwrap(), Ended::Completed);
}

#[tokio::test]
async fn a_step_with_other_samples_than_the_orders_is_not_touched() {
    let lab = Lab::new(Server::default(), &[]).await;
    let artifacts = lab.samples(2);
    let (_, step) = lab.claimed(&artifacts).await;
    let other = order(&artifacts[..1]);
    let Ended::Review(how) = lab.exporter.end(&step, &other, &Ending::Undelivered(fault())).await.unwrap()
    else {
        panic!()
    };
    assert!(how.contains(&format!("holds {}, {}", artifacts[0], artifacts[1])), "{how}");
    let how = said(lab.exporter.end(&step, &other, &Ending::Delivered).await.unwrap_err());
    assert!(how.contains("nothing was done to it"), "{how}");
    assert_eq!((lab.count("PUT", "/actions"), lab.count("DELETE", &step)), (0, 0));
}

/// Each request of an ending fails in turn, before and after its work: repeated, it comes to the same end.
#[tokio::test]
async fn an_ending_that_is_interrupted_at_any_request_comes_to_the_same_end() {
    for (server, more, ending, want) in [
        (Server::default(), BY_REVIEW, Ending::Delivered, "Completed"),
        (
            Server::default(),
            &[("LIMS__FAILURE_FIELD", FAILURE_FIELD)][..],
            Ending::Undelivered(fault()),
            "Withdrawn",
        ),
        (server(true), BY_STEP, Ending::Undelivered(fault()), "Failed"),
        (server(false), BY_ROUTE, Ending::Undelivered(fault()), "Failed"),
        (Server::default(), BY_REVIEW, Ending::Undelivered(fault()), "Review"),
    ] {
        let lab = Lab::new(server, &[more, &[("LIMS__ATTEMPTS", "1")]].concat()).await;
        let mut points = 0;
        loop {
            let mut met = false;
            for trouble in [Trouble::DropBeforeWork, Trouble::DropAfterWork] {
                let artifacts = lab.samples(1);
                let (order, step) = lab.claimed(&artifacts).await;
                lab.lims.clear_requests();
                lab.lims.fault(FaultRule::once("", "/api/v2/", trouble.clone()).after(points));
                let mut ended = None;
                for _ in 0..4 {
                    match lab.exporter.end(&step, &order, &ending).await {
                        Ok(end) => {
                            ended = Some(end);
                            break;
                        }
                        Err(Failure::Fatal(why)) => panic!("{why}"),
                        Err(_) => {}
                    }
                }
                lab.lims.clear_faults();
                met |= lab.lims.requests().iter().any(|r| r.status == 0);
                let ended = format!("{:?}", ended.unwrap());
                assert!(ended.starts_with(want), "{want}: request {points} {trouble:?}: {ended}");
                let times = lab.lims.queued_for(FAILED).iter().filter(|a| **a == artifacts[0]).count();
                assert_eq!(times, usize::from(want == "Failed"), "{want}: request {points} {trouble:?}");
                let steps = lab.lims.steps().iter().filter(|s| s.inputs == artifacts).count();
                assert_eq!(steps, usize::from(want != "Withdrawn"), "{want}: request {points} {trouble:?}");
                // Out of the way of the next round.
                assert_eq!(lab.lims.withdraw(&artifacts[0]), want == "Withdrawn");
            }
            if !met {
                break;
            }
            points += 1;
        }
        assert!(points > 8, "{want}: only {points} requests were interrupted");
    }
}
