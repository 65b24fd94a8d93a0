//! Lists: queues, artifacts, processes; filters and pages.
//!
//! A list is cut at the server's page size; `next-page` repeats the filters and may name another host. A start past the
//! end is an empty list. A filter that the resource does not have is refused: a misspelt one that was ignored would
//! return the whole LIMS. Values of a repeated filter are alternatives, different filters must all hold.
//!
//! Queues are listed by container and well, not by time, and may show an artifact twice.

use jiff::Timestamp;

use super::answer::{Answer, Outcome, Refusal, Uris};
use super::resources::{link, location};
use super::settings::Udf;
use super::world::{Artifact, Container, Kind, Process, Project, QueueRow, World, clock_text};
use super::xml::Element;

/// Query parameters in the order given, decoded.
pub(super) type Query = [(String, String)];

const QUEUE_FILTERS: &[&str] = &[
    "workflowname",
    "workflowid",
    "projectname",
    "projectlimsid",
    "containername",
    "containerlimsid",
    "previousstepid",
    "submittedsamplelimsid",
];
const ARTIFACT_FILTERS: &[&str] = &[
    "name",
    "type",
    "process-type",
    "qc-flag",
    "working-flag",
    "sample-name",
    "samplelimsid",
    "containername",
    "containerlimsid",
    "reagent-label",
];
const PROCESS_FILTERS: &[&str] =
    &["type", "inputartifactlimsid", "projectname", "techfirstname", "techlastname", "last-modified"];

/// A resource with one of these filters has fields to filter by, too.
const UDF_FILTERS: [&str; 3] = ["process-type", "inputartifactlimsid", "projectlimsid"];

/// True if for every filter given at least one value fits.
pub(super) fn fits(query: &Query, has: impl Fn(&str, &str) -> bool) -> bool {
    let names = query.iter().map(|(name, _)| name).filter(|name| *name != "start-index");
    let mut names = names.collect::<Vec<_>>();
    names.dedup();
    names.into_iter().all(|name| query.iter().any(|(other, value)| other == name && has(name, value)))
}

pub(super) fn check(query: &Query, known: &[&str]) -> Result<(), Refusal> {
    let strange = query.iter().map(|(name, _)| name.as_str()).find(|name| {
        *name != "start-index"
            && !known.contains(name)
            && !(name.starts_with("udf.") && UDF_FILTERS.iter().any(|list| known.contains(list)))
    });
    strange.map_or(Ok(()), |name| Err(Refusal::bad(format!("Unknown query parameter: {name}"))))
}

/// Puts one page of rows into `body` (into a child called `wrapper`, if one is named) and the page links behind them.
pub(super) fn page(
    body: Element,
    wrapper: Option<&str>,
    rows: Vec<Element>,
    path: &str,
    query: &Query,
    size: usize,
    uris: &Uris,
) -> Outcome {
    let asked = query.iter().find(|(name, _)| name == "start-index").map_or("0", |(_, value)| value.as_str());
    let start: usize =
        asked.parse().map_err(|_| Refusal::bad(format!("start-index is not a number: {asked}")))?;
    let total = rows.len();
    let here = rows.into_iter().skip(start).take(size);
    let body = match wrapper {
        Some(name) => body.child(Element::new(name).all(here)),
        None => body.all(here),
    };
    let turn = |name: &str, index: usize| {
        let filters = query.iter().filter(|(name, _)| name != "start-index");
        let filters: String =
            filters.map(|(name, value)| format!("&{}={}", encoded(name), encoded(value))).collect();
        Element::new(name).attr("uri", format!("{}/{path}?start-index={index}{filters}", uris.paging))
    };
    let before = (start > 0).then(|| turn("previous-page", start.saturating_sub(size)));
    let after = (start + size < total).then(|| turn("next-page", start + size));
    Ok(Answer::ok(body.maybe(before).maybe(after)))
}

/// Query encoding as servers do it: a blank becomes `+`.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

impl World {
    pub(super) fn queue_list(&self, id: &str, query: &Query, uris: &Uris) -> Outcome {
        check(query, QUEUE_FILTERS)?;
        let config = self.config();
        let step =
            id.parse().ok().and_then(|id| config.step(id)).ok_or_else(|| Refusal::not_found("Queue", id))?;
        let rows = self.queues.get(&step.id).map(Vec::as_slice).unwrap_or_default();
        let mut rows: Vec<&QueueRow> = rows.iter().filter(|row| self.queue_row_fits(row, query)).collect();
        rows.sort_by_key(|row| self.artifacts.get(&row.artifact).map(|artifact| artifact.location.clone()));
        let twice = if self.settings.duplicates { 2 } else { 1 };
        let rows =
            rows.into_iter().flat_map(|row| (0..twice).map(move |place| (row, place))).map(|(row, place)| {
                let place_of =
                    self.artifacts.get(&row.artifact).and_then(|artifact| artifact.location.as_ref());
                // The second listing of an artifact is that of another workflow, where it has waited a minute less.
                let since = row.since + jiff::SignedDuration::from_mins(place);
                Element::new("artifact")
                    .attr("uri", uris.to(format_args!("artifacts/{}", row.artifact)))
                    .attr("limsid", &row.artifact)
                    .child(Element::leaf("queue-time", clock_text(since)))
                    .maybe(place_of.map(|place| location(uris, place)))
            });
        let rows = rows.collect();
        let body = Element::root("que:queue", &[])
            .attr("uri", uris.to(format_args!("queues/{id}")))
            .attr("protocol-step-uri", config.step_uri(uris, step.id))
            .attr("name", &step.name);
        page(body, Some("artifacts"), rows, &format!("queues/{id}"), query, self.settings.page_size, uris)
    }

    fn queue_row_fits(&self, row: &QueueRow, query: &Query) -> bool {
        let Some(artifact) = self.artifacts.get(&row.artifact) else { return false };
        let config = self.config();
        fits(query, |name, value| match name {
            "workflowname" => config.workflow_name == value,
            "workflowid" => config.workflow.to_string() == value,
            "previousstepid" => row.previous.is_some_and(|step| step.to_string() == value),
            "submittedsamplelimsid" => artifact.samples.iter().any(|sample| sample == value),
            "projectlimsid" => self.projects_of(artifact).any(|(id, _)| id == value),
            "projectname" => self.projects_of(artifact).any(|(_, name)| name == value),
            _ => self.container_fits(artifact, name, value),
        })
    }

    /// Limsid and name of the projects of an artifact's samples.
    fn projects_of<'a>(&'a self, artifact: &'a Artifact) -> impl Iterator<Item = (&'a str, &'a str)> {
        artifact.samples.iter().filter_map(|sample| {
            let id = self.samples.get(sample)?.project.as_ref()?;
            Some((id.as_str(), self.projects.get(id)?.name.as_str()))
        })
    }

    fn container_fits(&self, artifact: &Artifact, filter: &str, value: &str) -> bool {
        let Some((container, _)) = &artifact.location else { return false };
        match filter {
            "containerlimsid" => container == value,
            "containername" => self.containers.get(container).is_some_and(|found| found.name == value),
            _ => false,
        }
    }

    pub(super) fn artifact_list(&self, query: &Query, uris: &Uris) -> Outcome {
        check(query, ARTIFACT_FILTERS)?;
        let types = query.iter().filter(|(name, _)| name == "type").count();
        if query.iter().any(|(name, _)| name.starts_with("udf.")) && types != 1 {
            return Err(Refusal::bad("A UDF filter needs exactly one artifact type"));
        }
        let rows = self.artifacts.iter().filter(|(_, artifact)| {
            fits(query, |name, value| match name {
                "name" => artifact.name == value,
                "type" => artifact.kind.word() == value,
                "qc-flag" => artifact.qc == value,
                "working-flag" => artifact.kind == Kind::Analyte && value == "true",
                "samplelimsid" => artifact.samples.iter().any(|sample| sample == value),
                "sample-name" => artifact
                    .samples
                    .iter()
                    .any(|id| self.samples.get(id).is_some_and(|sample| sample.name == value)),
                "reagent-label" => artifact.labels.iter().any(|label| label == value),
                "process-type" => self.type_of(artifact.parent.as_ref()) == Some(value),
                _ => match name.strip_prefix("udf.") {
                    Some(field) => artifact.udfs.iter().any(|udf| udf.name == field && udf.value == value),
                    None => self.container_fits(artifact, name, value),
                },
            })
        });
        let rows = rows.map(|(id, _)| link("artifact", uris, "artifacts", id)).collect();
        page(
            Element::root("art:artifacts", &[]),
            None,
            rows,
            "artifacts",
            query,
            self.settings.page_size,
            uris,
        )
    }

    fn type_of(&self, process: Option<&String>) -> Option<&str> {
        self.processes.get(process?).map(|process| process.type_name.as_str())
    }

    pub(super) fn process_list(&self, query: &Query, uris: &Uris) -> Outcome {
        check(query, PROCESS_FILTERS)?;
        for (_, value) in query.iter().filter(|(name, _)| name == "last-modified") {
            let _: Timestamp = value
                .parse()
                .map_err(|_| Refusal::bad(format!("last-modified is not a time with its zone: {value}")))?;
        }
        let rows = self.processes.iter().filter(|(_, process)| {
            fits(query, |name, value| match name {
                "type" => process.type_name == value,
                "inputartifactlimsid" => process.maps.iter().any(|map| map.input == value),
                "projectname" => self.process_has_project(process, value),
                "last-modified" => value.parse::<Timestamp>().is_ok_and(|since| process.modified >= since),
                "techfirstname" => process.technician.first == value,
                "techlastname" => process.technician.last == value,
                _ => {
                    let field = name.strip_prefix("udf.").unwrap_or_default();
                    process.udfs.iter().any(|udf| udf.name == field && udf.value == value)
                }
            })
        });
        let rows = rows.map(|(id, _)| link("process", uris, "processes", id)).collect();
        page(
            Element::root("prc:processes", &[]),
            None,
            rows,
            "processes",
            query,
            self.settings.page_size,
            uris,
        )
    }

    pub(super) fn sample_list(&self, query: &Query, uris: &Uris) -> Outcome {
        check(query, &["name", "projectname", "projectlimsid"])?;
        let rows = self.samples.iter().filter(|(_, sample)| {
            let project = sample.project.as_ref();
            fits(query, |name, value| match name {
                "name" => sample.name == value,
                "projectlimsid" => project.is_some_and(|id| id == value),
                "projectname" => {
                    project.and_then(|id| self.projects.get(id)).is_some_and(|found| found.name == value)
                }
                _ => has_udf(&sample.udfs, name, value),
            })
        });
        let rows = rows.map(|(id, _)| link("sample", uris, "samples", id)).collect();
        page(Element::root("smp:samples", &[]), None, rows, "samples", query, self.settings.page_size, uris)
    }

    pub(super) fn project_list(&self, query: &Query, uris: &Uris) -> Outcome {
        check(query, &["name", "open-date"])?;
        let rows = self.projects.iter().filter(|(_, project)| {
            fits(query, |name, value| match name {
                "name" => project.name == value,
                "open-date" => project.opened == value,
                _ => has_udf(&project.udfs, name, value),
            })
        });
        let named = |(id, project): (&String, &Project)| {
            link("project", uris, "projects", id).child(Element::leaf("name", &project.name))
        };
        let rows = rows.map(named).collect();
        page(Element::root("prj:projects", &[]), None, rows, "projects", query, self.settings.page_size, uris)
    }

    pub(super) fn container_list(&self, query: &Query, uris: &Uris) -> Outcome {
        check(query, &["name", "type"])?;
        let rows = self.containers.iter().filter(|(_, container)| {
            fits(query, |name, value| match name {
                "name" => container.name == value,
                _ => name == "type" && container.kind.0 == value,
            })
        });
        let named = |(id, container): (&String, &Container)| {
            link("container", uris, "containers", id).child(Element::leaf("name", &container.name))
        };
        let rows = rows.map(named).collect();
        page(
            Element::root("con:containers", &[]),
            None,
            rows,
            "containers",
            query,
            self.settings.page_size,
            uris,
        )
    }

    fn process_has_project(&self, process: &Process, name: &str) -> bool {
        let inputs = process.maps.iter().filter_map(|map| self.artifacts.get(&map.input));
        inputs.into_iter().any(|artifact| self.projects_of(artifact).any(|(_, found)| found == name))
    }
}

/// True for a filter `udf.NAME` that this value fits.
fn has_udf(udfs: &[Udf], filter: &str, value: &str) -> bool {
    filter
        .strip_prefix("udf.")
        .is_some_and(|field| udfs.iter().any(|udf| udf.name == field && udf.value == value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_filters_are_alternatives_and_different_ones_add_up() {
        let query = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let has = |name: &str, value: &str| matches!((name, value), ("a", "1") | ("b", "2"));
        assert!(fits(&query(&[]), has));
        assert!(fits(&query(&[("a", "9"), ("a", "1"), ("start-index", "5")]), has));
        assert!(fits(&query(&[("a", "1"), ("b", "2"), ("a", "9")]), has));
        assert!(!fits(&query(&[("a", "1"), ("b", "9")]), has));
    }

    #[test]
    fn filters_in_page_links_are_encoded() {
        assert_eq!(encoded("Run 1030 & æ+"), "Run+1030+%26+%C3%A6%2B");
    }
}
