//! Answers as they stand on the wire, and what is made of them.
use super::super::wire_tests::{Canned, one_try, store};
use super::*;

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn xml(status: &str, code: &str) -> String {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>So it is.</Message></Error>"
    );
    http(status, "content-type: application/xml\r\n", &body)
}

/// The answer to a completion, which all kinds of errors can meet.
async fn failed(answer: &str) -> Failed {
    let dir = tempfile::tempdir().unwrap();
    let canned = Canned::serve(vec![answer.to_owned()]).await;
    let store = store(dir.path(), |conf| one_try(conf, &canned.endpoint));
    let complete = store.client.complete_multipart_upload().bucket("b").key("p/k").upload_id("u");
    complete.send().await.map_err(sort("complete an upload", "p/k")).unwrap_err()
}

#[tokio::test]
async fn every_kind_of_answer_is_sorted() {
    use Class::{Final, Throttled, Transient, Unclear};
    let html = |status: &str| {
        http(status, "content-type: text/html\r\n", "<html><head><title>nginx</title></head></html>")
    };
    let json = http(
        "401 Unauthorized",
        "content-type: application/json\r\n",
        "{\"message\":\"Access token missing.\"}",
    );
    let table: Vec<(String, Class, &str)> = vec![
        (xml("500 Internal Server Error", "InternalError"), Transient, "500 InternalError (So it is.)"),
        (xml("200 OK", "InternalError"), Transient, "200 InternalError"),
        (xml("200 OK", "SlowDown"), Throttled, "asks for fewer requests"),
        (xml("503 Service Unavailable", "SlowDown"), Throttled, "asks for fewer requests"),
        (http("503 Service Unavailable", "", ""), Throttled, "503 without a word of S3"),
        (http("429 Too Many Requests", "", ""), Throttled, "429"),
        (html("502 Bad Gateway"), Unclear, "a proxy before the store had no answer"),
        (html("504 Gateway Time-out"), Unclear, "a proxy before the store had no answer"),
        (html("500 Internal Server Error"), Transient, "500 without a word of S3"),
        (html("413 Request Entity Too Large"), Final, "lower store.part_size"),
        (xml("400 Bad Request", "EntityTooLarge"), Final, "lower store.part_size"),
        (xml("400 Bad Request", "EntityTooSmall"), Final, "raise store.part_size"),
        (html("407 Proxy Authentication Required"), Final, "store.proxy"),
        (html("403 Forbidden"), Final, "refused by something before the store"),
        (xml("403 Forbidden", "AccessDenied"), Final, "the key or its rights are wrong"),
        (xml("403 Forbidden", "SignatureDoesNotMatch"), Final, "store.secret_key_file"),
        (xml("403 Forbidden", "InvalidAccessKeyId"), Final, "store.access_key"),
        (json, Final, "the access token is expired or unknown"),
        (
            xml("400 Bad Request", "ExpiredToken"),
            Final,
            "put a fresh one into the file of store.header_files",
        ),
        (xml("400 Bad Request", "BadDigest"), Transient, CHANGED),
        (xml("400 Bad Request", "XAmzContentSHA256Mismatch"), Transient, CHANGED),
        (xml("400 Bad Request", "InvalidDigest"), Transient, CHANGED),
        (xml("400 Bad Request", "RequestTimeout"), Transient, "RequestTimeout"),
        (http("408 Request Timeout", "", ""), Transient, "408"),
        (xml("409 Conflict", "ConditionalRequestConflict"), Transient, "ConditionalRequestConflict"),
        (xml("501 Not Implemented", "NotImplemented"), Final, "tsd-import doctor"),
        (http("405 Method Not Allowed", "", ""), Final, "tsd-import doctor"),
        (xml("404 Not Found", "NoSuchBucket"), Final, "correct store.bucket"),
        (xml("400 Bad Request", "AuthorizationHeaderMalformed"), Final, "store.region"),
        (xml("301 Moved Permanently", "PermanentRedirect"), Final, "store.endpoint"),
        (http("302 Found", "location: http://login.example/\r\n", ""), Final, "store.endpoint"),
        (xml("400 Bad Request", "MalformedXML"), Final, "400 MalformedXML"),
        (html("200 OK"), Unclear, "its answer cannot be understood"),
        (http("200 OK", "", ""), Unclear, "its answer cannot be understood"),
        (
            http("200 OK", "content-type: application/json\r\n", "{}"),
            Unclear,
            "its answer cannot be understood",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n<?xml".into(),
            Unclear,
            "its answer cannot be understood",
        ),
        (String::new(), Unclear, "no answer for p/k"),
        ("HTTP/1.1 20".into(), Unclear, "no answer for p/k"),
        ("SSH-2.0-OpenSSH_9.2\r\n".into(), Unclear, "no answer for p/k"),
    ];
    for (answer, class, words) in table {
        let failed = failed(&answer).await;
        let text = failed.error.to_string();
        assert!(failed.class == class && text.contains(words), "{answer}\n{:?} {text}", failed.class);
        assert!(
            failed.error.is_outage() && text.starts_with("the store did not complete an upload: "),
            "{text}"
        );
        assert!(!text.contains("http://127"), "no address beside the key: {text}");
    }
}

#[tokio::test]
async fn what_is_said_of_one_object_is_no_outage() {
    type Is = fn(&StoreError) -> bool;
    let table: [(&str, &str, Is); 6] = [
        ("404 Not Found", "NoSuchUpload", |e| matches!(e, StoreError::NoUpload(_))),
        ("404 Not Found", "NoSuchKey", |e| matches!(e, StoreError::NotFound(_))),
        ("400 Bad Request", "InvalidPart", |e| matches!(e, StoreError::Lost { .. })),
        ("400 Bad Request", "InvalidPartOrder", |e| matches!(e, StoreError::Lost { .. })),
        ("412 Precondition Failed", "PreconditionFailed", |e| matches!(e, StoreError::Exists(_))),
        ("200 OK", "NoSuchUpload", |e| matches!(e, StoreError::NoUpload(_))),
    ];
    for (status, code, is) in table {
        let failed = failed(&xml(status, code)).await;
        assert!(is(&failed.error) && !failed.error.is_outage(), "{code}: {:?}", failed.error);
        assert_eq!(failed.class, Class::Final, "{code}");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_measured_by_the_answer() {
    let now = clock::now();
    for (seconds, words) in [
        (17 * 60, "this host's clock is 17 min behind the store's; correct the clock"),
        (-7_300, "this host's clock is 2 h ahead of the store's"),
    ] {
        let date = now + jiff::SignedDuration::from_secs(seconds);
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
        let body = "<Error><Code>RequestTimeTooSkewed</Code><Message>x</Message></Error>";
        let failed = failed(&http("403 Forbidden", &format!("date: {date}\r\n"), body)).await;
        assert!(failed.error.to_string().contains(words), "{}", failed.error);
        assert_eq!(failed.class, Class::Final);
    }
    let failed = failed(&xml("403 Forbidden", "RequestTimeTooSkewed")).await;
    assert!(
        failed.error.to_string().contains("this host's clock differs from the store's; correct the clock")
    );
}

#[tokio::test]
async fn advice_about_the_next_attempt_is_handed_on() {
    let slow = |header: &str| http("503 Slow Down", header, "");
    for (header, seconds) in
        [("retry-after: 9\r\n", Some(9)), ("x-amz-retry-after: 4000\r\n", Some(4)), ("", None)]
    {
        let failed = failed(&slow(header)).await;
        assert_eq!(failed.retry_after, seconds.map(Duration::from_secs), "{header}");
    }
}

#[test]
fn clocks_in_words() {
    for (ahead, words) in
        [(0, "0 s ahead of"), (45, "45 s behind"), (-90, "90 s ahead of"), (130, "2 min behind")]
    {
        assert_eq!(clocks(ahead), format!("this host's clock is {words} the store's"));
    }
    assert_eq!(ahead("Mon, 23 Nov 2026 11:00:30 GMT", "2026-11-23T11:00:00Z".parse().unwrap()), Some(30));
    assert_eq!(ahead("yesterday", Timestamp::UNIX_EPOCH), None);
}
