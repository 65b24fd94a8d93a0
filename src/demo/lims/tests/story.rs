//! The export story: from the queue to the files' facts, through the step, to the end; and its other endings.

use super::*;

#[tokio::test]
async fn a_sample_is_found_claimed_and_completed() {
    let server = Server::new(Settings { started_reads: 2, ..Settings::default() }).await;
    let sample = server.samples(&["HG12345671-Nett-KIT-wgs"]).remove(0);
    let root = sample.root_artifact.as_str();
    assert_eq!((sample.limsid.as_str(), root), ("OUS1A1", "OUS1A1PA1"));

    let queue = server.get("queues/1601").await.good();
    assert!(queue.is("que:queue"));
    assert_eq!(queue.attr("name"), Some("Lims exporter diag 2.0"));
    let step_uri = queue.attr("protocol-step-uri").unwrap().to_owned();
    assert_eq!(ids(queue.child("artifacts").unwrap()), [root]);

    let got = server.call("POST", "steps", &server.creation(&[root])).await;
    assert_eq!(got.status, 201);
    let step = got.xml();
    assert_eq!(step.attr("current-state"), Some("Started"));
    assert_eq!(step.child("configuration").unwrap().attr("uri"), Some(step_uri.as_str()));
    let id = step.attr("limsid").unwrap().to_owned();
    assert_eq!(server.queue().await, Vec::<String>::new());
    assert_eq!(server.lims.history(root), [(1601, "IN_PROGRESS")]);

    let states = [server.state(&id).await, server.state(&id).await, server.state(&id).await];
    assert_eq!(states, ["Started", "Started", "Record Details"]);
    let open = server.get(&format!("processes/{id}")).await.good();
    assert_eq!(open.child("type").unwrap().text(), "Lims exporter diag 2.0");
    assert!(open.child("date-run").is_none());
    assert!(open.child("input-output-map").unwrap().child("output").is_none());

    assert_eq!(server.get(&format!("steps/{id}/programstatus")).await.status, 404);
    let details = server.get(&format!("steps/{id}/details")).await;
    let body = details.text().replace(
        "<fields/>",
        r#"<fields><udf:field name="Export key" type="String">k-17</udf:field></fields>"#,
    );
    let put = server.call("PUT", &format!("steps/{id}/details"), &body).await.good();
    assert_eq!(udf(put.child("fields").unwrap(), "Export key"), Some("k-17"));

    let actions = server.get(&format!("steps/{id}/actions")).await.good();
    let next = actions.child("next-actions").unwrap().child("next-action").unwrap().clone();
    assert_eq!(next.attr("artifact-uri"), Some(server.uri("artifacts/OUS1A1PA1").as_str()));
    assert_eq!(next.attr("action"), None);
    let put = server.put_actions(&id, &[server.action(root, r#"action="complete""#)]).await.good();
    assert_eq!(put.child("next-actions").unwrap().children[0].attr("action"), Some("complete"));

    let step = server.advance(&id, "Record Details").await.good();
    assert_eq!(step.attr("current-state"), Some("Assign Next Steps"));
    let step = server.advance(&id, "Assign Next Steps").await.good();
    assert_eq!(step.attr("current-state"), Some("Completed"));
    assert!(step.child("date-completed").is_some());
    assert!(server.get(&format!("processes/{id}")).await.good().child("date-run").is_some());
    assert_eq!(server.lims.history(root), [(1601, "COMPLETE")]);

    let view = server.lims.steps().remove(0);
    assert_eq!((view.id, view.state), (id, StepState::Completed));
    assert_eq!(view.actions, [(root.to_owned(), "complete".to_owned())]);
    assert_eq!(view.fields, [Udf::string("Export key", "k-17")]);
    assert_eq!(view.technician, "API Access");
    let last = server.lims.requests().pop().unwrap();
    assert_eq!((last.method.as_str(), last.status), ("GET", 200));
}

#[tokio::test]
async fn an_aborted_step_gives_its_artifacts_back() {
    let server = Server::new(Settings::default()).await;
    let samples = server.samples(&["A", "B"]);
    let (a, b) = (samples[0].root_artifact.as_str(), samples[1].root_artifact.as_str());
    let id = server.start(&[a, b]).await;
    assert_eq!(server.queue().await, Vec::<String>::new());
    let gone = server.try_call("DELETE", &format!("steps/{id}"), None).await.unwrap();
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    assert_eq!(server.queue().await, [a, b]);
    assert_eq!(server.lims.history(a), [(1601, "REMOVED"), (1601, "QUEUED")]);
    assert_eq!(server.get(&format!("steps/{id}")).await.refused(404), format!("Step not found: {id}"));
    assert_eq!(server.get(&format!("processes/{id}")).await.status, 404);
    let again = server.start(&[a]).await;
    assert_ne!(again, id);
}

#[tokio::test]
async fn transitions_lead_to_the_queues_they_name() {
    let settings = Settings { next_step: Some(1602), failed_step: Some(1603), ..Settings::default() };
    let server = Server::new(settings).await;
    let roots: Vec<String> = server.samples(&["A", "B", "C"]).into_iter().map(|s| s.root_artifact).collect();
    let [a, b, c] = [&roots[0], &roots[1], &roots[2]];
    let id = server.start(&[a, b, c]).await;
    let to = |step: u32| server.uri(&format!("configuration/protocols/901/steps/{step}"));
    let refused = server.put_actions(&id, &[server.action(a, r#"action="complete""#)]).await.refused(400);
    assert!(refused.contains("not valid for a step that has next steps"), "{refused}");
    let actions = [
        server.action(a, &format!(r#"action="nextstep" step-uri="{}""#, to(1602))),
        server.action(b, &format!(r#"action="nextstep" step-uri="{}""#, to(1603))),
        server.action(c, r#"action="repeat""#),
    ];
    server.put_actions(&id, &actions).await.good();
    server.advance(&id, "Record Details").await.good();
    server.advance(&id, "Assign Next Steps").await.good();
    assert_eq!(server.lims.queued_for(1602), [a.as_str()]);
    assert_eq!(server.lims.queued_for(1603), [b.as_str()]);
    assert_eq!(server.queue().await, [c.as_str()]);
    assert_eq!(server.lims.history(b), [(1601, "COMPLETE"), (1603, "QUEUED")]);
    let failed = server.get("queues/1603?previousstepid=1601").await.good();
    assert_eq!(failed.attr("name"), Some("Export failed"));
    assert_eq!(ids(failed.child("artifacts").unwrap()), [b.as_str()]);
}

#[tokio::test]
async fn removed_then_routed_to_the_failure_stage() {
    let settings = Settings { failed_step: Some(1603), failed_step_linked: false, ..Settings::default() };
    let server = Server::new(settings).await;
    let root = server.samples(&["A"]).remove(0).root_artifact;
    let id = server.start(&[&root]).await;
    let stage = server.uri("configuration/workflows/751/stages/6603");
    let routing = format!(
        r#"<rt:routing xmlns:rt="http://genologics.com/ri/routing"><assign stage-uri="{stage}"><artifact uri="{}"/></assign></rt:routing>"#,
        server.uri(&format!("artifacts/{root}"))
    );
    let refused = server.call("POST", "route/artifacts", &routing).await.refused(400);
    assert!(refused.contains("in progress"), "{refused}");
    server.put_actions(&id, &[server.action(&root, r#"action="remove""#)]).await.good();
    server.advance(&id, "Record Details").await.good();
    server.advance(&id, "Assign Next Steps").await.good();
    assert_eq!(server.lims.history(&root), [(1601, "REMOVED")]);

    let answer = server.call("POST", "route/artifacts", &routing).await.good();
    assert!(answer.is("rt:routing"));
    assert_eq!(answer.child("assign").unwrap().attr("stage-uri"), Some(stage.as_str()));
    assert_eq!(server.lims.queued_for(1603), [root.as_str()]);
    let artifact = server.get(&format!("artifacts/{root}")).await.good();
    let stages: Vec<_> = artifact.child("workflow-stages").unwrap().children.iter().collect();
    assert_eq!(stages.len(), 2);
    assert_eq!(stages[1].attr("uri"), Some(stage.as_str()));
    assert_eq!(stages[1].attr("status"), Some("QUEUED"));

    let workflow = server.uri("configuration/workflows/751");
    let artifact = format!(r#"<artifact uri="{}"/>"#, server.uri(&format!("artifacts/{root}")));
    let unassign = format!(r#"<unassign workflow-uri="{workflow}">{artifact}</unassign>"#);
    let route = |to: String| {
        format!(
            r#"<rt:routing xmlns:rt="http://genologics.com/ri/routing"><assign {to}>{artifact}</assign>{unassign}</rt:routing>"#
        )
    };
    let back = route(format!(r#"workflow-uri="{workflow}""#));
    server.call("POST", "route/artifacts", &back).await.good();
    assert_eq!(server.lims.queued_for(1603), Vec::<String>::new());
    assert_eq!(server.queue().await, [root.as_str()]);
    let move_over = route(format!(r#"stage-uri="{stage}""#));
    server.call("POST", "route/artifacts", &move_over).await.good();
    assert_eq!(server.queue().await, Vec::<String>::new());
    assert_eq!(server.lims.queued_for(1603), [root], "unassigned first, though it comes second");
}

#[tokio::test]
async fn programs_hold_the_step_until_they_end() {
    let program = |outcome, message: Option<&str>| Program {
        name: "Check export".to_owned(),
        leaving: StepState::RecordDetails,
        reads: 2,
        outcome,
        message: message.map(str::to_owned),
    };
    let exact =
        "Cannot advance a step that has an external program queued, running or pending acknowledgement";
    let settings = Settings { programs: vec![program(ProgramOutcome::Ok, None)], ..Settings::default() };
    let server = Server::new(settings).await;
    let roots: Vec<String> = server.samples(&["A", "B", "C"]).into_iter().map(|s| s.root_artifact).collect();
    let id = server.start(&[&roots[0]]).await;
    let status = format!("steps/{id}/programstatus");
    assert_eq!(server.get(&status).await.status, 404);
    let step = server.advance(&id, "Record Details").await.good();
    assert_eq!(step.attr("current-state"), Some("Record Details"));
    assert_eq!(server.advance(&id, "Record Details").await.refused(400), exact);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(server.get(&status).await.good().child("status").unwrap().text().to_owned());
    }
    assert_eq!(seen, ["QUEUED", "RUNNING", "OK"]);
    assert_eq!(server.state(&id).await, "Assign Next Steps");

    server
        .lims
        .configure(|settings| settings.programs = vec![program(ProgramOutcome::Ok, Some("Look here"))]);
    let id = server.start(&[&roots[1]]).await;
    server.advance(&id, "Record Details").await.good();
    assert!(server.lims.acknowledge(&id).is_err());
    for _ in 0..3 {
        assert_eq!(server.state(&id).await, "Record Details");
    }
    let status = server.get(&format!("steps/{id}/programstatus")).await.good();
    assert_eq!(status.child("message").unwrap().text(), "Look here");
    assert_eq!(server.advance(&id, "Record Details").await.refused(400), exact);
    server.lims.acknowledge(&id).unwrap();
    assert_eq!(server.state(&id).await, "Assign Next Steps");

    server.lims.configure(|settings| settings.programs = vec![program(ProgramOutcome::Error, Some("No"))]);
    let id = server.start(&[&roots[2]]).await;
    server.advance(&id, "Record Details").await.good();
    let _ = (server.state(&id).await, server.state(&id).await);
    server.lims.acknowledge(&id).unwrap();
    assert_eq!(server.state(&id).await, "Record Details");
    server.advance(&id, "Record Details").await.good();
}

#[tokio::test]
async fn review_waits_for_a_person() {
    let server = Server::new(Settings { setup_screen: true, ..Settings::default() }).await;
    let root = server.samples(&["A"]).remove(0).root_artifact;
    let id = server.start(&[&root]).await;
    let uri = server.uri(&format!("artifacts/{root}"));
    let next = format!(r#"<next-actions><next-action artifact-uri="{uri}" action="review"/></next-actions>"#);
    let bare = format!(r#"<stp:actions xmlns:stp="http://genologics.com/ri/step">{next}</stp:actions>"#);
    let path = format!("steps/{id}/actions");
    assert_eq!(server.call("PUT", &path, &bare).await.status, 400);
    assert_eq!(server.advance(&id, "Step Setup").await.good().attr("current-state"), Some("Record Details"));
    let refused = server.call("PUT", &path, &bare).await.refused(400);
    assert!(refused.contains("needs an escalation"), "{refused}");
    let escalated = format!(
        r#"<stp:actions xmlns:stp="http://genologics.com/ri/step">{next}<escalation><request><comment>md5 differs</comment><reviewer uri="{}"/></request><escalated-artifacts><escalated-artifact uri="{uri}"/></escalated-artifacts></escalation></stp:actions>"#,
        server.uri("researchers/64")
    );
    let answer = server.call("PUT", &path, &escalated).await.good();
    let request = answer.child("escalation").unwrap().child("request").unwrap();
    assert_eq!(request.child("comment").unwrap().text(), "md5 differs");
    server.advance(&id, "Record Details").await.good();
    let step = server.advance(&id, "Assign Next Steps").await.good();
    assert_eq!(step.attr("current-state"), Some("Under Review"));
    assert_eq!(server.advance(&id, "Under Review").await.status, 400);
    assert_eq!(server.lims.steps()[0].escalation.as_deref(), Some("md5 differs"));
    server.lims.complete_elsewhere(&id).unwrap();
    assert_eq!(server.state(&id).await, "Completed");
    assert!(server.lims.complete_elsewhere(&id).is_err());
}

#[tokio::test]
async fn others_work_in_the_same_lims() {
    let server = Server::new(Settings::default()).await;
    let roots: Vec<String> = server.samples(&["A", "B"]).into_iter().map(|s| s.root_artifact).collect();
    let theirs = server.lims.start_elsewhere(&roots[..1]).unwrap();
    assert_eq!(server.queue().await, [roots[1].as_str()]);
    let refused = server.call("POST", "steps", &server.creation(&[&roots[0], &roots[1]])).await.refused(400);
    assert_eq!(refused, "Artifact OUS1A1PA1 is not queued for step Lims exporter diag 2.0");
    assert_eq!(server.queue().await, [roots[1].clone()], "a refused start takes nothing");
    let process = server.get(&format!("processes/{theirs}")).await.good();
    assert_eq!(process.child("technician").unwrap().child("first-name").unwrap().text(), "Ada");
    assert!(server.lims.withdraw(&roots[1]));
    assert!(!server.lims.withdraw(&roots[1]));
    assert_eq!(server.lims.history(&roots[1]), [(1601, "REMOVED")]);
}
