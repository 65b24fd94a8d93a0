//! `POST /{artifacts|samples|containers}/batch/retrieve`.
//!
//! Hard on the asker, as documented: every address once (two states of one artifact are the same one), one kind per
//! call, one bad address spoils the whole call. The answer comes in an order of its own, never that of the question.

use super::answer::{Answer, Outcome, Refusal, Uris};
use super::read::Received;
use super::world::World;
use super::xml::Element;

impl World {
    /// `kind` is the path part: `artifacts`, `samples` or `containers`.
    pub(super) fn batch(&mut self, kind: &str, body: &Received, uris: &Uris) -> Outcome {
        if !body.is("ri:links") {
            return Err(Refusal::bad("The request is not a list of links (ri:links)"));
        }
        let mut ids: Vec<String> = Vec::new();
        for link in body.children("link") {
            let uri = link.attr("uri").unwrap_or_default();
            let id =
                uris.id(kind, uri).ok_or_else(|| Refusal::bad(format!("Not a link to {kind}: {uri}")))?;
            if ids.contains(&id) {
                return Err(Refusal::bad(format!("Duplicate link in batch request: {uri}")));
            }
            ids.push(id);
        }
        if ids.is_empty() {
            return Err(Refusal::bad("The batch request has no links"));
        }
        if ids.len() > self.settings.batch_limit {
            return Err(Refusal::new(413, format!("Batch of {} links is too large", ids.len())));
        }
        let mut found = Vec::new();
        for id in self.shuffled(ids) {
            let element = match kind {
                "artifacts" => self.artifact_document(&id, uris),
                "samples" => self.sample_document(&id, uris),
                _ => self.container_document(&id, uris),
            };
            // The call has no 404 of its own: what cannot be found is a fault of the request.
            found.push(element.map_err(|refusal| Refusal { status: 400, ..refusal })?);
        }
        let (root, others): (_, &[&str]) = match kind {
            "artifacts" => ("art:details", &["udf", "file"]),
            "samples" => ("smp:details", &["udf", "ri", "file"]),
            _ => ("con:details", &["udf"]),
        };
        for element in &mut found {
            element.attributes.retain(|(name, _)| !name.starts_with("xmlns:"));
        }
        Ok(Answer { status: self.settings.batch_status, body: Some(Element::root(root, others).all(found)) })
    }

    /// In any order but the one given.
    fn shuffled(&mut self, given: Vec<String>) -> Vec<String> {
        let mut list = given.clone();
        for place in (1..list.len()).rev() {
            let other = self.roll() % (place as u64 + 1);
            list.swap(place, usize::try_from(other).unwrap_or(0));
        }
        if list == given && list.len() > 1 {
            list.swap(0, 1);
        }
        list
    }
}
