//! What the client does when the LIMS is not at its best: starting, setting and advancing a step.
use super::fake::{Fake, Reply, exception};
use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const CONFIGURATION: &str = "https://own.example/api/v2/configuration/protocols/5/steps/60";
/// Long enough for a machine under load: what is expected comes much sooner.
const PATIENT: Settle = Settle { poll: Duration::from_millis(5), deadline: Duration::from_secs(20) };
const SHORT: Settle = Settle { poll: Duration::from_millis(5), deadline: Duration::from_millis(40) };
const BUSY: &str =
    "Cannot advance a step that has an external program queued, running or pending acknowledgement";

fn id(text: &str) -> LimsId {
    LimsId::new(text).unwrap()
}

fn step(state: &str) -> Reply {
    Reply::Xml(200, step_text(state))
}

fn step_text(state: &str) -> String {
    format!(
        "<stp:step xmlns:stp=\"http://genologics.com/ri/step\" current-state=\"{state}\" limsid=\"24-7\" \
         uri=\"https://own.example/api/v2/steps/24-7\"><configuration uri=\"{CONFIGURATION}\">Export</configuration>\
         <program-status uri=\"https://own.example/api/v2/steps/24-7/programstatus\"/><novelty>1</novelty></stp:step>"
    )
}

fn program(status: &str, message: &str) -> Reply {
    Reply::Xml(
        200,
        format!(
            "<stp:program-status xmlns:stp=\"http://genologics.com/ri/step\"><status>{status}</status>\
             <message>{message}</message></stp:program-status>"
        ),
    )
}

fn none() -> Reply {
    Reply::Xml(404, exception("none"))
}

#[tokio::test]
async fn a_step_is_started_by_one_post() {
    let fake = Fake::start(|_, _| Reply::Xml(201, step_text("Started"))).await;
    let started = fake.client().start_step(CONFIGURATION, &[id("A1PA1")]).await.unwrap();
    assert_eq!((started.id, started.state), (id("24-7"), State::Started));
    assert_eq!(fake.asked(), ["POST steps"]);
    assert_eq!(
        fake.seen()[0].body,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<stp:step-creation xmlns:stp=\"http://genologics.com/ri/step\">\
         <configuration uri=\"https://own.example/api/v2/configuration/protocols/5/steps/60\"/><inputs>\
         <input uri=\"https://own.example/api/v2/artifacts/A1PA1\" replicates=\"1\"/></inputs></stp:step-creation>\n"
    );
}

#[tokio::test]
async fn a_start_whose_outcome_nobody_knows_is_unclear_and_never_repeated() {
    let answers: [fn() -> Reply; 8] = [
        || Reply::Hang,
        || Reply::BreakOff,
        || Reply::Html(200),
        || Reply::Html(503),
        || Reply::Xml(500, exception("oops")),
        || Reply::Xml(201, String::new()),
        || Reply::Xml(201, "<stp:step".to_owned()),
        || Reply::Xml(201, step_text("Started").replace("steps/60", "steps/61")),
    ];
    for (n, answer) in answers.into_iter().enumerate() {
        let fake = Fake::start(move |_, _| answer()).await;
        let error = fake.impatient_client().start_step(CONFIGURATION, &[id("A1PA1")]).await.unwrap_err();
        assert_eq!(error.class(), Class::Unclear, "{n}: {error}");
        assert_eq!(fake.asked(), ["POST steps"], "{n}");
    }
}

#[tokio::test]
async fn a_start_that_surely_did_not_happen_says_so() {
    let fake = Fake::start(|_, _| Reply::Xml(400, exception("not queued"))).await;
    let refused = fake.client().start_step(CONFIGURATION, &[id("A1PA1")]).await.unwrap_err();
    assert_eq!(refused.to_string(), "the LIMS refused POST /api/v2/steps with 400: not queued");
    let nothing = fake.client().start_step(CONFIGURATION, &[]).await.unwrap_err();
    assert_eq!((nothing.class(), fake.asked().len()), (Class::Malformed, 1));

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/api/v2", listener.local_addr().unwrap());
    drop(listener); // nobody listens there now
    let client = Client::new(Settings { base, ..fake.settings() }).unwrap();
    let away = client.start_step(CONFIGURATION, &[id("A1PA1")]).await.unwrap_err();
    assert_eq!(away.class(), Class::Outage);
    assert!(away.to_string().contains("no connection; nothing was changed"), "{away}");
}

/// A step that is in the first state until `until` says otherwise.
async fn stepping(
    advance: impl Fn(usize) -> Reply + Send + Sync + 'static,
    programs: impl Fn(usize) -> Reply + Send + Sync + 'static,
    moved_after_reads: usize,
) -> (Fake, Arc<AtomicUsize>) {
    let advanced = Arc::new(AtomicUsize::new(0));
    let (inner, reads) = (advanced.clone(), AtomicUsize::new(0));
    let fake = Fake::start(move |seen, before| match (seen.method.as_str(), seen.path.as_str()) {
        ("POST", "steps/24-7/advance") => {
            inner.fetch_add(1, SeqCst);
            assert!(
                seen.body.contains("current-state=\"Record Details\"") && seen.body.contains("<novelty>")
            );
            advance(before)
        }
        ("GET", "steps/24-7/programstatus") => programs(before),
        _ if inner.load(SeqCst) == 0 => step("Record Details"),
        _ if reads.fetch_add(1, SeqCst) < moved_after_reads => step("Record Details"),
        _ => step("Assign Next Steps"),
    })
    .await;
    (fake, advanced)
}

#[tokio::test]
async fn advancing_sends_the_step_back_and_waits_until_its_state_changes() {
    let (fake, advanced) = stepping(|_| step("Record Details"), |_| none(), 3).await;
    let now = fake.client().advance(&id("24-7"), PATIENT).await.unwrap();
    assert_eq!((now.state, advanced.load(SeqCst)), (State::AssignNextSteps, 1));
    let sent = fake.seen().into_iter().find(|seen| seen.method == "POST").unwrap().body;
    let want = Element::parse(step_text("Record Details").as_bytes()).unwrap();
    assert_eq!(Element::parse(sent.as_bytes()).unwrap(), want);
}

#[tokio::test]
async fn a_running_program_is_waited_for() {
    let accepted = AtomicUsize::new(0);
    let fake = Fake::start(move |seen, before| match (seen.path.as_str(), accepted.load(SeqCst)) {
        ("steps/24-7/advance", _) if before < 2 => Reply::Xml(400, exception(BUSY)),
        ("steps/24-7/advance", _) => {
            accepted.store(1, SeqCst);
            step("Record Details")
        }
        ("steps/24-7/programstatus", _) => program(if before < 4 { "RUNNING" } else { "OK" }, ""),
        (_, 0) => step("Record Details"),
        _ => step("Assign Next Steps"),
    })
    .await;
    assert_eq!(fake.client().advance(&id("24-7"), PATIENT).await.unwrap().state, State::AssignNextSteps);
    // Read before the first post, then until it no longer runs; only after that the second and third post.
    assert_eq!(fake.count("POST", "steps/24-7/advance"), 3);
    let asked = fake.asked();
    let posts: Vec<usize> = (0..asked.len()).filter(|at| asked[*at].starts_with("POST")).collect();
    let programs_before_second =
        asked[..posts[1]].iter().filter(|one| one.ends_with("programstatus")).count();
    assert!(programs_before_second >= 5, "{asked:?}");
}

#[tokio::test]
async fn a_program_that_ended_badly_or_waits_for_a_click_needs_a_person() {
    let (fake, advanced) =
        stepping(|_| Reply::Xml(400, exception(BUSY)), |_| program("WARNING", "Look at this"), usize::MAX)
            .await;
    let error = fake.client().advance(&id("24-7"), PATIENT).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "step 24-7 stays in Record Details: a program of it (WARNING) did not end well and says: Look at this; open it \
         in the LIMS, clear what holds it, then let it be tried again"
    );
    assert_eq!(advanced.load(SeqCst), 1);

    let after_post = |before| if before == 0 { none() } else { program("ERROR", "failed") };
    let (fake, _) = stepping(|_| step("Record Details"), after_post, usize::MAX).await;
    let error = fake.client().advance(&id("24-7"), PATIENT).await.unwrap_err();
    assert!(error.to_string().contains("(ERROR) did not end well and says: failed"), "{error}");

    let (fake, _) =
        stepping(|_| Reply::Xml(400, exception(BUSY)), |_| program("OK", "Done"), usize::MAX).await;
    let error = fake.client().advance(&id("24-7"), SHORT).await.unwrap_err();
    assert!(error.class() == Class::Stuck && error.to_string().contains(BUSY), "{error}");
}

#[tokio::test]
async fn an_old_complaint_that_was_acknowledged_does_not_stop_a_step() {
    let (fake, _) = stepping(|_| step("Record Details"), |_| program("WARNING", "old"), 2).await;
    assert_eq!(fake.client().advance(&id("24-7"), PATIENT).await.unwrap().state, State::AssignNextSteps);
}

#[tokio::test]
async fn a_stale_advance_finds_the_step_where_it_is_and_another_refusal_is_passed_on() {
    let stale = |_| Reply::Xml(400, exception("The step is not in this state"));
    let (fake, advanced) = stepping(stale, |_| none(), 1).await;
    assert_eq!(fake.client().advance(&id("24-7"), PATIENT).await.unwrap().state, State::AssignNextSteps);
    assert_eq!(advanced.load(SeqCst), 1);

    let (fake, advanced) = stepping(stale, |_| none(), usize::MAX).await;
    let error = fake.client().advance(&id("24-7"), PATIENT).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the LIMS refused POST /api/v2/steps/24-7/advance with 400: The step is not in this state"
    );
    assert_eq!(advanced.load(SeqCst), 1);
}

#[tokio::test]
async fn a_lost_answer_to_advance_is_watched_and_not_repeated() {
    let (fake, advanced) = stepping(|_| Reply::BreakOff, |_| none(), 2).await;
    assert_eq!(fake.client().advance(&id("24-7"), PATIENT).await.unwrap().state, State::AssignNextSteps);
    assert_eq!(advanced.load(SeqCst), 1);

    let (fake, advanced) = stepping(|_| Reply::BreakOff, |_| none(), usize::MAX).await;
    let error = fake.client().advance(&id("24-7"), SHORT).await.unwrap_err();
    assert_eq!((error.class(), advanced.load(SeqCst)), (Class::Unclear, 1));
}

#[tokio::test]
async fn states_that_are_not_advanced() {
    for (state, posts) in [("Completed", 0), ("COMPLETED", 0)] {
        let fake = Fake::start(move |_, _| step(state)).await;
        assert_eq!(fake.client().advance(&id("24-7"), PATIENT).await.unwrap().state, State::Completed);
        assert_eq!(fake.count("POST", "steps/24-7/advance"), posts);
    }
    let review = Fake::start(|_, _| step("Under Review")).await;
    assert_eq!(review.client().advance(&id("24-7"), PATIENT).await.unwrap_err().class(), Class::Stuck);
    assert_eq!(review.asked(), ["GET steps/24-7"]);
    let starting = || {
        Fake::start(|seen, before| match seen.path.as_str() {
            "steps/24-7" => step(if before < 3 { "Started" } else { "Record Details" }),
            _ => none(),
        })
    };
    let fake = starting().await;
    assert_eq!(fake.client().advance(&id("24-7"), PATIENT).await.unwrap().state, State::RecordDetails);
    assert_eq!(fake.count("POST", "steps/24-7/advance"), 0);
    let fake = starting().await;
    assert_eq!(fake.client().wait_started(&id("24-7"), PATIENT).await.unwrap().state, State::RecordDetails);
}

/// From the number of PUTs before: whether this one takes, and the answer.
type Put = fn(usize) -> (bool, Reply);

/// Actions or details that are kept, as a server keeps them.
async fn keeping(path: &'static str, first: String, put: Put) -> Fake {
    let kept = std::sync::Mutex::new(first);
    Fake::start(move |seen, before| {
        assert_eq!(seen.path, path);
        if seen.method == "GET" {
            return Reply::Xml(200, kept.lock().unwrap().clone());
        }
        let (takes, reply) = put(before);
        if takes {
            *kept.lock().unwrap() = seen.body.clone();
        }
        reply
    })
    .await
}

fn actions_text() -> String {
    "<stp:actions xmlns:stp=\"http://genologics.com/ri/step\" uri=\"https://own.example/api/v2/steps/24-7/actions\">\
     <step uri=\"https://own.example/api/v2/steps/24-7\" rel=\"steps\"/><next-actions>\
     <next-action artifact-uri=\"https://own.example/api/v2/artifacts/A1PA1\"/>\
     <next-action artifact-uri=\"https://own.example/api/v2/artifacts/A2PA1\" action=\"leave\"/>\
     </next-actions></stp:actions>"
        .to_owned()
}

#[tokio::test]
async fn actions_are_set_and_read_again_even_if_the_answer_is_garbled_or_lost() {
    let outcomes: [(Put, usize); 4] = [
        (|_| (true, Reply::Xml(200, "<garbled".to_owned())), 1),
        (|_| (true, Reply::BreakOff), 1),
        (|before| (before == 1, Reply::BreakOff), 2),
        (|before| (before == 1, Reply::Xml(200, String::new())), 2),
    ];
    for (put, puts) in outcomes {
        let fake = keeping("steps/24-7/actions", actions_text(), put).await;
        let choose = |artifact: &LimsId| match artifact.as_str() {
            "A1PA1" => Action::Complete,
            _ => Action::Remove,
        };
        let now = fake.client().set_actions(&id("24-7"), choose).await.unwrap();
        let lines = now.next();
        assert!(lines[0].says(&Action::Complete) && lines[1].says(&Action::Remove));
        assert_eq!(fake.count("PUT", "steps/24-7/actions"), puts);
    }
}

#[tokio::test]
async fn actions_that_do_not_take_or_are_refused_are_an_error() {
    let outcomes: [(Put, Class, usize); 4] = [
        (|_| (false, Reply::Xml(200, String::new())), Class::Malformed, 2),
        (|_| (false, Reply::BreakOff), Class::Unclear, 2),
        (|_| (false, Reply::Xml(400, exception("not valid for this step"))), Class::Refused, 1),
        (|_| (true, Reply::Xml(200, exception("not valid for this step"))), Class::Refused, 1),
    ];
    for (put, class, puts) in outcomes {
        let fake = keeping("steps/24-7/actions", actions_text(), put).await;
        let error = fake.client().set_actions(&id("24-7"), |_| Action::Complete).await.unwrap_err();
        assert_eq!((error.class(), fake.count("PUT", "steps/24-7/actions")), (class, puts), "{error}");
    }
}

#[tokio::test]
async fn fields_are_set_without_touching_the_rest() {
    let details = "<stp:details xmlns:stp=\"http://genologics.com/ri/step\" \
        xmlns:udf=\"http://genologics.com/ri/userdefined\" uri=\"https://own.example/api/v2/steps/24-7/details\">\
        <preset>P</preset><input-output-maps/><fields><udf:field type=\"String\" name=\"Old\">x</udf:field></fields>\
        </stp:details>";
    let fake =
        keeping("steps/24-7/details", details.to_owned(), |_| (true, Reply::Xml(200, String::new()))).await;
    let key = Udf { kind: UdfKind::String, value: "å-17".to_owned() };
    let now = fake.client().set_fields(&id("24-7"), &[("Export key", key.clone())]).await.unwrap();
    assert_eq!(now.fields.get("Export key"), Some(&key));
    assert_eq!(now.fields["Old"].value, "x");
    let sent = fake.seen().into_iter().find(|seen| seen.method == "PUT").unwrap().body;
    assert!(sent.contains("<preset>P</preset>") && sent.contains("&#xe5;-17"), "{sent}");
}

#[tokio::test]
async fn aborting_is_once_and_gone_is_gone() {
    let outcome = async |reply: fn() -> Reply| {
        let fake = Fake::start(move |_, _| reply()).await;
        let class = fake.client().abort_step(&id("24-7")).await.map_err(|e| e.class());
        assert_eq!(fake.asked(), ["DELETE steps/24-7"]);
        class
    };
    assert_eq!(outcome(|| Reply::Xml(204, String::new())).await, Ok(()));
    assert_eq!(outcome(none).await, Ok(()));
    assert_eq!(outcome(|| Reply::Html(503)).await, Err(Class::Unclear));
    assert_eq!(outcome(|| Reply::Html(404)).await, Err(Class::Outage));
    assert_eq!(outcome(|| Reply::Xml(400, exception("completed"))).await, Err(Class::Refused));
}
