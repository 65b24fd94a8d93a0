//! Is it the store that answers? Pure. A login page, a virus filter or a maintenance server before the store answers with 200 too,
//! for minutes or hours, and what it sends is not the object: that must never be held against a package, nor teach us anything
//! about the store.
use super::StoreError;
use super::attempt::{Class, Failed};
use aws_sdk_s3::operation::get_object::GetObjectOutput;

/// Names under which a store may rightly call an object a page.
const PAGES: [&str; 3] = [".html", ".htm", ".xhtml"];

/// The ETag of an answer that can be the object's. Every store that we know of names one with each object, and only pages come as
/// HTML.
pub(super) fn etag<'a>(key: &str, answer: &'a GetObjectOutput) -> Result<&'a str, Failed> {
    tag(key, answer.e_tag(), answer.content_type()).map_err(|why| stranger(key, &why))
}

fn tag<'a>(key: &str, etag: Option<&'a str>, kind: Option<&str>) -> Result<&'a str, String> {
    let kind = kind.unwrap_or_default().trim().to_ascii_lowercase();
    let page = kind.starts_with("text/html") || kind.starts_with("application/xhtml");
    let key = key.to_ascii_lowercase();
    if page && !PAGES.iter().any(|end| key.ends_with(end)) {
        return Err(format!("a page ({kind}) came instead of the object"));
    }
    etag.filter(|etag| !etag.is_empty()).ok_or_else(|| "the answer names no ETag".to_owned())
}

fn stranger(key: &str, why: &str) -> Failed {
    Failed {
        error: StoreError::Outage {
            what: "hand out an object",
            why: format!(
                "{key}: {why}: something before the store answered in its place; look for a login page, a filter or a proxy \
                 between this host and store.endpoint"
            ),
        },
        class: Class::Unclear,
        retry_after: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_with_an_etag_that_is_no_page_can_be_an_object() {
        let of = |key, etag, kind| tag(key, etag, kind);
        assert_eq!(of("p/R1.fastq.gz", Some("\"e\""), None), Ok("\"e\""));
        assert_eq!(of("p/R1.fastq.gz", Some("\"e\""), Some("application/gzip")), Ok("\"e\""));
        assert_eq!(
            of("p/qc/Report.HTML", Some("\"e\""), Some("text/html")),
            Ok("\"e\""),
            "some stores guess by the name"
        );
        for kind in ["text/html", "Text/HTML; charset=utf-8", " application/xhtml+xml"] {
            assert!(of("p/COMMIT", Some("\"e\""), Some(kind)).unwrap_err().contains("page"), "{kind}");
        }
        for etag in [None, Some("")] {
            for key in ["p/COMMIT", "p/report.html"] {
                assert!(of(key, etag, Some("application/octet-stream")).unwrap_err().contains("no ETag"));
            }
        }
    }
}
