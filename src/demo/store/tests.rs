//! The whole store over HTTP, through aws-sdk-s3 as clients use it; `lies` does what that client would not.
//!
//! Every test has a store of its own. Requests carry token and project through the macro `with!`, and refusals are
//! compared as `status Code`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use md5::Md5;
use sha2::{Digest, Sha256};

use super::*;

mod lies;

const BUCKET: &str = "import";

struct World {
    _dir: tempfile::TempDir,
    root: PathBuf,
    store: Store,
    address: SocketAddr,
    token: String,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("store");
        let store = Store::new(settings(root.clone())).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(store.clone().serve(listener));
        let token = store.issue_token();
        Self { _dir: dir, root, store, address, token }
    }

    fn client(&self, access: &str) -> Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(Credentials::new(access, format!("{access}-secret"), None, None, "test"))
            .region(Region::new("no"))
            .endpoint_url(format!("http://{}", self.address))
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_config(RetryConfig::disabled())
            .build();
        Client::from_conf(config)
    }

    /// Bytes as they lie on disk, which only whole objects do.
    fn on_disk(&self, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.root.join(BUCKET).join(key)).ok()
    }

    fn statuses(&self) -> Vec<(Who, &'static str, u16)> {
        self.store.requests().iter().map(|entry| (entry.who, entry.operation(), entry.status)).collect()
    }
}

fn settings(root: PathBuf) -> Settings {
    let key = |access: &str| Key { access: access.to_owned(), secret: format!("{access}-secret") };
    Settings {
        root,
        bucket: BUCKET.to_owned(),
        project: "p22".to_owned(),
        sender: key("SENDER"),
        receiver: key("RECEIVER"),
        token_life: Duration::from_secs(3600),
    }
}

/// Sends with token and project, as every request must be.
macro_rules! with {
    ($world:expr, $request:expr) => {
        with!($world, $request, $world.token.clone(), "p22")
    };
    ($world:expr, $request:expr, $token:expr, $project:expr) => {{
        let (token, project): (String, &'static str) = ($token, $project);
        $request
            .customize()
            .mutate_request(move |request| {
                request.headers_mut().insert("token", token.clone());
                request.headers_mut().insert("x-project-select", project);
            })
            .send()
            .await
    }};
}

use with;

/// `status Code` of a refusal.
fn refusal<T, E: ProvideErrorMetadata>(outcome: Result<T, SdkError<E>>) -> String {
    match outcome {
        Ok(_) => "ok".to_owned(),
        Err(SdkError::ServiceError(error)) => {
            format!("{} {}", error.raw().status().as_u16(), error.err().code().unwrap_or("-"))
        }
        Err(SdkError::DispatchFailure(_)) => "no answer".to_owned(),
        Err(_) => "other".to_owned(),
    }
}

#[tokio::test]
async fn what_the_sender_puts_the_receiver_gets() {
    let world = World::new().await;
    let (sender, receiver) = (world.client("SENDER"), world.client("RECEIVER"));
    // Longer than a file name may be, as real keys of trios are.
    let key = format!(
        "p22/analyses-results/trios/Diag-wgs1-HG12345678-PM-DR-TRIO-{}/r1/a b+c.vcf",
        "x".repeat(200)
    );
    let put =
        sender.put_object().bucket(BUCKET).key(&key).content_type("text/x").body(b"hello".to_vec().into());
    let put =
        with!(world, put.metadata("sample", "x").checksum_sha256(STANDARD.encode(Sha256::digest("hello"))))
            .unwrap();
    assert_eq!(put.e_tag(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
    assert_eq!(put.checksum_sha256(), Some("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="));

    let head = with!(world, receiver.head_object().bucket(BUCKET).key(&key)).unwrap();
    assert_eq!((head.content_length(), head.e_tag(), head.checksum_sha256()), (Some(5), put.e_tag(), None));
    let get = with!(world, receiver.get_object().bucket(BUCKET).key(&key)).unwrap();
    assert_eq!((get.content_type(), get.e_tag()), (Some("text/x"), put.e_tag()));
    assert_eq!(get.metadata().unwrap()["sample"], "x");
    assert_eq!(get.body.collect().await.unwrap().into_bytes(), "hello");
    let part = with!(world, receiver.get_object().bucket(BUCKET).key(&key).range("bytes=1-3")).unwrap();
    assert_eq!(part.content_range(), Some("bytes 1-3/5"));
    assert_eq!(part.body.collect().await.unwrap().into_bytes(), "ell");
    let none = with!(world, receiver.get_object().bucket(BUCKET).key("p22")).map(drop);
    assert_eq!(refusal(none), "404 NoSuchKey");
    let stale = with!(world, receiver.get_object().bucket(BUCKET).key(&key).if_match("\"0\"")).map(drop);
    assert_eq!(refusal(stale), "412 PreconditionFailed");
    let elsewhere = with!(world, receiver.list_objects_v2().bucket("other")).map(drop);
    assert_eq!(refusal(elsewhere), "404 NoSuchBucket");

    let listed = with!(world, receiver.list_objects_v2().bucket(BUCKET).prefix("p22/")).unwrap();
    let listed = &listed.contents()[0];
    assert_eq!((listed.key(), listed.size(), listed.e_tag()), (Some(key.as_str()), Some(5), put.e_tag()));
    let again =
        sender.put_object().bucket(BUCKET).key(&key).if_none_match("*").body(b"other".to_vec().into());
    assert_eq!(refusal(with!(world, again)), "412 PreconditionFailed");
    assert_eq!(world.on_disk(&key).unwrap(), b"hello");
}

#[tokio::test]
async fn three_parts_make_an_object() {
    let world = World::new().await;
    let (sender, receiver) = (world.client("SENDER"), world.client("RECEIVER"));
    let key = "p22/samples/x/r1/R1.fastq.gz";
    let upload = with!(world, sender.create_multipart_upload().bucket(BUCKET).key(key)).unwrap();
    let id = upload.upload_id().unwrap();
    let parts: Vec<Vec<u8>> =
        [(1, 5 << 20), (2, 5 << 20), (3, 77)].map(|(byte, size)| vec![byte; size]).to_vec();
    let mut named = Vec::new();
    for (number, bytes) in (1..).zip(&parts) {
        let sha = STANDARD.encode(Sha256::digest(bytes));
        let part = sender.upload_part().bucket(BUCKET).key(key).upload_id(id).part_number(number);
        let part = with!(world, part.checksum_sha256(&sha).body(bytes.clone().into())).unwrap();
        assert_eq!(part.e_tag(), Some(format!("\"{}\"", hex::encode(Md5::digest(bytes))).as_str()));
        let line = CompletedPart::builder().part_number(number).e_tag(part.e_tag().unwrap());
        named.push(line.checksum_sha256(sha).build());
        assert_eq!(world.on_disk(key), None);
    }
    let complete = |parts: Vec<CompletedPart>| {
        let upload = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        sender.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(id).multipart_upload(upload)
    };
    let wrong = CompletedPart::builder().part_number(1).e_tag("\"0\"").build();
    assert_eq!(refusal(with!(world, complete(vec![wrong]))), "400 InvalidPart");
    let done = with!(world, complete(named.clone())).unwrap();
    assert!(done.e_tag().unwrap().ends_with("-3\""), "{:?}", done.e_tag());
    assert_eq!(world.on_disk(key).unwrap(), parts.concat());
    assert_eq!(refusal(with!(world, complete(named))), "404 NoSuchUpload");
    let get = with!(world, receiver.get_object().bucket(BUCKET).key(key)).unwrap();
    assert_eq!(get.e_tag(), done.e_tag());
    assert_eq!(get.body.collect().await.unwrap().into_bytes(), parts.concat());

    let upload = with!(world, sender.create_multipart_upload().bucket(BUCKET).key("gone")).unwrap();
    let abort =
        || sender.abort_multipart_upload().bucket(BUCKET).key("gone").upload_id(upload.upload_id().unwrap());
    with!(world, abort()).unwrap();
    assert_eq!(refusal(with!(world, abort())), "404 NoSuchUpload");
}

#[tokio::test]
async fn without_token_or_project_nothing_goes() {
    let world = World::new().await;
    let sender = world.client("SENDER");
    let put = || sender.put_object().bucket(BUCKET).key("x").body(b"x".to_vec().into());
    assert_eq!(refusal(put().send().await), "401 -");
    assert_eq!(refusal(with!(world, put(), "a.b.c".to_owned(), "p22")), "401 -");
    let old = world.store.0.gate.issue(now() - Duration::from_secs(3602));
    assert_eq!(refusal(with!(world, put(), old.clone(), "p22")), "400 ExpiredToken");
    assert_eq!(refusal(with!(world, put(), world.token.clone(), "p23")), "403 AccessDenied");
    assert_eq!(refusal(with!(world, world.client("NOBODY").head_bucket().bucket(BUCKET))), "403 -");
    assert_eq!(world.on_disk("x"), None);

    // An hour passes in the middle of an upload; the answer arrives although 8 MiB were still to be sent.
    let upload = with!(world, sender.create_multipart_upload().bucket(BUCKET).key("x")).unwrap();
    let part = || {
        let part = sender.upload_part().bucket(BUCKET).key("x").upload_id(upload.upload_id().unwrap());
        part.part_number(1).body(vec![0; 8 << 20].into())
    };
    with!(world, part()).unwrap();
    assert_eq!(refusal(with!(world, part(), old, "p22")), "400 ExpiredToken");
    assert_eq!(world.statuses().last(), Some(&(Who::Sender, "UploadPart", 400)));
}

#[tokio::test]
async fn a_short_token_expires_while_we_look() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path().to_owned());
    settings.token_life = Duration::from_millis(1);
    let store = Store::new(settings).unwrap();
    let token = store.issue_token();
    let head = |token: &str| {
        let request =
            http::Request::get("/import/x").header("token", token).header("x-project-select", "p22");
        request.body(()).unwrap().into_parts().0
    };
    let deadline = Instant::now() + Duration::from_secs(3);
    loop {
        let status = store.0.gate.admit(&head(&token), now()).unwrap_err().status().as_u16();
        match status {
            400 => break,
            other => assert!(other == 403 && Instant::now() < deadline, "{other}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn each_key_opens_only_its_own_doors() {
    let world = World::new().await;
    let (sender, receiver) = (world.client("SENDER"), world.client("RECEIVER"));
    with!(world, sender.put_object().bucket(BUCKET).key("x").body(b"x".to_vec().into())).unwrap();
    let denied = "403 AccessDenied";
    assert_eq!(refusal(with!(world, sender.list_objects_v2().bucket(BUCKET))), denied);
    assert_eq!(refusal(with!(world, sender.get_object().bucket(BUCKET).key("x")).map(drop)), denied);
    assert_eq!(refusal(with!(world, sender.delete_object().bucket(BUCKET).key("x"))), denied);
    assert_eq!(refusal(with!(world, sender.list_parts().bucket(BUCKET).key("x").upload_id("y"))), denied);
    assert_eq!(refusal(with!(world, sender.list_multipart_uploads().bucket(BUCKET))), denied);
    assert_eq!(
        refusal(with!(world, sender.copy_object().bucket(BUCKET).key("y").copy_source("import/x"))),
        denied
    );
    assert_eq!(refusal(with!(world, sender.list_buckets())), denied);
    // Answers to HEAD have no body, so no code either.
    assert!(refusal(with!(world, sender.head_object().bucket(BUCKET).key("x"))).starts_with("403 "));
    assert!(refusal(with!(world, sender.head_bucket().bucket(BUCKET))).starts_with("403 "));

    let put = receiver.put_object().bucket(BUCKET).key("y").body(vec![0; 4 << 20].into());
    assert_eq!(refusal(with!(world, put)), denied);
    assert_eq!(refusal(with!(world, receiver.create_multipart_upload().bucket(BUCKET).key("y"))), denied);
    assert_eq!(refusal(with!(world, receiver.delete_object().bucket(BUCKET).key("x"))), denied);
    with!(world, receiver.head_bucket().bucket(BUCKET)).unwrap();
    assert_eq!(world.on_disk("x").unwrap(), b"x");
    assert_eq!(world.on_disk("y"), None);
    assert_eq!(world.statuses().last(), Some(&(Who::Receiver, "HeadBucket", 200)));
}

#[tokio::test]
async fn over_a_thousand_keys_come_in_pages() {
    let world = World::new().await;
    let receiver = world.client("RECEIVER");
    let mut keys: Vec<String> =
        (0..1100).map(|n| format!("p22/samples/s{}/r1/COMMIT", n * 7919 % 1100)).collect();
    for key in &keys {
        let path = world.root.join(BUCKET).join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(path).unwrap();
    }
    keys.sort();
    let list = || receiver.list_objects_v2().bucket(BUCKET).prefix("p22/samples/");
    let all = |page: &aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output| -> Vec<String> {
        page.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
    };
    let first = with!(world, list().max_keys(5000)).unwrap();
    assert_eq!((first.key_count(), first.is_truncated()), (Some(1000), Some(true)));
    assert_eq!(all(&first), keys[..1000]);
    let second = with!(world, list().continuation_token(first.next_continuation_token().unwrap())).unwrap();
    assert_eq!((all(&second), second.is_truncated()), (keys[1000..].to_vec(), Some(false)));
    let after = with!(world, list().start_after(&keys[500]).max_keys(10)).unwrap();
    assert_eq!(all(&after), keys[501..511]);
    let folded = with!(world, list().delimiter("/").max_keys(700)).unwrap();
    assert_eq!((folded.common_prefixes().len(), folded.contents().len()), (700, 0));
    let rest =
        with!(world, list().delimiter("/").continuation_token(folded.next_continuation_token().unwrap()))
            .unwrap();
    assert_eq!((rest.common_prefixes().len(), rest.next_continuation_token()), (400, None));
    assert_eq!(refusal(with!(world, list().continuation_token("not ours!"))), "400 InvalidArgument");
    let old = with!(world, receiver.list_objects().bucket(BUCKET).marker(&keys[1098])).unwrap();
    assert_eq!(old.contents().iter().filter_map(|object| object.key()).collect::<Vec<_>>(), [&keys[1099]]);
}

#[tokio::test]
async fn faults_happen_as_ordered() {
    let world = World::new().await;
    let sender = world.client("SENDER");
    let put = |key: &str| sender.put_object().bucket(BUCKET).key(key).body(vec![7; 1 << 20].into());
    let order =
        |kind| world.store.fault(FaultRule { key_contains: Some("/x".into()), ..FaultRule::next(kind) });
    order(FaultKind::SlowDown);
    with!(world, put("y")).unwrap();
    assert_eq!(refusal(with!(world, put("x"))), "503 SlowDown");
    order(FaultKind::Drop);
    assert_eq!(refusal(with!(world, put("x"))), "no answer");
    assert_eq!(world.on_disk("x"), None);
    order(FaultKind::DropAfterWork);
    assert_eq!(refusal(with!(world, put("x"))), "no answer");
    assert_eq!(world.on_disk("x").unwrap().len(), 1 << 20);
    order(FaultKind::Delay(Duration::from_millis(120)));
    let start = Instant::now();
    with!(world, put("x2")).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(120));
    let statuses: Vec<u16> = world.statuses().iter().map(|entry| entry.2).collect();
    assert_eq!(statuses, [200, 503, 0, 0, 200]);
}

#[tokio::test]
async fn completions_fail_in_their_own_ways() {
    let world = World::new().await;
    let sender = world.client("SENDER");
    let upload = with!(world, sender.create_multipart_upload().bucket(BUCKET).key("x")).unwrap();
    let id = upload.upload_id().unwrap();
    let part = sender.upload_part().bucket(BUCKET).key("x").upload_id(id).part_number(1);
    let part = with!(world, part.body(b"x".to_vec().into())).unwrap();
    let complete = || {
        let part = CompletedPart::builder().part_number(1).e_tag(part.e_tag().unwrap()).build();
        let upload = CompletedMultipartUpload::builder().parts(part).build();
        sender.complete_multipart_upload().bucket(BUCKET).key("x").upload_id(id).multipart_upload(upload)
    };
    let order = |kind| {
        let query_contains = Some("uploadId".to_owned());
        world.store.fault(FaultRule { method: Some(Method::POST), query_contains, ..FaultRule::next(kind) });
    };
    order(FaultKind::NoSuchUpload);
    assert_eq!(refusal(with!(world, complete())), "404 NoSuchUpload");
    order(FaultKind::ErrorInOk);
    assert_eq!(refusal(with!(world, complete())), "200 InternalError");
    assert_eq!(world.on_disk("x"), None);
    order(FaultKind::GatewayTimeout);
    assert_eq!(refusal(with!(world, complete())), "504 -");
    assert_eq!(world.on_disk("x").unwrap(), b"x");
    assert_eq!(refusal(with!(world, complete())), "404 NoSuchUpload");
}

#[tokio::test]
async fn a_store_is_made_of_sensible_settings_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let made = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings(dir.path().to_owned());
        change(&mut settings);
        Store::new(settings).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(made(&|_| ()), Ok(()));
    assert!(made(&|settings| settings.bucket = "../x".to_owned()).unwrap_err().contains("is no bucket name"));
    assert!(
        made(&|settings| settings.receiver = settings.sender.clone())
            .unwrap_err()
            .contains("the same access key")
    );
    std::fs::File::create(dir.path().join("file")).unwrap();
    assert!(made(&|settings| settings.root.push("file")).unwrap_err().contains("could not prepare"));
    let shown = format!("{:?}", settings(PathBuf::new()));
    assert!(shown.contains("SENDER") && !shown.contains("secret"), "{shown}");
}
