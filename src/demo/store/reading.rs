//! The reading half of the [`Bucket`]: GET, HEAD and the two listings.
//!
//! The answers are those of AWS and MinIO: pages of at most 1000 entries, opaque continuation tokens, ETags in listings,
//! checksums on HEAD and GET only where asked for and never for a range. An object is opened once and sent from that
//! file, so an overwrite in between does not mix two objects.

use std::io::SeekFrom;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::BytesMut;
use futures_util::stream;
use http::HeaderMap;
use s3s::dto::*;
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::bucket::{Answer, Bucket};
use super::listing::{Ask, Page, page, walk};
use super::shelf::{Facts, Opened, Shelf};
use super::spoil::WithoutRange;

/// The most one listing answers, and what it answers if not told.
const PAGE: i32 = 1000;
/// Objects are sent in pieces of this size.
const READ_BUFFER: usize = 256 << 10;

impl Bucket {
    pub(super) async fn get(&self, request: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        let mut input = request.input;
        if request.extensions.get::<WithoutRange>().is_some() {
            input.range = None;
        }
        let key = input.key;
        let Opened { file, size, modified, facts } =
            self.on_shelf(&input.bucket, move |shelf| shelf.open(&key)).await?;
        if input.part_number.is_some() {
            return Err(s3_error!(NotImplemented, "This store reads ranges, not parts."));
        }
        reading_allowed(&facts, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let mut headers = HeaderMap::new();
        let (from, until) = match input.range {
            Some(range) => {
                let range = range.check(size)?;
                (range.start, range.end)
            }
            None => {
                if input.checksum_mode.is_some() {
                    headers = facts.sums.to_headers();
                }
                (0, size)
            }
        };
        let mut file = tokio::fs::File::from_std(file);
        file.seek(SeekFrom::Start(from)).await.map_err(S3Error::internal_error)?;
        let output = GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(pieces(file, until - from)),
            content_length: Some(length(until - from)?),
            content_range: input.range.map(|_| format!("bytes {from}-{}/{size}", until.saturating_sub(1))),
            content_type: facts.attributes.content_type,
            content_encoding: facts.attributes.content_encoding,
            metadata: facts.attributes.metadata,
            last_modified: Some(modified.into()),
            e_tag: Some(ETag::Strong(facts.etag)),
            ..Default::default()
        };
        Ok(S3Response::with_headers(output, headers))
    }

    pub(super) async fn head(&self, request: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        let input = request.input;
        let key = input.key;
        let Opened { size, modified, facts, .. } =
            self.on_shelf(&input.bucket, move |shelf| shelf.open(&key)).await?;
        reading_allowed(&facts, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let headers = input.checksum_mode.map(|_| facts.sums.to_headers()).unwrap_or_default();
        let output = HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(length(size)?),
            content_type: facts.attributes.content_type,
            content_encoding: facts.attributes.content_encoding,
            metadata: facts.attributes.metadata,
            last_modified: Some(modified.into()),
            e_tag: Some(ETag::Strong(facts.etag)),
            ..Default::default()
        };
        Ok(S3Response::with_headers(output, headers))
    }

    pub(super) async fn exists(&self, request: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        self.on_shelf(&request.input.bucket, |_| Ok(())).await?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    pub(super) async fn list(&self, request: S3Request<ListObjectsV2Input>) -> Answer<ListObjectsV2Output> {
        let input = request.input;
        let after = match &input.continuation_token {
            Some(token) => read_token(token)?,
            None => input.start_after.clone().unwrap_or_default(),
        };
        let (max, url) = (page_size(input.max_keys)?, input.encoding_type.is_some());
        let ask = ask(input.prefix.clone(), input.delimiter.clone(), after, max);
        let (page, contents) = self.page(&input.bucket, ask, url).await?;
        let prefixes = common_prefixes(&page, url);
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: i32::try_from(contents.len() + prefixes.len()).ok(),
            max_keys: Some(max),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.as_ref().map(|next| URL_SAFE_NO_PAD.encode(next)),
            contents: Some(contents).filter(|contents| !contents.is_empty()),
            common_prefixes: Some(prefixes).filter(|prefixes| !prefixes.is_empty()),
            continuation_token: input.continuation_token,
            delimiter: input.delimiter.map(|text| encoded(&text, url)),
            prefix: Some(encoded(&input.prefix.unwrap_or_default(), url)),
            start_after: input.start_after.map(|text| encoded(&text, url)),
            encoding_type: input.encoding_type,
            name: Some(input.bucket),
            ..Default::default()
        }))
    }

    pub(super) async fn list_v1(&self, request: S3Request<ListObjectsInput>) -> Answer<ListObjectsOutput> {
        let input = request.input;
        let (max, url) = (page_size(input.max_keys)?, input.encoding_type.is_some());
        let after = input.marker.clone().unwrap_or_default();
        let ask = ask(input.prefix.clone(), input.delimiter.clone(), after, max);
        let (page, contents) = self.page(&input.bucket, ask, url).await?;
        Ok(S3Response::new(ListObjectsOutput {
            max_keys: Some(max),
            is_truncated: Some(page.next.is_some()),
            common_prefixes: Some(common_prefixes(&page, url)).filter(|prefixes| !prefixes.is_empty()),
            next_marker: page.next.map(|next| encoded(&next, url)),
            contents: Some(contents).filter(|contents| !contents.is_empty()),
            marker: Some(encoded(&input.marker.unwrap_or_default(), url)),
            delimiter: input.delimiter.map(|text| encoded(&text, url)),
            prefix: Some(encoded(&input.prefix.unwrap_or_default(), url)),
            encoding_type: input.encoding_type,
            name: Some(input.bucket),
            ..Default::default()
        }))
    }

    async fn page(&self, bucket: &str, ask: Ask, url: bool) -> S3Result<(Page, Vec<Object>)> {
        let work = move |shelf: &Shelf| {
            let found = walk(shelf.objects(), &ask).map_err(S3Error::internal_error)?;
            let page = page(&found, &ask);
            let mut contents = Vec::with_capacity(page.objects.len());
            for object in &page.objects {
                contents.push(Object {
                    e_tag: shelf.etag(&object.key)?.map(ETag::Strong),
                    key: Some(encoded(&object.key, url)),
                    last_modified: Some(object.modified.into()),
                    size: Some(length(object.size)?),
                    storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
                    ..Default::default()
                });
            }
            Ok((page, contents))
        };
        self.on_shelf(bucket, work).await
    }
}

fn ask(prefix: Option<String>, delimiter: Option<String>, after: String, max: i32) -> Ask {
    Ask { prefix: prefix.unwrap_or_default(), delimiter, after, max: usize::try_from(max).unwrap_or(0) }
}

fn page_size(asked: Option<i32>) -> S3Result<i32> {
    match asked.unwrap_or(PAGE) {
        asked @ 0.. => Ok(asked.min(PAGE)),
        _ => Err(s3_error!(InvalidArgument, "Argument maxKeys must be an integer between 0 and 2147483647")),
    }
}

fn read_token(token: &str) -> S3Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

fn common_prefixes(page: &Page, url: bool) -> Vec<CommonPrefix> {
    page.prefixes.iter().map(|prefix| CommonPrefix { prefix: Some(encoded(prefix, url)) }).collect()
}

/// As it stands, or percent-encoded where the client asked for `encoding-type=url`.
fn encoded(text: &str, url: bool) -> String {
    if !url {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn reading_allowed(
    facts: &Facts,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    let holds = |condition: &ETagCondition| condition.as_etag().is_none_or(|etag| etag.value() == facts.etag);
    if if_match.is_some_and(|condition| !holds(condition)) {
        return Err(s3_error!(PreconditionFailed, "The ETag is not the one you specified."));
    }
    if if_none_match.is_some_and(holds) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

/// `length` bytes of `file` from where it stands. A file that ends early (damaged on purpose) breaks the stream.
fn pieces(file: tokio::fs::File, length: u64) -> StreamingBlob {
    StreamingBlob::wrap(stream::try_unfold((file.take(length), length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut buffer = BytesMut::with_capacity(READ_BUFFER);
        match file.read_buf(&mut buffer).await? {
            0 => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)),
            read => Ok(Some((buffer.freeze(), (file, left - read as u64)))),
        }
    }))
}

fn length(bytes: u64) -> S3Result<i64> {
    i64::try_from(bytes).map_err(S3Error::internal_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_encode_only_on_request() {
        assert_eq!(encoded("a b/ø&~", true), "a%20b/%C3%B8%26~");
        assert_eq!(encoded("a b/ø&~", false), "a b/ø&~");
    }

    #[test]
    fn pages_are_at_most_a_thousand() {
        assert_eq!(page_size(None).unwrap(), 1000);
        assert_eq!(page_size(Some(0)).unwrap(), 0);
        assert_eq!(page_size(Some(5000)).unwrap(), 1000);
        assert_eq!(page_size(Some(-1)).unwrap_err().code().as_str(), "InvalidArgument");
        assert_eq!(read_token(&URL_SAFE_NO_PAD.encode("p/å")).unwrap(), "p/å");
        assert_eq!(read_token("p/å").unwrap_err().code().as_str(), "InvalidArgument");
    }
}
