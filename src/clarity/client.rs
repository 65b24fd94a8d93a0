//! The client's questions: version, configuration, queue, searches, single resources.
//!
//! Every answer is checked against its own question: the thing that comes must be the one that was asked for, since
//! Clarity has been seen to return others. Batches are in [`batch`](super::batch), what changes something is in
//! [`work`](super::work).
use super::connect::Settings;
use super::error::Error;
use super::fault::Fault;
use super::ids::{LimsId, number_in};
use super::lists::{Listing, Queue};
use super::model::{Process, Project};
use super::ns;
use super::pool::Demux;
use super::protocol::{Protocol, ProtocolStep};
use super::read::{Identified, Record, root};
use super::step::{ProgramStatus, Step, StepDetails};
use super::tree::Element;
use super::wire::Wire;
use reqwest::Url;
use std::collections::BTreeSet;

/// Pages of one list that are read at most; at the usual 500 a page, a hundred thousand items.
const MAX_PAGES: usize = 200;

/// A client of Clarity's REST API v2. Cheap to share by reference; it holds no state but connections.
#[derive(Debug)]
pub struct Client {
    pub(super) wire: Wire,
}

impl Client {
    /// Prepares the client; asks nothing yet.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        Ok(Self { wire: Wire::new(settings)? })
    }

    /// The revision of API v2 (`r34`): the first question to ask, as it needs nothing but address and account.
    pub async fn version(&self) -> Result<String, Error> {
        let url = self.wire.root_url();
        let document = self.wire.read(&url).await?;
        let version = |document: &Element| {
            root(document, ns::VERSION, "versions")?;
            let v2 = document.all("version").find(|version| version.attr("major") == Some("v2"));
            let minor = v2.and_then(|version| version.attr("minor")).map(str::to_owned);
            minor.ok_or_else(|| Fault::new("the server does not offer v2 of the API"))
        };
        version(&document).map_err(|fault| Error::malformed(&doing(&url), fault))
    }

    /// A configured step by its protocol's and its own number. [`Error::NotFound`] names the steps that there are.
    pub async fn protocol_step(&self, protocol: u32, step: u32) -> Result<ProtocolStep, Error> {
        let url = self.wire.url(&format!("configuration/protocols/{protocol}"), &[]);
        let found: Protocol = self.fetch(&url).await?;
        let named = |step: &ProtocolStep| format!("{} {}", step.number, step.name.as_deref().unwrap_or("?"));
        let others = found.steps.iter().map(named).collect::<Vec<_>>().join(", ");
        found.steps.into_iter().find(|own| own.number == step).ok_or_else(|| Error::NotFound {
            doing: doing(&url),
            message: Some(format!("the protocol has no step {step}, only: {others}")),
        })
    }

    /// The whole queue of a step: all pages, each artifact once at its earliest time, earliest first.
    pub async fn queue(&self, step: u32) -> Result<Queue, Error> {
        let first = self.wire.url(&format!("queues/{step}"), &[]);
        let mut whole: Option<Queue> = None;
        let mut pages = Pages::new(first);
        while let Some(url) = pages.next()? {
            let page: Queue = self.fetch(&url).await?;
            let other =
                page.protocol_step_uri.as_deref().is_some_and(|uri| number_in(uri, "steps") != Some(step));
            if other {
                let fault = Fault::new(format!("it is the queue of another step than {step}"));
                return Err(Error::malformed(&doing(&url), fault));
            }
            pages.queue(&self.wire, page.next_page.as_deref())?;
            match &mut whole {
                Some(whole) => whole.items.extend(page.items),
                None => whole = Some(page),
            }
        }
        let mut queue =
            whole.ok_or_else(|| Error::malformed("GET /queues", Fault::new("there is no page")))?;
        queue.next_page = None;
        queue.tidy();
        Ok(queue)
    }

    /// A project.
    pub async fn project(&self, id: &LimsId) -> Result<Project, Error> {
        self.one(id, "").await
    }

    /// A process, which is a step as searches find it.
    pub async fn process(&self, id: &LimsId) -> Result<Process, Error> {
        self.one(id, "").await
    }

    /// What is in a pool, taken apart to single libraries.
    pub async fn demux(&self, artifact: &LimsId) -> Result<Demux, Error> {
        self.one(artifact, "/demux").await
    }

    /// Ids of the artifacts that the filters (`samplelimsid`, `process-type`, `type`, `udf.NAME`…) select, all pages.
    /// Fetch them and check each against the filters: the server has been seen to return others too.
    pub async fn find_artifacts(&self, filters: &[(&str, &str)]) -> Result<Vec<LimsId>, Error> {
        self.find("artifacts", filters).await
    }

    /// Ids of the processes, and so of the steps, that the filters (`type`, `inputartifactlimsid`…) select, all pages.
    /// Fetch them and check each against the filters: the server has been seen to return others too.
    pub async fn find_processes(&self, filters: &[(&str, &str)]) -> Result<Vec<LimsId>, Error> {
        self.find("processes", filters).await
    }

    /// A step as it stands.
    pub async fn step(&self, id: &LimsId) -> Result<Step, Error> {
        let url = self.step_url(id, "");
        let step: Step = self.fetch(&url).await?;
        same(&url, id, &step.id)?;
        Ok(step)
    }

    /// A step's inputs and fields.
    pub async fn step_details(&self, id: &LimsId) -> Result<StepDetails, Error> {
        let url = self.step_url(id, "/details");
        let details: StepDetails = self.fetch(&url).await?;
        same(&url, id, &details.step)?;
        Ok(details)
    }

    /// How the last program of a step did; `None` if none ever ran.
    pub async fn program_status(&self, id: &LimsId) -> Result<Option<ProgramStatus>, Error> {
        match self.fetch(&self.step_url(id, "/programstatus")).await {
            Ok(status) => Ok(Some(status)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    pub(super) fn step_url(&self, id: &LimsId, rest: &str) -> Url {
        self.wire.url(&format!("steps/{id}{rest}"), &[])
    }

    /// GET and read one document.
    pub(super) async fn fetch<T: Record>(&self, url: &Url) -> Result<T, Error> {
        let document = self.wire.read(url).await?;
        T::read(&document).map_err(|fault| Error::malformed(&doing(url), fault))
    }

    async fn one<T: Identified>(&self, id: &LimsId, rest: &str) -> Result<T, Error> {
        let url = self.wire.url(&format!("{}/{id}{rest}", T::PATH), &[]);
        let found: T = self.fetch(&url).await?;
        same(&url, id, found.id())?;
        Ok(found)
    }

    pub(super) async fn find(&self, kind: &str, filters: &[(&str, &str)]) -> Result<Vec<LimsId>, Error> {
        let mut pages = Pages::new(self.wire.url(kind, filters));
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        while let Some(url) = pages.next()? {
            let document = self.wire.read(&url).await?;
            let page = Listing::read(&document).map_err(|fault| Error::malformed(&doing(&url), fault))?;
            pages.queue(&self.wire, page.next_page.as_deref())?;
            found.extend(page.ids.into_iter().filter(|id| seen.insert(id.clone())));
        }
        Ok(found)
    }
}

pub(super) fn doing(url: &Url) -> String {
    format!("GET {}", url.path())
}

pub(super) fn same(url: &Url, asked: &LimsId, came: &LimsId) -> Result<(), Error> {
    if asked == came {
        return Ok(());
    }
    Err(Error::malformed(&doing(url), Fault::new(format!("{asked} was asked for and {came} came"))))
}

/// Follows `next-page` as the server gives it, filters and all, to an end that is sure to come.
pub(super) struct Pages {
    first: Url,
    next: Option<Url>,
    seen: BTreeSet<String>,
}

impl Pages {
    pub(super) fn new(first: Url) -> Self {
        Self { next: Some(first.clone()), first, seen: BTreeSet::new() }
    }

    pub(super) fn next(&mut self) -> Result<Option<Url>, Error> {
        let Some(url) = self.next.take() else { return Ok(None) };
        let wrong = |what: String| Err(Error::malformed(&doing(&self.first), Fault::new(what)));
        if self.seen.len() == MAX_PAGES {
            return wrong(format!("the list has more than {MAX_PAGES} pages"));
        }
        if !self.seen.insert(url.to_string()) {
            return wrong("a next-page leads back to a page that was read already".to_owned());
        }
        Ok(Some(url))
    }

    pub(super) fn queue(&mut self, wire: &Wire, uri: Option<&str>) -> Result<(), Error> {
        let next = uri.map(|uri| wire.follow(uri)).transpose();
        let next = next.map_err(|fault| Error::malformed(&doing(&self.first), fault))?;
        if next.as_ref().is_some_and(|next| next.path() != self.first.path()) {
            let fault = Fault::new("a next-page leads to another list");
            return Err(Error::malformed(&doing(&self.first), fault));
        }
        self.next = next;
        Ok(())
    }
}
