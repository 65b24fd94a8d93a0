//! Changing one field of an artifact.
//!
//! A PUT replaces the whole artifact and the last writer wins, so the document is fetched, changed in that one place, sent
//! back at once, fetched again and compared: the field must stand there, and no other field may be gone.
use super::client::{Client, same};
use super::error::Error;
use super::fault::Fault;
use super::ids::LimsId;
use super::model::{Artifact, Udf};
use super::ns;
use super::read::Record as _;
use super::step::field;
use super::tree::{Element, Node};
use super::words::UdfKind;
use super::work::did_not_take;
use reqwest::{Method, Url};

impl Client {
    /// Sets a text field of an artifact; everything else stays. Nothing is sent if it says so already. The field may be
    /// configured as `String` or `Text`. It is tried once more if it did not take.
    pub async fn set_artifact_field(&self, id: &LimsId, name: &str, value: &str) -> Result<(), Error> {
        let url = self.wire.url(&format!("artifacts/{id}"), &[]);
        let mut kind = UdfKind::String;
        let mut last = None;
        for _ in 0..3 {
            let (mut document, before) = self.whole(&url, id).await?;
            let old = before.udfs.get(name);
            if old.is_some_and(|old| old.value == value) {
                return Ok(());
            }
            let udf = Udf {
                kind: old.map_or_else(|| kind.clone(), |old| old.kind.clone()),
                value: value.to_owned(),
            };
            put_field(&mut document, name, &udf);
            match self.wire.act(Method::PUT, &url, Some(&document)).await {
                Ok(_) => {}
                Err(error @ Error::Unclear { .. }) => last = Some(error),
                // Of another type than one guesses: the document does not tell the type of a field that is not set.
                Err(Error::Refused { .. }) if old.is_none() && kind == UdfKind::String => {
                    kind = UdfKind::Text;
                    continue;
                }
                Err(other) => return Err(other),
            }
            let (_, now) = self.whole(&url, id).await?;
            if let Some(gone) = before.udfs.keys().find(|field| !now.udfs.contains_key(*field)) {
                let fault = Fault::new(format!(
                    "the field {gone:?} of {id} stood there before field {name:?} was set and does not now: compare it in the LIMS"
                ));
                return Err(Error::malformed(&format!("PUT {}", url.path()), fault));
            }
            if now.udfs.get(name).is_some_and(|now| now.value == value) {
                return Ok(());
            }
        }
        Err(last.unwrap_or_else(|| did_not_take("PUT /artifacts/*", id, "fields")))
    }

    async fn whole(&self, url: &Url, id: &LimsId) -> Result<(Element, Artifact), Error> {
        let document = self.wire.read(url).await?;
        let malformed = |fault| Error::malformed(&format!("GET {}", url.path()), fault);
        let artifact = Artifact::read(&document).map_err(malformed)?;
        same(url, id, &artifact.id)?;
        Ok((document, artifact))
    }
}

/// Into its place, or behind the last of the fields there are.
fn put_field(document: &mut Element, name: &str, udf: &Udf) {
    let is_field = |node: &Node| matches!(node, Node::Element(e) if e.is(ns::UDF, "field"));
    let own = document.elements_mut().find(|e| e.is(ns::UDF, "field") && e.attr("name") == Some(name));
    if let Some(own) = own {
        own.children = vec![Node::Text(udf.value.clone())];
        return;
    }
    let after = document.children.iter().rposition(is_field).map_or(document.children.len(), |at| at + 1);
    document.children.insert(after, Node::Element(field(name, udf)));
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, Reply, exception};
    use super::*;
    use std::sync::Mutex;

    const BODY: &str = r#"<art:artifact xmlns:udf="http://genologics.com/ri/userdefined" xmlns:art="http://genologics.com/ri/artifact"
        limsid="2-1" uri="https://own/api/v2/artifacts/2-1?state=7" novelty="x"><name>HG1 æøå</name><qc-flag>PASSED</qc-flag>
        <udf:field type="Numeric" name="Reads">0.50</udf:field><udf:field type="String" name="Blå">  r&#248;d </udf:field>
        <unknown>kept</unknown><workflow-stages/></art:artifact>"#;

    fn id() -> LimsId {
        LimsId::new("2-1").unwrap()
    }

    /// A server that takes what `accept` lets it, and keeps what it was sent.
    async fn server(accept: impl Fn(&str, usize) -> Result<String, Reply> + Send + Sync + 'static) -> Fake {
        let stored = Mutex::new(BODY.to_owned());
        Fake::start(move |seen, before| match (seen.method.as_str(), seen.path.as_str()) {
            ("GET", "artifacts/2-1") => Reply::Xml(200, stored.lock().unwrap().clone()),
            ("PUT", "artifacts/2-1") => match accept(&seen.body, before) {
                Ok(keep) => {
                    *stored.lock().unwrap() = keep;
                    Reply::Xml(200, "broken \u{fffd}".into()) // as Clarity answers at times
                }
                Err(reply) => reply,
            },
            _ => Reply::Xml(404, exception("none")),
        })
        .await
    }

    #[tokio::test]
    async fn one_field_changes_and_everything_else_goes_back_as_it_came() {
        let fake = server(|body, _| Ok(body.to_owned())).await;
        fake.client().set_artifact_field(&id(), "Feil", "stoppet: «æøå»").await.unwrap();
        let sent = fake.seen().into_iter().find(|seen| seen.method == "PUT").unwrap().body;
        assert!(sent.is_ascii());
        let mut want = Element::parse(BODY.as_bytes()).unwrap();
        let udf = Udf { kind: UdfKind::String, value: "stoppet: «æøå»".into() };
        put_field(&mut want, "Feil", &udf);
        let sent = Element::parse(sent.as_bytes()).unwrap();
        assert_eq!(sent, want);
        let names: Vec<&str> = sent.elements().map(Element::local).collect();
        assert_eq!(names, ["name", "qc-flag", "field", "field", "field", "unknown", "workflow-stages"]);
        let read = Artifact::read(&sent).unwrap();
        assert_eq!((read.udfs["Blå"].value.as_str(), read.udfs["Reads"].value.as_str()), ("  rød ", "0.50"));
        // Said already: nothing is sent again.
        fake.client().set_artifact_field(&id(), "Feil", "stoppet: «æøå»").await.unwrap();
        assert_eq!(fake.count("PUT", "artifacts/2-1"), 1);
        fake.client().set_artifact_field(&id(), "Feil", "annet").await.unwrap();
        let last = fake.seen().into_iter().rfind(|seen| seen.method == "PUT").unwrap().body;
        assert_eq!(last.matches("name=\"Feil\"").count(), 1);
    }

    #[tokio::test]
    async fn a_field_of_type_text_is_set_too_and_one_that_is_not_configured_is_told_in_the_servers_words() {
        let text_only = |body: &str, _| match body.contains("type=\"Text\"") {
            true => Ok(body.to_owned()),
            false => Err(Reply::Xml(400, exception("UDF is of type Text"))),
        };
        let fake = server(text_only).await;
        fake.client().set_artifact_field(&id(), "Feil", "x").await.unwrap();
        assert_eq!(fake.count("PUT", "artifacts/2-1"), 2);
        let fake = server(|_, _| Err(Reply::Xml(400, exception("UDF Feil is not configured")))).await;
        let refused = fake.client().set_artifact_field(&id(), "Feil", "x").await.unwrap_err().to_string();
        assert_eq!(
            refused,
            "the LIMS refused PUT /api/v2/artifacts/2-1 with 400: UDF Feil is not configured"
        );
    }

    #[tokio::test]
    async fn a_lost_answer_is_looked_into_and_a_lost_field_is_said() {
        let fake =
            server(|body, before| if before == 0 { Err(Reply::Html(504)) } else { Ok(body.to_owned()) })
                .await;
        fake.client().set_artifact_field(&id(), "Feil", "x").await.unwrap();
        assert_eq!(fake.count("PUT", "artifacts/2-1"), 2);
        let fake = server(|body, _| Ok(body.replace("name=\"Reads\"", "name=\"Other\""))).await;
        let lost = crate::chain(&fake.client().set_artifact_field(&id(), "Feil", "x").await.unwrap_err());
        assert!(lost.contains("the field \"Reads\" of 2-1 stood there before"), "{lost}");
        let fake = server(|_, _| Ok(BODY.to_owned())).await;
        let other = crate::chain(&fake.client().set_artifact_field(&id(), "Feil", "x").await.unwrap_err());
        assert!(other.contains("yet other fields than those sent stand there"), "{other}");
    }
}
