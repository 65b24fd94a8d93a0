//! Resources as the API shows them: artifact, demux, sample, project, container, process.
//!
//! Element order is that of the vendor's schema, attributes are those of recorded bodies. What is not there is left
//! out, never sent empty: `parent-process` on a root artifact, `location` on a result file, `project` on a control,
//! `output` in a map without one, `date-run` while a step is open.
//!
//! Traps kept on purpose: artifact addresses carry `?state=`, also when asked without, and a process's map shows
//! another state than the artifact itself; queue rows and placements carry none.

use super::answer::{Answer, Outcome, Refusal, Uris};
use super::settings::Udf;
use super::world::{Artifact, Container, Kind, Process, Project, Researcher, Sample, World};
use super::xml::Element;

pub(super) fn udf_element(udf: &Udf) -> Element {
    Element::new("udf:field").attr("type", udf.kind.word()).attr("name", &udf.name).with_text(&udf.value)
}

/// A `limsid` and `uri` pair.
pub(super) fn link(name: &str, uris: &Uris, kind: &str, id: &str) -> Element {
    Element::new(name).attr("limsid", id).attr("uri", uris.to(format_args!("{kind}/{id}")))
}

/// Where an artifact lies.
pub(super) fn location(uris: &Uris, place: &(String, String)) -> Element {
    let (container, well) = place;
    Element::new("location")
        .child(link("container", uris, "containers", container))
        .child(Element::leaf("value", well))
}

pub(super) fn person(name: &str, uris: &Uris, who: Researcher) -> Element {
    Element::new(name)
        .attr("uri", uris.to(format_args!("researchers/{}", who.id)))
        .child(Element::leaf("first-name", who.first))
        .child(Element::leaf("last-name", who.last))
}

impl World {
    pub(super) fn artifact_document(&self, id: &str, uris: &Uris) -> Result<Element, Refusal> {
        let artifact = self.artifacts.get(id).ok_or_else(|| Refusal::not_found("Artifact", id))?;
        Ok(self.artifact_element(id, artifact, uris))
    }

    fn artifact_element(&self, id: &str, artifact: &Artifact, uris: &Uris) -> Element {
        let config = self.config();
        let stages = artifact.stages.iter().filter_map(|(step, status)| {
            let known = config.step(*step)?;
            let stage = Element::new("workflow-stage").attr("uri", config.stage_uri(uris, *step));
            Some(stage.attr("name", &known.name).attr("status", status.word()))
        });
        let analyte = artifact.kind == Kind::Analyte;
        Element::root("art:artifact", &["udf", "file"])
            .attr("limsid", id)
            .attr("uri", uris.artifact(id, artifact.state))
            .child(Element::leaf("name", &artifact.name))
            .child(Element::leaf("type", artifact.kind.word()))
            .child(Element::leaf("output-type", artifact.kind.word()))
            .maybe(artifact.parent.as_ref().map(|parent| link("parent-process", uris, "processes", parent)))
            .child(Element::leaf("qc-flag", &artifact.qc))
            .maybe(artifact.location.as_ref().map(|place| location(uris, place)))
            .maybe(analyte.then(|| Element::leaf("working-flag", "true")))
            .all(artifact.samples.iter().map(|sample| link("sample", uris, "samples", sample)))
            .all(artifact.labels.iter().map(|label| Element::new("reagent-label").attr("name", label)))
            .maybe(
                artifact.control.then(|| Element::new("control-type").attr("uri", uris.to("controltypes/8"))),
            )
            .all(artifact.udfs.iter().map(udf_element))
            .child(Element::new("workflow-stages").all(stages))
            .maybe(
                (!artifact.pool.is_empty()).then(|| {
                    Element::new("demux").attr("uri", uris.to(format_args!("artifacts/{id}/demux")))
                }),
            )
    }

    /// What is in a pool. An artifact that is no pool has an `artifact` and no `demux`.
    pub(super) fn demux_document(&self, id: &str, uris: &Uris) -> Outcome {
        let pool = self.artifacts.get(id).ok_or_else(|| Refusal::not_found("Artifact", id))?;
        let named = |id: &str, name: &str| {
            Element::new("artifact").attr("uri", uris.to(format_args!("artifacts/{id}"))).attr("name", name)
        };
        let members = pool.pool.iter().filter_map(|member| {
            let found = self.artifacts.get(member)?;
            let samples = found.samples.iter().map(|sample| link("sample", uris, "samples", sample));
            let labels = found.labels.iter().map(|label| Element::new("reagent-label").attr("name", label));
            let element = named(member, &found.name).child(Element::new("samples").all(samples));
            Some(element.child(Element::new("reagent-labels").all(labels)))
        });
        let step = pool.parent.as_ref().map(|parent| {
            let name = self.processes.get(parent).map_or("", |process| process.type_name.as_str());
            Element::new("pool-step").attr("uri", uris.to(format_args!("steps/{parent}"))).attr("name", name)
        });
        let inner = Element::new("demux").maybe(step).child(Element::new("artifacts").all(members));
        let body = Element::root("art:demux", &[])
            .attr("uri", uris.to(format_args!("artifacts/{id}/demux")))
            .child(named(id, &pool.name))
            .maybe((!pool.pool.is_empty()).then_some(inner));
        Ok(Answer::ok(body))
    }

    pub(super) fn sample_document(&self, id: &str, uris: &Uris) -> Result<Element, Refusal> {
        let Sample { name, project, received, artifact, udfs } =
            self.samples.get(id).ok_or_else(|| Refusal::not_found("Sample", id))?;
        let state = self.artifacts.get(artifact).map_or(0, |root| root.state);
        Ok(Element::root("smp:sample", &["udf", "ri", "file"])
            .attr("limsid", id)
            .attr("uri", uris.to(format_args!("samples/{id}")))
            .child(Element::leaf("name", name))
            .child(Element::leaf("date-received", received))
            .maybe(project.as_ref().map(|project| link("project", uris, "projects", project)))
            .child(person("submitter", uris, super::world::API_USER))
            .child(
                Element::new("artifact").attr("limsid", artifact).attr("uri", uris.artifact(artifact, state)),
            )
            .all(udfs.iter().map(udf_element)))
    }

    pub(super) fn project_document(&self, id: &str, uris: &Uris) -> Outcome {
        let Project { name, opened, udfs, .. } =
            self.projects.get(id).ok_or_else(|| Refusal::not_found("Project", id))?;
        Ok(Answer::ok(
            Element::root("prj:project", &["udf", "ri", "file"])
                .attr("limsid", id)
                .attr("uri", uris.to(format_args!("projects/{id}")))
                .child(Element::leaf("name", name))
                .child(Element::leaf("open-date", opened))
                .child(Element::new("researcher").attr("uri", uris.to("researchers/5")))
                .all(udfs.iter().map(udf_element)),
        ))
    }

    pub(super) fn container_document(&self, id: &str, uris: &Uris) -> Result<Element, Refusal> {
        let Container { name, kind, placements } =
            self.containers.get(id).ok_or_else(|| Refusal::not_found("Container", id))?;
        let placed = placements.iter().map(|(artifact, well)| {
            link("placement", uris, "artifacts", artifact).child(Element::leaf("value", well))
        });
        let kind_uri = uris.to(format_args!("containertypes/{}", kind.1));
        Ok(Element::root("con:container", &["udf"])
            .attr("limsid", id)
            .attr("uri", uris.to(format_args!("containers/{id}")))
            .child(Element::leaf("name", name))
            .child(Element::new("type").attr("name", kind.0).attr("uri", kind_uri))
            .child(Element::leaf("occupied-wells", placements.len().to_string()))
            .all(placed)
            .child(Element::leaf("state", if placements.is_empty() { "Empty" } else { "Populated" })))
    }

    pub(super) fn process_document(&self, id: &str, uris: &Uris) -> Outcome {
        let process = self.processes.get(id).ok_or_else(|| Refusal::not_found("Process", id))?;
        let Process { type_name, type_id, date_run, technician, maps, udfs, .. } = process;
        let maps = maps.iter().map(|map| {
            let seen = uris.artifact(&map.input, map.input_state);
            let parent = self.artifacts.get(&map.input).and_then(|input| input.parent.as_ref());
            let input = Element::new("input")
                .attr("limsid", &map.input)
                .attr("uri", &seen)
                .attr("post-process-uri", &seen)
                .maybe(parent.map(|parent| link("parent-process", uris, "processes", parent)));
            let output = map.output.as_ref().and_then(|(output, how)| {
                let found = self.artifacts.get(output)?;
                let element =
                    Element::new("output").attr("limsid", output).attr("output-type", found.kind.word());
                Some(
                    element
                        .attr("output-generation-type", *how)
                        .attr("uri", uris.artifact(output, found.state)),
                )
            });
            Element::new("input-output-map").child(input).maybe(output)
        });
        let kind =
            Element::leaf("type", type_name).attr("uri", uris.to(format_args!("processtypes/{type_id}")));
        Ok(Answer::ok(
            Element::root("prc:process", &["udf", "file"])
                .attr("limsid", id)
                .attr("uri", uris.to(format_args!("processes/{id}")))
                .child(kind)
                .maybe(date_run.as_ref().map(|date| Element::leaf("date-run", date)))
                .child(person("technician", uris, *technician))
                .all(maps)
                .all(udfs.iter().map(udf_element)),
        ))
    }
}
