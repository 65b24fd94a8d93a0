//! Bodies that are not what their headers say, come in pieces, or do not come to an end.
//!
//! An honest client cannot send these, so the requests are signed and written by hand, byte for byte.

use std::io::{Read, Write};
use std::net::TcpStream;

use aws_sdk_s3::primitives::ByteStream;

use super::super::token::hmac_sha256;
use super::*;

/// A request signed by hand, so that it can lie: SigV4, <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>.
struct Raw<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    /// `x-amz-content-sha256`, which is signed.
    payload: &'a str,
    headers: Vec<(&'a str, String)>,
}

impl Raw<'_> {
    fn text(&self, world: &World, body_length: usize) -> String {
        #[allow(clippy::disallowed_methods)] // signatures are judged by the clock of this machine
        let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let (day, host) = (&stamp[..8], world.address.to_string());
        let canonical = format!(
            "{}\n{}\n{}\nhost:{host}\nx-amz-content-sha256:{}\nx-amz-date:{stamp}\n\nhost;x-amz-content-sha256;x-amz-date\n{}",
            self.method, self.path, self.query, self.payload, self.payload
        );
        let scope = format!("{day}/no/s3/aws4_request");
        let digest = hex::encode(Sha256::digest(canonical));
        let mut key = b"AWS4SENDER-secret".to_vec();
        for step in [day, "no", "s3", "aws4_request"] {
            key = hmac_sha256(&key, step.as_bytes()).to_vec();
        }
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}");
        let signature = hex::encode(hmac_sha256(&key, to_sign.as_bytes()));
        let mut text = format!(
            "{} {}?{} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {body_length}\r\n\
             token: {}\r\nx-project-select: p22\r\nx-amz-date: {stamp}\r\nx-amz-content-sha256: {}\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=SENDER/{scope}, \
             SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}\r\n",
            self.method, self.path, self.query, world.token, self.payload
        );
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text + "\r\n"
    }

    /// Sends `body` and gives `status Code`.
    async fn send(&self, world: &World, body: &[u8]) -> String {
        let message = [self.text(world, body.len()).as_bytes(), body].concat();
        let answer = exchange(world.address, message).await;
        let status = answer.split(' ').nth(1).unwrap_or("-").to_owned();
        let code = answer.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
        format!("{status} {}", code.map_or("-", |(code, _)| code))
    }
}

async fn exchange(address: SocketAddr, message: Vec<u8>) -> String {
    let talk = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(&message).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::task::spawn_blocking(talk).await.unwrap()
}

/// s3s verifies the signed payload digest of both PutObject and UploadPart; the rest is this store's work.
#[tokio::test]
async fn a_body_that_is_not_what_was_promised_is_refused() {
    let world = World::new().await;
    let sender = world.client("SENDER");
    let upload = with!(world, sender.create_multipart_upload().bucket(BUCKET).key("x")).unwrap();
    let id = upload.upload_id().unwrap();
    let part_query = format!("partNumber=1&uploadId={id}");
    let (good, bad) = (vec![b'g'; 300_000], [&vec![b'g'; 299_999][..], b"!"].concat());
    let digest = hex::encode(Sha256::digest(&good));
    for (path, query) in [("/import/x", part_query.as_str()), ("/import/y", "")] {
        let raw = |payload: &'static str, headers: Vec<(&'static str, String)>| {
            let payload = if payload.is_empty() { digest.as_str() } else { payload };
            Raw { method: "PUT", path, query, payload, headers }
        };
        let sha256 = || vec![("x-amz-checksum-sha256", STANDARD.encode(Sha256::digest(&good)))];
        let md5 = || vec![("content-md5", STANDARD.encode(Md5::digest(&good)))];
        let crc = || vec![("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=".to_owned())];
        let unsigned = "UNSIGNED-PAYLOAD";
        assert_eq!(raw("", vec![]).send(&world, &bad).await, "400 XAmzContentSHA256Mismatch", "{path}");
        assert_eq!(raw(unsigned, sha256()).send(&world, &bad).await, "400 BadDigest", "{path}");
        assert_eq!(raw(unsigned, md5()).send(&world, &bad).await, "400 BadDigest", "{path}");
        assert_eq!(raw(unsigned, crc()).send(&world, &bad).await, "400 BadDigest", "{path}");
        // A digest other than the signed one breaks the signature itself.
        let mut forged = raw("", vec![]).text(&world, bad.len());
        forged = forged
            .replace(&format!("sha256: {digest}"), &format!("sha256: {}", hex::encode(Sha256::digest(&bad))));
        let answer = exchange(world.address, [forged.as_bytes(), &bad].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("SignatureDoesNotMatch"), "{answer}");
        assert_eq!(world.on_disk("y"), None);
        assert_eq!(std::fs::read_dir(world.root.join(".scratch")).unwrap().count(), 0);
        let kept = std::fs::read_dir(world.root.join(".uploads").join(id)).unwrap().count();
        assert_eq!(kept, if query.is_empty() { 3 } else { 1 }, "upload.json, and no part before a good one");
        // The same by an honest client goes through: the refusals above had no other cause.
        assert_eq!(raw("", [sha256(), md5()].concat()).send(&world, &good).await, "200 -", "{path}");
        assert_eq!(raw(unsigned, vec![]).send(&world, &good).await, "200 -", "{path}");
    }
    assert_eq!(world.on_disk("y").unwrap(), good);
}

#[tokio::test]
async fn half_a_put_is_never_seen() {
    let world = World::new().await;
    let receiver = world.client("RECEIVER");
    let raw =
        Raw { method: "PUT", path: "/import/y", query: "", payload: "UNSIGNED-PAYLOAD", headers: vec![] };
    let mut stream = TcpStream::connect(world.address).unwrap();
    stream.write_all(raw.text(&world, 1_000_000).as_bytes()).unwrap();
    stream.write_all(&vec![0; 999_999]).unwrap();
    // The store has begun to take it in, and shows nothing.
    let scratch = || std::fs::read_dir(world.root.join(".scratch")).unwrap().count();
    let until = |wanted: usize| async move {
        for _ in 0..500 {
            if scratch() == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("scratch has {} files, not {wanted}", scratch());
    };
    until(1).await;
    let list = || receiver.list_objects_v2().bucket(BUCKET);
    assert_eq!(with!(world, list()).unwrap().contents().len(), 0);
    assert_eq!(
        refusal(with!(world, receiver.get_object().bucket(BUCKET).key("y")).map(drop)),
        "404 NoSuchKey"
    );
    drop(stream);
    until(0).await;
    assert_eq!(with!(world, list()).unwrap().contents().len(), 0);
}

#[tokio::test]
async fn a_streaming_body_is_stored_without_its_framing() {
    // The SDK's default for a file: aws-chunked, chunks signed, a CRC32 in the trailer.
    let world = World::new().await;
    let sender = Client::from_conf(
        world
            .client("SENDER")
            .config()
            .to_builder()
            .request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
            .build(),
    );
    let path = world.root.join("file");
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    std::fs::File::create(&path).unwrap().write_all(&bytes).unwrap();
    let body = ByteStream::from_path(&path).await.unwrap();
    with!(world, sender.put_object().bucket(BUCKET).key("y").body(body)).unwrap();
    assert_eq!(world.on_disk("y").unwrap(), bytes);
    let head = with!(world, world.client("RECEIVER").head_object().bucket(BUCKET).key("y")).unwrap();
    assert_eq!(head.content_encoding(), None);
}
