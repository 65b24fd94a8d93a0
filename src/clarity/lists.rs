//! The lists: a step's queue, the pages of a search, and the exception that may stand in place of either.
//!
//! Lists and queues are cut into pages of a size that only the server knows. An item of a search is an id and nothing
//! else is relied on: the server has been seen to return rows that do not match the query, so what a search found is
//! to be fetched and checked against the search's own criterion.
use super::fault::Fault;
use super::ids::LimsId;
use super::model::Location;
use super::ns;
use super::read::{Record, id, location, word};
use super::tree::Element;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// One artifact in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueItem {
    /// The artifact.
    pub id: LimsId,
    /// Since when; none if the server does not say, or not in a readable way.
    pub queued_at: Option<Timestamp>,
    /// Where it stands.
    pub location: Option<Location>,
}

/// A step's queue, or one page of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Name of the step.
    pub name: Option<String>,
    /// What a new step's configuration must say.
    pub protocol_step_uri: Option<String>,
    /// The artifacts.
    pub items: Vec<QueueItem>,
    /// Where the list goes on, as the server wrote it.
    pub next_page: Option<String>,
}

impl Queue {
    /// Each artifact once, at the earliest time it was queued, earliest first; without a time last. A server may list
    /// one artifact twice and gives the list in no order.
    pub fn tidy(&mut self) {
        let mut kept: BTreeMap<LimsId, QueueItem> = BTreeMap::new();
        for item in self.items.drain(..) {
            match kept.get_mut(&item.id) {
                Some(before) if rank(&item) < rank(before) => *before = item,
                Some(_) => {}
                None => drop(kept.insert(item.id.clone(), item)),
            }
        }
        self.items = kept.into_values().collect();
        self.items.sort_by_key(rank);
    }
}

fn rank(item: &QueueItem) -> (Timestamp, LimsId) {
    (item.queued_at.unwrap_or(Timestamp::MAX), item.id.clone())
}

/// One page of a search: ids only, whatever the kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The ids, in the server's order.
    pub ids: Vec<LimsId>,
    /// Where the list goes on, as the server wrote it.
    pub next_page: Option<String>,
}

/// What the server says instead of an answer. All parts are optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exception {
    /// Its own idea of the HTTP status.
    pub code: Option<u16>,
    /// What is wrong.
    pub message: Option<String>,
    /// What to do, in its opinion.
    pub suggested: Option<String>,
}

pub(super) fn next_page(element: &Element) -> Option<String> {
    element.child("next-page").and_then(|page| page.attr("uri")).map(str::to_owned)
}

impl Record for Queue {
    const NAMESPACE: &'static str = ns::QUEUE;
    const ROOT: &'static str = "queue";
    const PATH: &'static str = "queues";

    fn from_element(e: &Element) -> Result<Self, Fault> {
        let mut items = Vec::new();
        for item in e.child("artifacts").into_iter().flat_map(|list| list.all("artifact")) {
            // The time only orders the work: an unreadable one must not stop the queue.
            let queued_at = word(item, "queue-time").and_then(|time| time.parse::<Timestamp>().ok());
            items.push(QueueItem { id: id(item, "artifacts")?, queued_at, location: location(item)? });
        }
        Ok(Self {
            name: e.attr("name").map(str::to_owned),
            protocol_step_uri: e.attr("protocol-step-uri").map(str::to_owned),
            items,
            next_page: next_page(e),
        })
    }
}

/// The lists that a search gives: root, name of an item, `kind` in its URI.
const LISTS: [(&str, &str, &str, &str); 7] = [
    (ns::ARTIFACT, "artifacts", "artifact", "artifacts"),
    (ns::SAMPLE, "samples", "sample", "samples"),
    (ns::CONTAINER, "containers", "container", "containers"),
    (ns::PROCESS, "processes", "process", "processes"),
    (ns::PROJECT, "projects", "project", "projects"),
    (ns::RESEARCHER, "researchers", "researcher", "researchers"),
    (ns::RI, "links", "link", ""),
];

impl Listing {
    /// Reads a page of any of the searches' lists, or a list of links.
    pub fn read(e: &Element) -> Result<Self, Fault> {
        let Some((.., item, kind)) = LISTS.iter().find(|(namespace, root, ..)| e.is(namespace, root)) else {
            return Err(Fault::new(format!("<{}> is not a list", e.name())));
        };
        let mut ids = Vec::new();
        for item in e.all(item) {
            // A link's kind is its `rel`.
            let kind = if kind.is_empty() { item.attr("rel").unwrap_or_default() } else { kind };
            ids.push(id(item, kind)?);
        }
        Ok(Self { ids, next_page: next_page(e) })
    }
}

impl Exception {
    /// Reads the server's refusal, under whatever namespace it puts it; `None` if this is something else.
    pub fn read(e: &Element) -> Option<Self> {
        (e.local() == "exception").then(|| Self {
            code: e.attr("code").and_then(|code| code.trim().parse().ok()),
            message: word(e, "message"),
            suggested: word(e, "suggested-actions"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, at: Option<&str>) -> QueueItem {
        let queued_at = at.map(|at| at.parse().unwrap());
        QueueItem { id: LimsId::new(id).unwrap(), queued_at, location: None }
    }

    #[test]
    fn a_queue_is_tidied_to_one_entry_each_earliest_first() {
        let (late, early) = (Some("2026-03-01T10:00:00.5+01:00"), Some("2026-03-01T09:00:00.4Z"));
        let items = vec![
            item("N", None),
            item("B", late),
            item("A", late),
            item("B", None),
            item("B", early),
            item("N", None),
        ];
        let mut queue = Queue { name: None, protocol_step_uri: None, items, next_page: None };
        queue.tidy();
        assert_eq!(queue.items, [item("B", early), item("A", late), item("N", None)]);
    }

    fn tree(body: &str) -> Element {
        Element::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_queue_page_is_read_with_what_it_leaves_out() {
        let page = r#"<que:queue xmlns:que="http://genologics.com/ri/queue" name="Export" uri="https://h/api/v2/queues/60"
          protocol-step-uri="https://h/api/v2/configuration/protocols/54/steps/60"><artifacts>
          <artifact limsid="A1PA1"><queue-time>2026-06-24T15:31:14.280+01:00</queue-time>
            <location><container limsid="27-1"/><value>A:1</value></location></artifact>
          <artifact uri="https://h/api/v2/artifacts/2-5?state=3"><queue-time>soon</queue-time></artifact>
          </artifacts><next-page uri="https://h/api/v2/queues/60?start-index=2&amp;a=b"/></que:queue>"#;
        let mut first = item("A1PA1", Some("2026-06-24T14:31:14.28Z"));
        first.location =
            Some(Location { container: LimsId::new("27-1").unwrap(), well: Some("A:1".to_owned()) });
        assert_eq!(
            Queue::read(&tree(page)).unwrap(),
            Queue {
                name: Some("Export".into()),
                protocol_step_uri: Some("https://h/api/v2/configuration/protocols/54/steps/60".into()),
                items: vec![first, item("2-5", None)],
                next_page: Some("https://h/api/v2/queues/60?start-index=2&a=b".into()),
            }
        );
        let none = Queue::read(&tree(r#"<q:queue xmlns:q="http://genologics.com/ri/queue"/>"#)).unwrap();
        assert_eq!(none.items, []);
    }

    #[test]
    fn searches_and_links_give_ids() {
        let ids =
            |body| Listing::read(&tree(body)).unwrap().ids.into_iter().map(String::from).collect::<Vec<_>>();
        let found = r#"<p:processes xmlns:p="http://genologics.com/ri/process"><process limsid="24-1"/>
            <process uri="https://h/api/v2/processes/24-2"/></p:processes>"#;
        assert_eq!(ids(found), ["24-1", "24-2"]);
        let links = r#"<ri:links xmlns:ri="http://genologics.com/ri"><link rel="artifacts"
            uri="https://h/api/v2/artifacts/2-1?state=9"/></ri:links>"#;
        assert_eq!(ids(links), ["2-1"]);
        let other = tree(r#"<p:process xmlns:p="http://genologics.com/ri/process" limsid="24-1"/>"#);
        assert_eq!(Listing::read(&other).unwrap_err().to_string(), "<p:process> is not a list");
    }

    #[test]
    fn an_exception_is_known_with_and_without_its_parts() {
        let full = r#"<exc:exception xmlns:exc="http://genologics.com/ri/exception" category="x" code="400">
            <message>Sample not found: X</message><suggested-actions> Ask for another </suggested-actions></exc:exception>"#;
        let read = Exception::read(&tree(full)).unwrap();
        assert_eq!(read.code, Some(400));
        assert_eq!(read.message.as_deref(), Some("Sample not found: X"));
        assert_eq!(read.suggested.as_deref(), Some("Ask for another"));
        assert_eq!(Exception::read(&tree("<exception/>")), Some(Exception::default()));
        assert_eq!(Exception::read(&tree("<step/>")), None);
    }
}
