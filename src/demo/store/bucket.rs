//! The S3 operations the store knows, between s3s (HTTP, XML, signatures) and the [`Shelf`] (files).
//!
//! Only what a sender and a receiver of packages use is here; every other operation is s3s's own `NotImplemented`, which
//! nobody sees, because the rights refuse it first. Work on files runs on the blocking pool and is not cancelled when a
//! client goes away. Writing is here, reading in `reading`.

use std::pin::Pin;
use std::sync::Arc;

use s3s::dto::*;
use s3s::{Body, S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use super::bells::Bells;
use super::intake::{Claims, Taken, take_in};
use super::shelf::{Attributes, Condition, Facts, Shelf};
use super::spoil::WithoutConditions;
use super::sums::Sums;
use super::uploads::{Completion, Named};

pub(super) type Answer<T> = S3Result<S3Response<T>>;

/// One bucket, served.
pub(super) struct Bucket {
    name: String,
    shelf: Arc<Shelf>,
    bells: Bells,
}

impl Bucket {
    pub(super) fn new(name: &str, shelf: Shelf, bells: Bells) -> Self {
        Self { name: name.to_owned(), shelf: Arc::new(shelf), bells }
    }

    /// Work on files, for the bucket of this name only.
    pub(super) async fn on_shelf<T: Send + 'static>(
        &self,
        bucket: &str,
        work: impl FnOnce(&Shelf) -> S3Result<T> + Send + 'static,
    ) -> S3Result<T> {
        if bucket != self.name {
            return Err(s3_error!(NoSuchBucket, "The specified bucket does not exist."));
        }
        let shelf = Arc::clone(&self.shelf);
        tokio::task::spawn_blocking(move || work(&shelf)).await.map_err(S3Error::internal_error)?
    }

    async fn take(&self, body: Option<StreamingBlob>, claims: Claims) -> S3Result<Taken> {
        take_in(body.unwrap_or_else(|| Body::empty().into()), &self.shelf.scratch, claims).await
    }

    async fn put(&self, request: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        let claims = Claims::read(&request.headers, request.trailing_headers)?;
        let unconditional = request.extensions.get::<WithoutConditions>().is_some();
        let input = request.input;
        let key = input.key.clone();
        self.on_shelf(&input.bucket, move |shelf| shelf.path_of(&key).map(drop)).await?;
        let taken = self.take(input.body, claims).await?;
        let facts = Facts {
            etag: hex::encode(taken.md5),
            attributes: attributes(input.content_type, input.content_encoding, input.metadata),
            sums: taken.sums,
        };
        let headers = facts.sums.to_headers();
        let output = PutObjectOutput { e_tag: Some(ETag::Strong(facts.etag.clone())), ..Default::default() };
        let key = input.key.clone();
        let condition = match unconditional {
            true => Condition::default(),
            false => Condition { if_match: input.if_match, if_none_match: input.if_none_match },
        };
        self.on_shelf(&input.bucket, move |shelf| shelf.publish(&input.key, taken.file, &facts, &condition))
            .await?;
        self.bells.created(&key);
        Ok(S3Response::with_headers(output, headers))
    }

    async fn begin(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        let input = request.input;
        let (bucket, key) = (input.bucket.clone(), input.key.clone());
        let attributes = attributes(input.content_type, input.content_encoding, input.metadata);
        let id = self.on_shelf(&bucket, move |shelf| shelf.begin_upload(&key, attributes)).await?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: input.checksum_type,
            ..Default::default()
        }))
    }

    async fn part(&self, request: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        let claims = Claims::read(&request.headers, request.trailing_headers)?;
        let UploadPartInput { body, bucket, key, upload_id, part_number, .. } = request.input;
        let (asked_key, asked_id) = (key.clone(), upload_id.clone());
        self.on_shelf(&bucket, move |shelf| shelf.expect_part(&asked_key, &asked_id, part_number)).await?;
        let taken = self.take(body, claims).await?;
        let headers = taken.sums.to_headers();
        let keep = move |shelf: &Shelf| shelf.keep_part(&key, &upload_id, part_number, taken);
        let etag = self.on_shelf(&bucket, keep).await?;
        let output = UploadPartOutput { e_tag: Some(ETag::Strong(etag)), ..Default::default() };
        Ok(S3Response::with_headers(output, headers))
    }

    async fn complete(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let input = request.input;
        let sums = Sums::of_headers(&request.headers);
        let composite = input.checksum_type.is_some_and(|kind| kind.as_str() == ChecksumType::COMPOSITE);
        if composite && sums.names().any(|name| name.starts_with("crc")) {
            return Err(s3_error!(NotImplemented, "This store verifies CRCs over the full object only."));
        }
        let named = |part: CompletedPart| {
            let sums = Sums::of_part(&part);
            let (Some(number), Some(etag)) = (part.part_number, part.e_tag) else {
                return Err(s3_error!(MalformedXML, "Every part needs a PartNumber and an ETag."));
            };
            Ok(Named { number, etag: etag.into_value(), sums })
        };
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let completion = Completion {
            parts: parts.into_iter().map(named).collect::<S3Result<_>>()?,
            sums,
            size: input.mpu_object_size.and_then(|size| u64::try_from(size).ok()),
            condition: Condition { if_match: input.if_match, if_none_match: input.if_none_match },
        };
        let (key, id) = (input.key.clone(), input.upload_id);
        let work = move |shelf: &Shelf| shelf.complete_upload(&key, &id, &completion);
        let facts = self.on_shelf(&input.bucket, work).await?;
        self.bells.created(&input.key);
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(facts.etag)),
            ..Default::default()
        }))
    }

    async fn abort(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        let AbortMultipartUploadInput { bucket, key, upload_id, .. } = request.input;
        self.on_shelf(&bucket, move |shelf| shelf.abort_upload(&key, &upload_id)).await?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

/// `aws-chunked` describes the way here, not the object; a server that keeps it confuses every reader.
fn attributes(
    content_type: Option<String>,
    content_encoding: Option<String>,
    metadata: Option<Metadata>,
) -> Attributes {
    let content_encoding = content_encoding.map(|encodings| {
        let kept: Vec<&str> =
            encodings.split(',').map(str::trim).filter(|one| *one != "aws-chunked").collect();
        kept.join(",")
    });
    Attributes { content_type, content_encoding: content_encoding.filter(|kept| !kept.is_empty()), metadata }
}

/// The signatures that `async_trait` would write.
macro_rules! operations {
    ($($operation:ident($input:ty) -> $output:ty = $method:ident;)*) => {
        impl S3 for Bucket {
            $(fn $operation<'a, 'b>(
                &'a self,
                request: S3Request<$input>,
            ) -> Pin<Box<dyn Future<Output = Answer<$output>> + Send + 'b>>
            where
                'a: 'b,
                Self: 'b,
            {
                Box::pin(self.$method(request))
            })*
        }
    };
}

operations! {
    put_object(PutObjectInput) -> PutObjectOutput = put;
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput = begin;
    upload_part(UploadPartInput) -> UploadPartOutput = part;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput = complete;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput = abort;
    get_object(GetObjectInput) -> GetObjectOutput = get;
    head_object(HeadObjectInput) -> HeadObjectOutput = head;
    head_bucket(HeadBucketInput) -> HeadBucketOutput = exists;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output = list;
    list_objects(ListObjectsInput) -> ListObjectsOutput = list_v1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_chunked_is_not_kept() {
        let kept = |encoding: &str| attributes(None, Some(encoding.to_owned()), None).content_encoding;
        assert_eq!(kept("aws-chunked"), None);
        assert_eq!(kept("aws-chunked, gzip"), Some("gzip".to_owned()));
    }
}
