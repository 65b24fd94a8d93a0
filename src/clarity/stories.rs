//! What the client does when the LIMS is not at its best: the questions. (What changes something is in `stories_work`.)
use super::fake::{Fake, Reply, Seen, exception};
use super::*;

fn id(text: &str) -> LimsId {
    LimsId::new(text).unwrap()
}

fn ids(list: &[&str]) -> Vec<LimsId> {
    list.iter().map(|text| id(text)).collect()
}

/// A queue page as a server with another name for itself writes it.
fn page(items: &[(&str, &str)], next: Option<&str>) -> Reply {
    let items: String = items
        .iter()
        .map(|(id, time)| format!("<artifact limsid=\"{id}\"><queue-time>{time}</queue-time></artifact>"))
        .collect();
    let next = next
        .map(|n| format!("<next-page uri=\"https://inner.example:8443/api/v2/{n}\"/>"))
        .unwrap_or_default();
    Reply::Xml(
        200,
        format!(
            "<que:queue xmlns:que=\"http://genologics.com/ri/queue\" name=\"Export\" \
             uri=\"https://inner.example:8443/api/v2/queues/60\" \
             protocol-step-uri=\"https://inner.example:8443/api/v2/configuration/protocols/5/steps/60\">\
             <artifacts>{items}</artifacts>{next}</que:queue>"
        ),
    )
}

#[tokio::test]
async fn a_queue_is_read_page_by_page_from_our_own_host_and_tidied() {
    let fake = Fake::start(|seen, _| match seen.path.as_str() {
        "queues/60" => page(
            &[("A2PA1", "2026-01-02T00:00:00Z"), ("A1PA1", "2026-01-03T00:00:00Z")],
            Some("queues/60?start-index=2&amp;projectname=Run+1"),
        ),
        "queues/60?start-index=2&projectname=Run+1" => {
            page(&[("A1PA1", "2026-01-01T00:00:00+01:00"), ("A3PA1", "2026-01-04T00:00:00Z")], None)
        }
        _ => Reply::Html(500),
    })
    .await;
    let queue = fake.client().queue(60).await.unwrap();
    let order: Vec<_> = queue.items.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(order, ["A1PA1", "A2PA1", "A3PA1"]);
    assert_eq!(queue.items[0].queued_at, Some("2025-12-31T23:00:00Z".parse().unwrap()));
    assert_eq!((queue.name.as_deref(), queue.next_page), (Some("Export"), None));
    assert_eq!(fake.asked(), ["GET queues/60", "GET queues/60?start-index=2&projectname=Run+1"]);
    assert!(fake.seen().iter().all(|seen| seen.authorization == "Basic ZXhwb3J0OmhlbW1lbGln"));
}

#[tokio::test]
async fn pages_that_lead_in_a_circle_or_elsewhere_are_refused() {
    let fault = async |next: &'static str, step| {
        let fake = Fake::start(move |_, _| page(&[], Some(next))).await;
        let error = fake.client().queue(step).await.unwrap_err();
        assert_eq!(error.class(), Class::Malformed);
        (std::error::Error::source(&error).unwrap().to_string(), fake.asked().len())
    };
    let circle = fault("queues/60?start-index=2", 60).await;
    assert_eq!(circle, ("a next-page leads back to a page that was read already".to_owned(), 2));
    assert_eq!(fault("queues/61", 60).await, ("a next-page leads to another list".to_owned(), 1));
    assert_eq!(fault("queues/60", 59).await, ("it is the queue of another step than 59".to_owned(), 1));
}

#[tokio::test]
async fn a_page_of_html_is_an_outage_and_is_asked_again() {
    let fake = Fake::start(|_, before| if before == 0 { Reply::Html(503) } else { page(&[], None) }).await;
    assert_eq!(fake.client().queue(60).await.unwrap().items, []);
    assert_eq!(fake.asked().len(), 2);

    let down = Fake::start(|_, _| Reply::Html(503)).await;
    let error = down.client().queue(60).await.unwrap_err();
    assert_eq!(error.class(), Class::Outage);
    assert_eq!(
        error.to_string(),
        "could not reach the LIMS for GET /api/v2/queues/60: a page of HTML came with status 503 (tried 2 times); \
         nothing was changed, try later and look at the LIMS if it lasts"
    );
    assert_eq!(down.asked().len(), 2);
}

#[tokio::test]
async fn silence_and_broken_answers_are_asked_again_too() {
    let fake = Fake::start(|_, before| if before == 0 { Reply::Hang } else { Reply::BreakOff }).await;
    let error = fake.impatient_client().queue(60).await.unwrap_err();
    assert_eq!((error.class(), fake.asked().len()), (Class::Outage, 2));
    let empty = Fake::start(|_, before| match before {
        0 => Reply::Xml(200, String::new()),
        _ => page(&[], None),
    })
    .await;
    assert!(empty.client().queue(60).await.is_ok());
}

#[tokio::test]
async fn a_refusal_is_not_asked_again_whatever_its_status() {
    let fake = Fake::start(|seen, _| match seen.path.as_str() {
        "queues/60" => Reply::Xml(200, exception("No such queue")),
        "projects/P1" => Reply::Xml(401, String::new()),
        _ => Reply::Xml(404, exception("gone")),
    })
    .await;
    let client = fake.client();
    assert_eq!(
        client.queue(60).await.unwrap_err().to_string(),
        "the LIMS refused GET /api/v2/queues/60 with 200: No such queue"
    );
    let account = client.project(&id("P1")).await.unwrap_err();
    assert_eq!(account.class(), Class::Config);
    assert!(account.to_string().contains("user \"export\"") && !account.to_string().contains("hemmelig"));
    assert_eq!(client.process(&id("24-1")).await.unwrap_err().class(), Class::NotFound);
    assert_eq!(client.program_status(&id("24-1")).await.unwrap(), None);
    assert_eq!(fake.asked().len(), 4);
}

#[tokio::test]
async fn a_redirect_is_refused_and_the_password_stays_here() {
    let other = Fake::start(|_, _| page(&[], None)).await;
    let to = format!("{}/queues/60", other.base());
    let fake = Fake::start(move |_, _| Reply::Redirect(to.clone())).await;
    let error = fake.client().queue(60).await.unwrap_err();
    assert_eq!(error.class(), Class::Config);
    assert!(error.to_string().contains("check the address of the LIMS in the configuration"), "{error}");
    assert_eq!((fake.asked().len(), other.asked().len()), (1, 0));
}

#[tokio::test]
async fn an_answer_about_something_else_or_too_long_a_one_is_not_used() {
    let fake = Fake::start(|seen, _| {
        let long = if seen.path == "projects/P3" { "x".repeat(100_000) } else { String::new() };
        Reply::Xml(
            200,
            format!("<prj:project xmlns:prj=\"http://genologics.com/ri/project\" limsid=\"P2\">{long}</prj:project>"),
        )
    })
    .await;
    let client = fake.client();
    let source = |error: Error| std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(client.project(&id("P2")).await.unwrap().id, id("P2"));
    assert_eq!(source(client.project(&id("P1")).await.unwrap_err()), "P1 was asked for and P2 came");
    let long = client.project(&id("P3")).await.unwrap_err();
    assert_eq!(
        (long.class(), source(long).as_str()),
        (Class::Malformed, "the answer is longer than 100000 bytes")
    );
}

#[tokio::test]
async fn searches_encode_their_filters_and_give_each_id_once() {
    let list = |ids: &str, next: &str| {
        Reply::Xml(
            200,
            format!("<a:artifacts xmlns:a=\"http://genologics.com/ri/artifact\">{ids}{next}</a:artifacts>"),
        )
    };
    let fake = Fake::start(move |seen, _| {
        let next = "<next-page uri=\"http://h/api/v2/artifacts?start-index=2&amp;type=ResultFile\"/>";
        match seen.path.contains("start-index") {
            false => list("<artifact limsid=\"92-2\"/><artifact limsid=\"92-1\"/>", next),
            true => list("<artifact limsid=\"92-3\"/><artifact limsid=\"92-2\"/>", ""),
        }
    })
    .await;
    let filters = [("process-type", "BCL Convert & æ"), ("type", "ResultFile")];
    assert_eq!(fake.client().find_artifacts(&filters).await.unwrap(), ids(&["92-2", "92-1", "92-3"]));
    let asked = fake.asked();
    assert_eq!(asked[0], "GET artifacts?process-type=BCL+Convert+%26+%C3%A6&type=ResultFile");
    assert_eq!(asked[1], "GET artifacts?start-index=2&type=ResultFile");
}

#[tokio::test]
async fn start_up_learns_the_revision_and_the_steps() {
    let fake = Fake::start(|seen, _| match seen.path.as_str() {
        "/api" => Reply::Xml(
            200,
            "<ver:versions xmlns:ver=\"http://genologics.com/ri/version\"><version major=\"v1\" minor=\"r9\"/>\
             <version minor=\"r34\" major=\"v2\"/></ver:versions>"
                .to_owned(),
        ),
        _ => Reply::Xml(
            200,
            "<p:protocol xmlns:p=\"http://genologics.com/ri/protocolconfiguration\"><steps><step name=\"Export\" \
             uri=\"https://inner/api/v2/configuration/protocols/5/steps/60\"/></steps></p:protocol>"
                .to_owned(),
        ),
    })
    .await;
    let client = fake.client();
    assert_eq!(client.version().await.unwrap(), "r34");
    let step = client.protocol_step(5, 60).await.unwrap();
    assert_eq!((step.name.as_deref(), step.is_last()), (Some("Export"), true));
    assert_eq!(
        client.protocol_step(5, 6).await.unwrap_err().to_string(),
        "the LIMS has nothing under GET /api/v2/configuration/protocols/5: the protocol has no step 6, only: 60 Export"
    );
}

/// The ids that a batch asks for.
fn wanted(seen: &Seen) -> Vec<String> {
    let links = Element::parse(seen.body.as_bytes()).unwrap();
    links.all("link").map(|link| link.attr("uri").unwrap().rsplit('/').next().unwrap().to_owned()).collect()
}

fn details(ids: impl IntoIterator<Item = impl std::fmt::Display>) -> Reply {
    let all: String = ids.into_iter().map(|id| format!("<art:artifact limsid=\"{id}\"/>")).collect();
    Reply::Xml(
        202,
        format!("<art:details xmlns:art=\"http://genologics.com/ri/artifact\">{all}</art:details>"),
    )
}

#[tokio::test]
async fn one_bad_id_in_a_batch_costs_only_itself() {
    let fake = Fake::start(|seen, _| {
        let wanted = wanted(seen);
        match wanted.iter().any(|id| id == "2-5") {
            true => Reply::Xml(400, exception("Artifact not found: 2-5")),
            false => details(wanted.into_iter().rev()),
        }
    })
    .await;
    let asked = ids(&["2-8", "2-1", "2-2", "2-3", "2-4", "2-5", "2-6", "2-7", "2-1"]);
    let batch = fake.client().artifacts(&asked).await.unwrap();
    let found: Vec<_> =
        batch.found.iter().map(|(key, artifact)| (key.as_str(), artifact.id.as_str())).collect();
    let good = ["2-1", "2-2", "2-3", "2-4", "2-6", "2-7", "2-8"];
    assert_eq!(found, good.map(|id| (id, id)));
    let failed: Vec<_> = batch.failed.iter().map(|(key, error)| (key.as_str(), error.to_string())).collect();
    let text = "the LIMS refused POST /api/v2/artifacts/batch/retrieve with 400: Artifact not found: 2-5";
    assert_eq!(failed, [("2-5", text.to_owned())]);
    // 8 ids: all, 1-4, 5-8, 5-6, 5, 6, 7-8.
    assert_eq!(fake.seen().iter().map(|seen| wanted(seen).len()).collect::<Vec<_>>(), [8, 4, 4, 2, 1, 1, 2]);
}

#[tokio::test]
async fn batches_are_of_500_and_an_empty_one_is_not_sent() {
    let fake = Fake::start(|seen, _| details(wanted(seen))).await;
    let client = fake.client();
    assert!(client.artifacts(&[]).await.unwrap().found.is_empty());
    assert_eq!(fake.asked().len(), 0);
    let many: Vec<LimsId> = (0..1001).map(|n| id(&format!("2-{n}"))).collect();
    assert_eq!(client.artifacts(&many).await.unwrap().found.len(), 1001);
    assert_eq!(fake.seen().iter().map(|seen| wanted(seen).len()).collect::<Vec<_>>(), [500, 500, 1]);
}

#[tokio::test]
async fn what_a_batch_leaves_out_adds_or_doubles_is_noticed() {
    let fake = Fake::start(|seen, _| {
        let wanted = wanted(seen);
        let (stranger, alone) = (wanted.iter().any(|id| id == "2-3"), wanted.len() == 1);
        match wanted.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["2-3"] => details(["2-99"]),
            _ if stranger && !alone => details(["2-99", "2-1"]),
            _ => details(wanted.iter().filter(|id| *id != "2-2").flat_map(|id| match id.as_str() {
                "2-4" => vec![id, id],
                _ => vec![id],
            })),
        }
    })
    .await;
    let batch = fake.client().artifacts(&ids(&["2-1", "2-2", "2-3", "2-4"])).await.unwrap();
    assert_eq!(batch.found.keys().map(LimsId::as_str).collect::<Vec<_>>(), ["2-1"]);
    let why: Vec<_> = batch
        .failed
        .iter()
        .map(|(id, error)| (id.as_str(), std::error::Error::source(error).unwrap_or(error).to_string()))
        .collect();
    let left_out = "the LIMS has nothing under POST /api/v2/artifacts/batch/retrieve: 2-2 was asked for and did not come";
    assert_eq!(
        why,
        [
            ("2-2", left_out.to_owned()),
            ("2-3", "2-99 came and was not asked for".to_owned()),
            ("2-4", "it came twice".to_owned())
        ]
    );
}

#[tokio::test]
async fn a_server_that_refuses_every_batch_is_not_asked_for_ever() {
    let fake = Fake::start(|_, _| Reply::Xml(400, exception("no"))).await;
    let many: Vec<LimsId> = (0..500).map(|n| id(&format!("2-{n}"))).collect();
    assert_eq!(fake.client().artifacts(&many).await.unwrap_err().class(), Class::Refused);
    let asked = fake.asked().len();
    assert!((257..=514).contains(&asked), "{asked}");
}
