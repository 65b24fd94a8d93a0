//! Each fault does what it says, and no more.

use super::*;

async fn with_one_sample() -> Server {
    let server = Server::new(Settings::default()).await;
    server.samples(&["Bjørn"]);
    server
}

#[tokio::test]
async fn answers_from_in_front_of_the_server() {
    let server = with_one_sample().await;
    let once = |kind| server.lims.fault(FaultRule::once("GET", "/queues/", kind));
    once(Fault::Html503);
    let got = server.get("queues/1601").await;
    assert_eq!(got.status, 503);
    assert!(got.text().starts_with("<!DOCTYPE HTML"));
    assert_eq!(server.get("queues/1601").await.status, 200, "once is once");
    for (kind, status) in [(Fault::Empty401, 401), (Fault::Empty403, 403)] {
        once(kind);
        let got = server.get("queues/1601").await;
        assert_eq!((got.status, got.body.len()), (status, 0));
    }
    once(Fault::Status413);
    assert_eq!(server.get("queues/1601").await.status, 413);
    once(Fault::ExceptionAt200);
    let got = server.get("queues/1601").await;
    assert_eq!(got.refused(200), "An unexpected error occurred");
    once(Fault::Exception { status: 500, message: "ORA-00942".to_owned() });
    assert_eq!(server.get("queues/1601").await.refused(500), "ORA-00942");
    once(Fault::Redirect("https://lims.example.org/".to_owned()));
    let request = server.client.get(server.uri("queues/1601")).basic_auth("apiuser", Some("secret"));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 301);
    assert_eq!(answer.headers()["location"], "https://lims.example.org/");
}

#[tokio::test]
async fn a_lost_answer_tells_nothing_about_the_work() {
    let server = with_one_sample().await;
    let creation = server.creation(&["OUS1A1PA1"]);
    server.lims.fault(FaultRule::once("POST", "/steps$", Fault::DropBeforeWork));
    let lost = server.try_call("POST", "steps", Some(creation.clone())).await;
    assert!(lost.is_err());
    assert_eq!(server.lims.steps(), []);
    assert_eq!(server.queue().await, ["OUS1A1PA1"]);

    server.lims.fault(FaultRule::once("POST", "/steps$", Fault::DropAfterWork));
    let lost = server.try_call("POST", "steps", Some(creation.clone())).await;
    assert!(lost.is_err());
    assert_eq!(server.lims.steps().len(), 1);
    assert_eq!(server.queue().await, Vec::<String>::new());
    let statuses: Vec<u16> =
        server.lims.requests().iter().filter(|r| r.method == "POST").map(|r| r.status).collect();
    assert_eq!(statuses, [0, 0], "dropped, and asked only once each");

    let id = server.lims.steps()[0].id.clone();
    server.lims.fault(FaultRule::once("DELETE", "/steps/", Fault::Html504AfterWork));
    assert_eq!(server.try_call("DELETE", &format!("steps/{id}"), None).await.unwrap().status, 504);
    assert_eq!(server.lims.steps(), []);
}

#[tokio::test]
async fn broken_documents() {
    let server = with_one_sample().await;
    let whole = server.get("artifacts/OUS1A1PA1").await.body;
    let once = |kind| server.lims.fault(FaultRule::once("GET", "/artifacts/OUS1A1PA1", kind));
    once(Fault::HalfXml);
    assert_eq!(server.get("artifacts/OUS1A1PA1").await.body, whole[..whole.len() / 2]);
    once(Fault::BrokenUtf8);
    let got = server.get("artifacts/OUS1A1PA1").await;
    assert!(String::from_utf8(got.body.clone()).is_err());
    assert!(got.body.windows(5).any(|bytes| bytes == b"Bj\xf8rn"));
    once(Fault::EmptyBody);
    let got = server.get("artifacts/OUS1A1PA1").await;
    assert_eq!((got.status, got.body.len()), (200, 0));
    once(Fault::CutBody);
    assert!(server.try_call("GET", "artifacts/OUS1A1PA1", None).await.is_err());
    assert_eq!(server.get("artifacts/OUS1A1PA1").await.body, whole);
}

#[tokio::test]
async fn lag_shows_the_world_before_for_some_reads() {
    let server = with_one_sample().await;
    server.lims.fault(FaultRule::once("POST", "/steps$", Fault::LagReads(3)));
    let id = server.start(&["OUS1A1PA1"]).await;
    assert_eq!(server.queue().await, ["OUS1A1PA1"], "still listed");
    assert_eq!(server.state(&id).await, "Record Details", "what is new is known by its id");
    let search = "processes?inputartifactlimsid=OUS1A1PA1&type=Lims+exporter+diag+2.0";
    assert_eq!(ids(&server.get(search).await.good()).len(), 0, "and not found yet");
    assert_eq!(ids(&server.get(search).await.good()).join(" "), id);
    assert_eq!(server.queue().await, Vec::<String>::new());

    server.lims.fault(FaultRule::always("POST", "/advance", Fault::LagReads(1)));
    server.put_actions(&id, &[server.action("OUS1A1PA1", r#"action="complete""#)]).await.good();
    server.advance(&id, "Record Details").await.good();
    assert_eq!(server.state(&id).await, "Record Details");
    assert_eq!(server.state(&id).await, "Assign Next Steps");
    server.advance(&id, "Assign Next Steps").await.good();
    server.lims.clear_faults();
    assert_eq!(server.state(&id).await, "Completed");
}

#[tokio::test]
async fn rows_and_fields_that_are_not_true() {
    let server = with_one_sample().await;
    let queue = FaultRule::once("GET", "/queues/", Fault::BogusRow("OUS7A7PA1".to_owned()));
    server.lims.fault(queue);
    assert_eq!(server.queue().await, ["OUS7A7PA1", "OUS1A1PA1"]);
    assert_eq!(server.queue().await, ["OUS1A1PA1"]);
    server.lims.fault(FaultRule::once("GET", "/processes?", Fault::BogusRow("24-1".to_owned())));
    assert_eq!(ids(&server.get("processes?inputartifactlimsid=none").await.good()), ["24-1"]);
    let run = ids(&server.get("processes?type=NovaSeq+X+Run").await.good()).remove(0);
    let missing = FaultRule::once("GET", "/processes/", Fault::MissingUdf("Run ID".to_owned())).after(1);
    server.lims.fault(missing);
    let path = format!("processes/{run}");
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(udf(&server.get(&path).await.good(), "Run ID").is_some());
    }
    assert_eq!(seen, [true, false, true]);
}

#[tokio::test]
async fn delays_add_to_other_faults() {
    let server = with_one_sample().await;
    server.lims.fault(FaultRule::once("GET", "/queues/", Fault::Delay(Duration::from_millis(80))));
    server.lims.fault(FaultRule::once("", "/queues/", Fault::Html503));
    let begin = std::time::Instant::now();
    assert_eq!(server.get("queues/1601").await.status, 503);
    assert!(begin.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn a_server_that_goes_away_takes_its_connections_with_it() {
    let mut server = with_one_sample().await;
    assert_eq!(server.get("queues/1601").await.status, 200);
    server.lims.fault(FaultRule::once("GET", "/samples/", Fault::Delay(Duration::from_millis(200))));
    let (client, uri) = (server.client.clone(), server.uri("samples/OUS1A1"));
    let waiting = tokio::spawn(client.get(uri).basic_auth("apiuser", Some("secret")).send());
    while !server.lims.lock().faults.is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    server.task.abort();
    let _cut = (&mut server.task).await;
    assert!(waiting.await.unwrap().is_err(), "a request it was working on is not answered");
    assert!(server.try_call("GET", "queues/1601", None).await.is_err(), "also on the connection kept open");
    let address = server.base.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap();
    let listener = TcpListener::bind(address).await.unwrap();
    server.task = tokio::spawn(server.lims.clone().serve(listener));
    assert_eq!(server.queue().await, ["OUS1A1PA1"], "the world is still there");
}

#[tokio::test]
async fn the_router_alone_answers_too() {
    use tower::ServiceExt as _;
    let lims = Lims::new(Settings::default());
    lims.fault(FaultRule::once("GET", "/api", Fault::DropBeforeWork));
    let request = || axum::extract::Request::get("/api").body(axum::body::Body::empty()).unwrap();
    let router = lims.router("http://lims/api/v2".to_owned());
    assert_eq!(router.clone().oneshot(request()).await.unwrap().status().as_u16(), 502);
    assert_eq!(router.oneshot(request()).await.unwrap().status().as_u16(), 401);
}
