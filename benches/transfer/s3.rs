//! So much of S3 as the clients that are compared need, and no check of anything: neither signatures nor digests.
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, RANGE};
use hyper::http::response::Builder;
use hyper::{Request, Response, StatusCode};

use super::objects::{KEPT, Object, Objects, Outgoing};

/// Looks like that of a multipart upload, which no client takes for an md5.
const ETAG: &str = "\"d41d8cd98f00b204e9800998ecf8427e-1\"";
const AT: &str = "2026-01-01T00:00:00.000Z";
const AT_IN_A_HEADER: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

type Answer = Result<Response<Outgoing>, String>;

/// A request's target, read.
struct Target {
    bucket: String,
    key: String,
    query: Vec<(String, String)>,
}

impl Target {
    fn of(uri: &hyper::Uri) -> Self {
        let path = decoded(uri.path().trim_start_matches('/'), false);
        let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
        let pairs = uri.query().unwrap_or("").split('&').filter(|p| !p.is_empty());
        let pairs = pairs.map(|p| p.split_once('=').unwrap_or((p, "")));
        let query = pairs.map(|(name, value)| (decoded(name, true), decoded(value, true))).collect();
        Self { bucket: bucket.to_owned(), key: key.to_owned(), query }
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Percent-decoded; in a query a plus is a space.
fn decoded(text: &str, in_query: bool) -> String {
    let (mut bytes, mut decoded) = (text.bytes(), Vec::with_capacity(text.len()));
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16)).unwrap_or(0);
                u8::try_from(digit() * 16 + digit()).unwrap_or(b'?')
            }
            b'+' if in_query => b' ',
            byte => byte,
        });
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn built(builder: Builder, body: Option<Bytes>) -> Answer {
    builder.body(Outgoing::Kept(body)).map_err(|e| format!("no answer could be made: {e}"))
}

fn xml(status: StatusCode, inner: &str) -> Answer {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{inner}");
    built(Response::builder().status(status).header(CONTENT_TYPE, "application/xml"), Some(text.into()))
}

fn refused(status: StatusCode, code: &str) -> Answer {
    xml(status, &format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>"))
}

/// Reads a body to its end: how many bytes it had and, if they were few, which.
async fn taken(body: Incoming) -> Result<(u64, Option<Bytes>), String> {
    let (mut body, mut length, mut few) = (body, 0u64, Some(BytesMut::new()));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| format!("a body was cut short: {e}"))?;
        let Some(bytes) = frame.data_ref() else { continue };
        length += bytes.len() as u64;
        few = few.filter(|few| few.len() + bytes.len() <= KEPT);
        if let Some(few) = &mut few {
            few.extend_from_slice(bytes);
        }
    }
    Ok((length, few.map(BytesMut::freeze)))
}

/// What is done with one request.
pub async fn answer(objects: &Objects, request: Request<Incoming>) -> Answer {
    let target = Target::of(request.uri());
    let (head, body) = request.into_parts();
    // Framed in chunks with signatures between (aws-chunked), the body is longer than what it carries.
    let carried =
        head.headers.get("x-amz-decoded-content-length").and_then(|v| v.to_str().ok()?.parse().ok());
    let (length, few) = taken(body).await?;
    objects.count(length);
    let (size, few) = match carried {
        Some(carried) => (carried, None),
        None => (length, few),
    };
    let (key, upload) = (target.key.clone(), target.query("uploadId").map(str::to_owned));
    match (head.method.as_str(), upload, key.is_empty()) {
        ("PUT" | "HEAD", None, true) => built(Response::builder(), None),
        ("GET", None, true) => listed(objects, &target),
        ("PUT", None, false) => {
            objects.put(key, size, few);
            built(Response::builder().header("etag", ETAG), None)
        }
        ("PUT", Some(upload), false) => {
            let number = target.query("partNumber").and_then(|n| n.parse().ok()).unwrap_or(0);
            match objects.part(&upload, number, size) {
                true => built(Response::builder().header("etag", ETAG), None),
                false => refused(StatusCode::NOT_FOUND, "NoSuchUpload"),
            }
        }
        ("POST", None, false) if target.query("uploads").is_some() => {
            let (bucket, key, id) = (&target.bucket, escaped(&key), objects.begin());
            let inner = format!("<Bucket>{bucket}</Bucket><Key>{key}</Key><UploadId>{id}</UploadId>");
            let inner = format!("<InitiateMultipartUploadResult>{inner}</InitiateMultipartUploadResult>");
            xml(StatusCode::OK, &inner)
        }
        ("POST", Some(upload), false) => {
            let Some(size) = objects.end(&upload) else {
                return refused(StatusCode::NOT_FOUND, "NoSuchUpload");
            };
            let (bucket, text) = (&target.bucket, escaped(&key));
            objects.put(key, size, None);
            let inner = format!("<Bucket>{bucket}</Bucket><Key>{text}</Key><ETag>{ETAG}</ETag>");
            let inner = format!("<CompleteMultipartUploadResult>{inner}</CompleteMultipartUploadResult>");
            xml(StatusCode::OK, &inner)
        }
        ("DELETE", Some(upload), false) => {
            let _bytes = objects.end(&upload);
            built(Response::builder().status(StatusCode::NO_CONTENT), None)
        }
        ("DELETE", None, false) => {
            objects.delete(&key);
            built(Response::builder().status(StatusCode::NO_CONTENT), None)
        }
        (method @ ("GET" | "HEAD"), None, false) => match objects.get(&key) {
            Some(object) => handed_out(objects, &object, &head.headers, method == "HEAD"),
            None => refused(StatusCode::NOT_FOUND, "NoSuchKey"),
        },
        _ => refused(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    }
}

fn listed(objects: &Objects, target: &Target) -> Answer {
    if target.query("location").is_some() {
        return xml(StatusCode::OK, "<LocationConstraint></LocationConstraint>");
    }
    let prefix = target.query("prefix").unwrap_or("");
    let after = target.query("continuation-token").or(target.query("start-after")).or(target.query("marker"));
    let most = target.query("max-keys").and_then(|n| n.parse().ok()).unwrap_or(1000);
    let (page, more) = objects.list(prefix, after.unwrap_or(""), most);
    let mut inner = format!(
        "<Name>{}</Name><Prefix>{}</Prefix><KeyCount>{}</KeyCount><MaxKeys>{most}</MaxKeys><IsTruncated>{more}</IsTruncated>",
        target.bucket,
        escaped(prefix),
        page.len()
    );
    if let Some((last, _)) = page.last().filter(|_| more) {
        let last = escaped(last);
        inner +=
            &format!("<NextContinuationToken>{last}</NextContinuationToken><NextMarker>{last}</NextMarker>");
    }
    for (key, size) in page {
        inner += &format!(
            "<Contents><Key>{}</Key><LastModified>{AT}</LastModified><ETag>{ETAG}</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>",
            escaped(&key)
        );
    }
    xml(StatusCode::OK, &format!("<ListBucketResult>{inner}</ListBucketResult>"))
}

/// `bytes=FROM-TO` of an object of this size, as `from..to`; none if it cannot be satisfied.
fn range(header: &str, size: u64) -> Option<(u64, u64)> {
    let (from, to) = header.strip_prefix("bytes=")?.split_once('-')?;
    let (from, last) = match (from, to) {
        ("", suffix) => (size.saturating_sub(suffix.parse().ok()?), size.checked_sub(1)?),
        (from, "") => (from.parse().ok()?, size.checked_sub(1)?),
        (from, to) => (from.parse().ok()?, to.parse::<u64>().ok()?.min(size.checked_sub(1)?)),
    };
    (from <= last).then_some((from, last + 1))
}

fn handed_out(objects: &Objects, object: &Object, headers: &HeaderMap, head_only: bool) -> Answer {
    let mut builder = Response::builder()
        .header("etag", ETAG)
        .header("accept-ranges", "bytes")
        .header("last-modified", AT_IN_A_HEADER)
        .header(CONTENT_TYPE, "application/octet-stream");
    if head_only {
        return built(builder.header(CONTENT_LENGTH, object.size), None);
    }
    let (mut from, mut to) = (0, object.size);
    if let Some(wanted) = headers.get(RANGE).and_then(|v| v.to_str().ok()) {
        let Some(satisfied) = range(wanted, object.size) else {
            return refused(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange");
        };
        (from, to) = satisfied;
        builder = builder.status(StatusCode::PARTIAL_CONTENT);
        builder = builder.header("content-range", format!("bytes {from}-{}/{}", to - 1, object.size));
    }
    match objects.hand_out(object, from, to) {
        Some(body) => builder.body(body).map_err(|e| format!("no answer could be made: {e}")),
        None => refused(StatusCode::NOT_FOUND, "NoSuchKey"),
    }
}
