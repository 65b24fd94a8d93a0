//! The lab's side: persons who act on our steps, the view that proves "exactly once", and the moment of a request.

use std::sync::{Arc, Mutex};

use super::*;

#[tokio::test]
async fn an_artifact_tells_its_whole_story() {
    let settings = Settings { failed_step: Some(1603), next_step: Some(1602), ..Settings::default() };
    let server = Server::new(settings).await;
    let root = server.samples(&["A"]).remove(0).root_artifact;
    let view = || server.lims.artifact(&root).unwrap();
    assert_eq!((view().queued, view().exported, view().steps_made.len()), (vec![1601], 0, 0));
    let first = server.start(&[&root]).await;
    assert_eq!((view().queued, view().in_progress), (vec![], vec![first.clone()]));
    assert_eq!(server.lims.open_steps().len(), 1);
    server.lims.abort_elsewhere(&first).unwrap();
    assert!(server.lims.abort_elsewhere(&first).is_err(), "there is no such step any more");
    assert_eq!(server.get(&format!("steps/{first}")).await.status, 404);
    assert_eq!((view().queued, view().removed, server.lims.steps_made(&root)), (vec![1601], 1, 1));
    assert_eq!(server.lims.open_steps(), []);

    let end = async |to: u32| {
        let id = server.start(&[&root]).await;
        let uri = server.uri(&format!("configuration/protocols/901/steps/{to}"));
        let action = server.action(&root, &format!(r#"action="nextstep" step-uri="{uri}""#));
        server.put_actions(&id, &[action]).await.good();
        server.advance(&id, "Record Details").await.good();
        server.advance(&id, "Assign Next Steps").await.good();
        id
    };
    let second = end(1603).await;
    assert_eq!(view().ended, [(second.clone(), "nextstep".to_owned())]);
    assert!(view().at_failed_step && view().exported == 0);
    server.lims.enqueue(&root).unwrap();
    let third = end(1602).await;
    assert_eq!((view().exported, view().steps_made), (1, vec![first, second, third.clone()]));
    assert_eq!(server.lims.artifact("2-1"), None);
    assert!(server.lims.abort_elsewhere(&third).is_err(), "completed is completed");
}

#[tokio::test]
async fn a_reviewer_gives_the_step_back_or_closes_it() {
    let server = Server::new(Settings::default()).await;
    let roots: Vec<String> = server.samples(&["A", "B"]).into_iter().map(|s| s.root_artifact).collect();
    let id = server.start(&[&roots[0], &roots[1]]).await;
    let uri = server.uri(&format!("artifacts/{}", roots[0]));
    let other = server.action(&roots[1], r#"action="complete""#);
    let body = format!(
        r#"<stp:actions xmlns:stp="http://genologics.com/ri/step"><next-actions><next-action artifact-uri="{uri}" action="review"/><next-action {other}/></next-actions><escalation><request><comment>incomplete</comment><reviewer uri="{}"/></request><escalated-artifacts><escalated-artifact uri="{uri}"/></escalated-artifacts></escalation></stp:actions>"#,
        server.uri("researchers/3")
    );
    let path = format!("steps/{id}/actions");
    let nobody = body.replace("researchers/3", "researchers/4");
    assert!(server.call("PUT", &path, &nobody).await.refused(400).contains("reviewer that exists"));
    let answer = server.call("PUT", &path, &body).await.good();
    let request = answer.child("escalation").unwrap().child("request").unwrap();
    assert_eq!(request.child("reviewer").unwrap().attr("uri"), Some(server.uri("researchers/3").as_str()));
    server.advance(&id, "Record Details").await.good();
    assert!(server.lims.release(&id, "too early").is_err());
    server.advance(&id, "Assign Next Steps").await.good();
    assert_eq!(server.state(&id).await, "Under Review");
    assert!(server.call("PUT", &path, &body).await.refused(400).contains("Under Review"));
    assert_eq!(server.lims.artifact(&roots[0]).unwrap().in_progress, [id.as_str()]);

    server.lims.release(&id, "send it again").unwrap();
    assert_eq!(server.state(&id).await, "Assign Next Steps");
    let actions = server.get(&path).await.good();
    let review = actions.child("escalation").unwrap().child("review").unwrap();
    assert_eq!(review.child("comment").unwrap().text(), "send it again");
    assert!(server.advance(&id, "Assign Next Steps").await.refused(400).contains("no next action"));
    let repeat = server.action(&roots[0], r#"action="repeat""#);
    server.put_actions(&id, &[repeat, other]).await.good();
    server.advance(&id, "Assign Next Steps").await.good();
    assert_eq!(server.lims.queued(), [roots[0].clone()]);
    assert_eq!(server.lims.artifact(&roots[0]).unwrap().exported, 0);
    assert_eq!(server.lims.artifact(&roots[1]).unwrap().exported, 1);
}

#[tokio::test]
async fn every_request_is_told_before_and_after_its_work() {
    let server = Server::new(Settings::default()).await;
    server.samples(&["A"]);
    let told = Arc::new(Mutex::new(Vec::new()));
    let (into, lims) = (Arc::clone(&told), server.lims.clone());
    server.lims.on_request(move |entry, when| {
        // Looking at the world from within must not block: no lock is held here.
        into.lock().unwrap().push((entry.method.clone(), entry.status, when, lims.steps().len()));
    });
    server.start(&["OUS1A1PA1"]).await;
    server.lims.fault(FaultRule::once("GET", "/queues/", Fault::DropAfterWork));
    assert!(server.try_call("GET", "queues/1601", None).await.is_err());
    server.get("nowhere").await.refused(404);
    let wanted = [
        ("POST".to_owned(), 0, When::Before, 0),
        ("POST".to_owned(), 201, When::After, 1),
        ("GET".to_owned(), 0, When::Before, 1),
        ("GET".to_owned(), 0, When::After, 1),
        ("GET".to_owned(), 0, When::Before, 1),
        ("GET".to_owned(), 404, When::After, 1),
    ];
    assert_eq!(*told.lock().unwrap(), wanted);
    server.lims.off_request();
    server.get("queues/1601").await.good();
    assert_eq!(told.lock().unwrap().len(), 6);
}
