//! Every call there is, against a LIMS that says nothing and against one that sends it elsewhere.
use super::fake::{Fake, Reply};
use super::*;

const STEP: &str = "<stp:step xmlns:stp=\"http://genologics.com/ri/step\" current-state=\"Record Details\" limsid=\"24-7\"/>";
const DETAILS: &str =
    "<stp:details xmlns:stp=\"http://genologics.com/ri/step\" uri=\"https://h/api/v2/steps/24-7/details\"/>";
const ACTIONS: &str = "<stp:actions xmlns:stp=\"http://genologics.com/ri/step\" uri=\"https://h/api/v2/steps/24-7/actions\">\
    <next-actions><next-action artifact-uri=\"https://h/api/v2/artifacts/2-1\"/></next-actions></stp:actions>";
const ARTIFACT: &str = "<art:artifact xmlns:art=\"http://genologics.com/ri/artifact\" limsid=\"2-1\"/>";

fn id(text: &str) -> LimsId {
    LimsId::new(text).unwrap()
}

/// Each call by name, with its error.
async fn reading(client: &Client) -> Vec<(&'static str, Error)> {
    let (step, artifact) = (id("24-7"), id("2-1"));
    let one = std::slice::from_ref(&artifact);
    let link = FieldLink {
        name: "F".into(),
        owner: "Sample".into(),
        category: String::new(),
        uri: "https://h/api/v2/configuration/udfs/1".into(),
    };
    vec![
        ("version", client.version().await.unwrap_err()),
        ("protocol_step", client.protocol_step(5, 60).await.unwrap_err()),
        ("queue", client.queue(60).await.unwrap_err()),
        ("project", client.project(&id("P1")).await.unwrap_err()),
        ("process", client.process(&step).await.unwrap_err()),
        ("demux", client.demux(&artifact).await.unwrap_err()),
        ("find_artifacts", client.find_artifacts(&[]).await.unwrap_err()),
        ("find_processes", client.find_processes(&[]).await.unwrap_err()),
        ("artifacts", client.artifacts(one).await.unwrap_err()),
        ("samples", client.samples(one).await.unwrap_err()),
        ("containers", client.containers(one).await.unwrap_err()),
        ("step", client.step(&step).await.unwrap_err()),
        ("step_details", client.step_details(&step).await.unwrap_err()),
        ("program_status", client.program_status(&step).await.unwrap_err()),
        ("actions", client.actions(&step).await.unwrap_err()),
        ("stage", client.stage(7, 8).await.unwrap_err()),
        ("field_links", client.field_links(&[]).await.unwrap_err()),
        ("field", client.field(&link).await.unwrap_err()),
        ("researcher", client.researcher(&id("3")).await.unwrap_err()),
        ("researcher_named", client.researcher_named("export").await.unwrap_err()),
    ]
}

async fn changing(client: &Client) -> Vec<(&'static str, Error)> {
    let (step, artifact) = (id("24-7"), id("2-1"));
    let one = std::slice::from_ref(&artifact);
    let configured = "https://h/api/v2/configuration/protocols/5/steps/60";
    let patience =
        Settle { poll: std::time::Duration::from_millis(5), deadline: std::time::Duration::from_millis(20) };
    let key = [("Key", Udf { kind: UdfKind::String, value: "x".into() })];
    vec![
        ("start_step", client.start_step(configured, one).await.unwrap_err()),
        ("set_actions", client.set_actions(&step, |_| Action::Complete).await.unwrap_err()),
        ("set_fields", client.set_fields(&step, &key).await.unwrap_err()),
        ("advance", client.advance(&step, patience).await.unwrap_err()),
        ("abort_step", client.abort_step(&step).await.unwrap_err()),
        ("route", client.route(one, &[], (7, 8)).await.unwrap_err()),
        ("set_artifact_field", client.set_artifact_field(&artifact, "F", "x").await.unwrap_err()),
    ]
}

/// Reads what is needed before something can be changed; everything else is answered by `reply`.
async fn server(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Fake {
    Fake::start(move |seen, _| match (seen.method.as_str(), seen.path.as_str()) {
        ("GET", "steps/24-7") => Reply::Xml(200, STEP.into()),
        ("GET", "steps/24-7/details") => Reply::Xml(200, DETAILS.into()),
        ("GET", "steps/24-7/actions") => Reply::Xml(200, ACTIONS.into()),
        ("GET", "artifacts/2-1") => Reply::Xml(200, ARTIFACT.into()),
        _ => reply(),
    })
    .await
}

#[tokio::test]
async fn no_call_waits_for_ever_and_what_changes_something_is_then_unclear() {
    let silent = Fake::start(|_, _| Reply::Hang).await;
    let client = Client::new(Settings {
        deadline: std::time::Duration::from_millis(50),
        attempts: 1,
        ..silent.settings()
    })
    .unwrap();
    for (call, error) in reading(&client).await {
        assert_eq!(error.class(), Class::Outage, "{call}: {error}");
        assert!(error.to_string().contains("no answer within the deadline"), "{call}: {error}");
    }
    let half = server(|| Reply::Hang).await;
    for (call, error) in changing(&half.impatient_client()).await {
        assert_eq!(error.class(), Class::Unclear, "{call}: {error}");
    }
    let sent = half.asked();
    for once in ["POST steps", "POST steps/24-7/advance", "DELETE steps/24-7", "POST route/artifacts"] {
        assert_eq!(sent.iter().filter(|asked| *asked == once).count(), 1, "{once}");
    }
}

#[tokio::test]
async fn no_call_follows_a_redirect() {
    let elsewhere = Fake::start(|_, _| Reply::Html(200)).await;
    let to = format!("{}/steps", elsewhere.base());
    let away = to.clone();
    let redirecting = Fake::start(move |_, _| Reply::Redirect(away.clone())).await;
    for (call, error) in reading(&redirecting.client()).await {
        assert_eq!(error.class(), Class::Config, "{call}: {error}");
    }
    let half = server(move || Reply::Redirect(to.clone())).await;
    for (call, error) in changing(&half.client()).await {
        assert_eq!(error.class(), Class::Config, "{call}: {error}");
    }
    assert_eq!(elsewhere.asked(), Vec::<String>::new(), "and so no password goes there");
}
