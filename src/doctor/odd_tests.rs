//! The doctor before stores that are odd in one way each. They live in memory, believe every byte and allow everything, unless a rule
//! says otherwise.
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use http::Method;

use super::facts::{Answered, Facts, Noticed};
use super::judge::judge;
use crate::conf::{Conf, Role};
use crate::demo::site::{Site, SiteOptions};
use crate::disk::Disks;

/// How an object came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    Put,
    Completed,
}

/// A request, as a rule sees it.
#[derive(Debug)]
struct Asked {
    method: Method,
    host: String,
    path: String,
    query: String,
    only_new: bool,
    bytes: u64,
    /// What is there under this key.
    there: Option<Made>,
    /// How many requests with this method, path and query came before.
    before: u32,
    /// How many requests came before.
    all: usize,
}

impl Asked {
    /// A put of a whole object.
    fn puts(&self) -> bool {
        self.method == Method::PUT && self.query.find("partNumber").is_none()
    }

    fn number(&self) -> Option<u32> {
        self.query.split('&').find_map(|pair| pair.strip_prefix("partNumber="))?.parse().ok()
    }

    /// Whether other bytes travel than were promised.
    fn changed(&self) -> bool {
        self.path.contains("-changed") || self.path.contains("/parts-") && self.number() == Some(2)
    }

    /// What a store with nothing odd about it refuses.
    fn strict(&self) -> Option<(u16, &'static str)> {
        if self.changed() {
            return Some((400, "BadDigest"));
        }
        (self.only_new && self.there.is_some()).then_some((412, "PreconditionFailed"))
    }
}

type Rule = Box<dyn Fn(&Asked) -> Option<(u16, &'static str)> + Send + Sync>;

#[derive(Default)]
struct Seen {
    objects: HashMap<String, Made>,
    requests: HashMap<String, u32>,
    all: usize,
}

struct Odd {
    rule: Rule,
    seen: Mutex<Seen>,
}

async fn answer(State(odd): State<Arc<Odd>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
    let mut seen = odd.seen.lock().unwrap();
    let before = seen.requests.entry(format!("{} {path}?{query}", head.method)).or_default();
    *before += 1;
    let asked = Asked {
        host: header("host").unwrap(),
        only_new: header("if-none-match").is_some(),
        bytes: body.len() as u64,
        before: *before - 1,
        there: seen.objects.get(&path).copied(),
        all: seen.all,
        method: head.method,
        path,
        query,
    };
    seen.all += 1;
    let has = |word: &str| asked.query.contains(word);
    let refused = (odd.rule)(&asked);
    let (status, text) = match (&refused, asked.method.as_str()) {
        (Some((status, code)), _) => (*status, format!("<Error><Code>{code}</Code></Error>")),
        (None, "GET" | "HEAD") => (403, "<Error><Code>AccessDenied</Code></Error>".to_owned()),
        (None, "DELETE") if has("uploadId") => (204, String::new()),
        (None, "DELETE") => (403, "<Error><Code>AccessDenied</Code></Error>".to_owned()),
        (None, "POST") if has("uploads") => {
            let text =
                "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
            (200, text.to_owned())
        }
        (None, "POST") => {
            let _before = seen.objects.insert(asked.path.clone(), Made::Completed);
            let text = "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>";
            (200, text.to_owned())
        }
        (None, _) if has("partNumber") => (200, String::new()),
        (None, _) => {
            let _before = seen.objects.insert(asked.path.clone(), Made::Put);
            (200, String::new())
        }
    };
    http::Response::builder().status(status).header("etag", "\"e\"").body(text.into()).unwrap()
}

/// What the doctor finds of a store with this rule, what is configured for it, and how many requests it took.
async fn examined(
    change: impl FnOnce(&mut Conf),
    rule: impl Fn(&Asked) -> Option<(u16, &'static str)> + Send + Sync + 'static,
) -> (Facts, usize) {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path()).await;
    asked(&site, change, rule).await
}

async fn site(dir: &Path) -> Site {
    Site::open(dir, &SiteOptions::default()).await.unwrap()
}

async fn asked(
    site: &Site,
    change: impl FnOnce(&mut Conf),
    rule: impl Fn(&Asked) -> Option<(u16, &'static str)> + Send + Sync + 'static,
) -> (Facts, usize) {
    let odd = Arc::new(Odd { rule: Box::new(rule), seen: Mutex::default() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(answer).with_state(odd.clone());
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let mut conf = Conf::load_with(Some(&site.conf(Role::Nsc)), None, []).unwrap();
    conf.store.endpoint.clone_from(&address);
    change(&mut conf);
    // A name that is found nowhere, so that it is the proxy's to find it: that is us.
    if conf.store.endpoint != address {
        conf.store.proxy = Some(address.parse().unwrap());
    }
    let disks = Disks::new(1, Duration::from_secs(60), Arc::new(|_, _, _| {}));
    let secrets = disks.at("t", &site.dir).unwrap();
    let facts = super::asked(&conf, secrets, 0, [Duration::ZERO; 2]).await.unwrap();
    serving.abort();
    let all = odd.seen.lock().unwrap().all;
    (facts, all)
}

fn line(facts: &Facts, key: &str) -> Option<String> {
    judge(facts.clone()).lines.into_iter().find(|line| line.starts_with(key))
}

#[tokio::test]
async fn a_drop_box_that_lets_nothing_be_replaced_checks_no_bytes_for_that() {
    for (status, code) in [(403, "AccessDenied"), (409, "OperationAborted"), (412, "PreconditionFailed")] {
        let (facts, _) =
            examined(|_| {}, move |asked| (asked.puts() && asked.there.is_some()).then_some((status, code)))
                .await;
        assert_eq!(facts.trouble, None);
        for (word, check) in &facts.checks {
            assert_eq!(
                (&check.put, &check.part),
                (&Noticed::Believed, &Noticed::Believed),
                "{status} {word}"
            );
        }
        assert_eq!(line(&facts, "checksum").as_deref(), Some("checksum = \"signed\""), "{status}");
    }
}

#[tokio::test]
async fn changed_bytes_that_are_refused_for_another_reason_were_not_examined() {
    for (status, code) in [
        (401, ""),
        (403, "AccessDenied"),
        (408, ""),
        (409, "OperationAborted"),
        (412, "PreconditionFailed"),
        (429, ""),
        (400, "ExpiredToken"),
        (400, "InvalidRequest"),
        (404, "NoSuchUpload"),
        (503, "SlowDown"),
    ] {
        let (facts, _) = examined(|_| {}, move |asked| asked.changed().then_some((status, code))).await;
        for (word, check) in &facts.checks {
            let unknown = |noticed: &Noticed| matches!(noticed, Noticed::Unknown(why) if why.contains(&status.to_string()));
            assert!(unknown(&check.put) && unknown(&check.part), "{status} {word}: {check:?}");
        }
        assert_eq!(line(&facts, "checksum"), None, "{status}");
    }
    let (facts, _) = examined(|_| {}, Asked::strict).await;
    assert!(facts.checks.values().all(|check| check.proves()), "{:?}", facts.checks);
    let (facts, _) =
        examined(|_| {}, |asked| asked.changed().then_some((403, "SignatureDoesNotMatch"))).await;
    let proving: Vec<_> =
        facts.checks.iter().filter(|(_, check)| check.proves()).map(|(word, _)| *word).collect();
    assert_eq!(proving, ["signed"], "the others do not sign the body");
}

#[tokio::test]
async fn what_is_of_the_moment_makes_no_limit() {
    for (status, code) in [(401, ""), (403, "AccessDenied"), (408, ""), (429, ""), (400, "ExpiredToken")] {
        // Twice, and then what there is to say.
        let (facts, _) = examined(
            |_| {},
            move |asked| match (asked.number(), asked.before) {
                (Some(_), 0 | 1) => Some((status, code)),
                (Some(number), _) if number > 1_000 => Some((400, "InvalidArgument")),
                _ => asked.strict(),
            },
        )
        .await;
        assert_eq!(
            (facts.most_parts, facts.largest_part),
            (Some(1_000), Some(5 << 20)),
            "{status} {facts:?}"
        );
        // For good: nothing is known.
        let (facts, _) = examined(
            |conf| conf.store.part_size = 8 << 20,
            move |asked| (asked.number()? > 1_000 || asked.bytes > 5 << 20).then_some((status, code)),
        )
        .await;
        assert_eq!((facts.most_parts, facts.largest_part, &facts.too_large), (None, None, &None), "{status}");
        let why = facts.unclear_number.as_deref().unwrap();
        assert!(
            why.starts_with("a part numbered 10000 is answered") && why.contains(&status.to_string()),
            "{why}"
        );
        assert!(facts.unclear_part.as_deref().unwrap().contains(&status.to_string()));
        assert_eq!((line(&facts, "max_parts"), line(&facts, "part_size")), (None, None), "{status}");
    }
    let (facts, _) =
        examined(|conf| conf.store.part_size = 8 << 20, |asked| (asked.bytes > 5 << 20).then_some((413, "")))
            .await;
    assert_eq!(line(&facts, "part_size").as_deref(), Some("part_size = \"5 MiB\""));
}

#[tokio::test]
async fn a_lower_limit_that_is_configured_is_not_raised() {
    let (facts, _) = examined(|conf| conf.store.max_parts = 500, Asked::strict).await;
    assert_eq!(facts.most_parts, Some(10_000));
    assert_eq!(line(&facts, "max_parts").as_deref(), Some("max_parts = 500"));
}

#[tokio::test]
async fn conditional_is_what_a_sender_relies_on() {
    type Row = (fn(&Asked) -> Option<(u16, &'static str)>, bool, bool);
    let rows: [Row; 4] = [
        (Asked::strict, true, true),
        (
            |asked| (asked.only_new && asked.there.is_some()).then_some((409, "OperationAborted")),
            false,
            false,
        ),
        (|asked| (asked.only_new && asked.there == Some(Made::Put)).then_some((412, "")), true, false),
        (
            |asked| match asked.there? {
                _ if !asked.only_new => None,
                Made::Put => Some((412, "PreconditionFailed")),
                Made::Completed => Some((409, "ConditionalRequestConflict")),
            },
            true,
            false,
        ),
    ];
    for (n, (rule, put, completed)) in rows.into_iter().enumerate() {
        let (facts, _) = examined(|conf| conf.store.conditional = true, rule).await;
        assert!(facts.completed.is_yes(), "{:?}", facts.completed);
        assert_eq!(
            (facts.only_new.is_yes(), facts.only_new_completed.is_yes()),
            (put, completed),
            "{n}: {facts:?}"
        );
        let report = judge(facts);
        assert!(
            report.lines.contains(&format!("conditional = {}", put && completed)),
            "{n}: {:?}",
            report.lines
        );
        let mend = report.findings.iter().any(|f| f.what == "store.conditional" && f.mend);
        assert_eq!(mend, !(put && completed), "{n}");
    }
    // Without a completed object to ask it of, nothing is proven.
    let (facts, _) = examined(
        |_| {},
        |asked| match asked.method {
            Method::POST => Some((403, "AccessDenied")),
            _ => asked.strict(),
        },
    )
    .await;
    assert_eq!(facts.only_new_completed, Answered::NotAsked);
    assert_eq!(line(&facts, "conditional").as_deref(), Some("conditional = false"));
}

#[tokio::test]
async fn the_other_way_to_address_the_bucket_is_tried_once() {
    let named = |conf: &mut Conf, path_style| {
        conf.store.endpoint = "http://s3.example".into();
        conf.store.path_style = path_style;
    };
    let by_host: fn(&Asked) -> bool =
        |asked| asked.host == "p22-import.s3.example" && !asked.path.starts_with("/p22-import/");
    let by_path: fn(&Asked) -> bool =
        |asked| asked.host == "s3.example" && asked.path.starts_with("/p22-import/");
    for (configured, right) in [(true, by_host), (false, by_path)] {
        for refusal in [(404, "NoSuchBucket"), (400, "InvalidRequest"), (404, "")] {
            let (facts, all) =
                examined(|conf| named(conf, configured), move |asked| (!right(asked)).then_some(refusal))
                    .await;
            assert!(facts.trouble.is_some() && facts.found_with_path_style == Some(!configured), "{facts:?}");
            let report = judge(facts);
            assert_eq!((report.exit, report.lines), (78, vec![format!("path_style = {}", !configured)]));
            assert_eq!(
                all, 4,
                "the question, the other way, the question again, and what was put is taken away"
            );
        }
        // As configured it works: nothing is said of it.
        let (facts, _) =
            examined(|conf| named(conf, !configured), move |asked| (!right(asked)).then_some((404, "")))
                .await;
        assert_eq!((facts.trouble, facts.found_with_path_style), (None, None));
    }
    // Found nowhere, refused for another reason, or astray for a moment only: no line.
    let nowhere = examined(|conf| named(conf, true), |_| Some((404, "NoSuchBucket"))).await;
    let denied = examined(|conf| named(conf, true), |_| Some((403, "AccessDenied"))).await;
    let moment = examined(|conf| named(conf, true), |asked| (asked.all == 0).then_some((404, ""))).await;
    for ((facts, all), requests) in [(nowhere, 2), (denied, 1), (moment, 4)] {
        assert!(facts.trouble.is_some() && facts.found_with_path_style.is_none(), "{facts:?}");
        assert_eq!((judge(facts).lines, all), (vec![], requests));
    }
}

/// Wherever answers that are about the moment or the key begin, and do not end, no line comes of them.
#[tokio::test]
async fn a_store_that_turns_away_at_any_request_makes_no_wrong_line() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path()).await;
    let (facts, all) = asked(&site, |_| {}, Asked::strict).await;
    let good = judge(facts).lines;
    assert_eq!(good, ["checksum = \"crc64nvme\"", "conditional = true", "max_parts = 10000"]);
    let turns =
        [(401, ""), (403, "AccessDenied"), (400, "ExpiredToken"), (408, ""), (429, ""), (503, "SlowDown")];
    for from in (1..all).step_by(2) {
        let turn = turns[from / 2 % turns.len()];
        let rule = move |asked: &Asked| if asked.all >= from { Some(turn) } else { asked.strict() };
        let (facts, _) = asked(&site, |_| {}, rule).await;
        let report = judge(facts);
        for line in &report.lines {
            // A dearer proof is as good, if it was seen to be checked.
            let kind = line.strip_prefix("checksum = \"").and_then(|kind| kind.strip_suffix('"'));
            let proven = kind.is_some_and(|kind| report.facts.checks[kind].proves());
            let safe = proven || kind.is_none() && good.contains(line) || line == "conditional = false";
            assert!(
                safe,
                "{turn:?} from request {from} of {all} on: {:?}\n{:#?}",
                report.lines, report.findings
            );
        }
    }
}
