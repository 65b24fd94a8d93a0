//! What the readers find in a recorded body, fact by fact, in the words of `scripts/fixture-values`: that script reads
//! the same bodies with another library, and `fixtures_values.txt` is what it found.
use super::*;
use sha2::{Digest as _, Sha256};

type Facts = Vec<String>;

/// A text in quotation marks, or a dash where there is none.
fn said(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| serde_json::to_string(text).unwrap())
}

fn plain<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn id(id: Option<&LimsId>) -> String {
    said(id.map(LimsId::as_str))
}

fn instant(at: Option<jiff::Timestamp>) -> String {
    plain(at.map(|at| at.as_millisecond()))
}

/// A short list entry by entry; of a long one the number, both ends and a digest over all.
fn listed(key: &str, entries: &[String]) -> Facts {
    if entries.len() <= 6 {
        return entries.iter().enumerate().map(|(n, entry)| format!("{key}[{n}]: {entry}")).collect();
    }
    let digest = hex::encode(Sha256::digest(entries.join("\n")));
    let (first, last) = (&entries[0], &entries[entries.len() - 1]);
    vec![format!("{key}: {} from {first} to {last}, sha256 {}", entries.len(), &digest[..16])]
}

fn ids(key: &str, list: &[LimsId]) -> Facts {
    listed(key, &list.iter().map(ToString::to_string).collect::<Facts>())
}

fn udfs(udfs: &Udfs) -> Facts {
    let row = |(name, udf): (&String, &Udf)| {
        format!("{}|{}|{}", said(Some(name)), udf.kind, said(Some(&udf.value)))
    };
    listed("udf", &udfs.iter().map(row).collect::<Facts>())
}

fn place(location: Option<&Location>) -> String {
    location.map_or_else(|| "-".to_owned(), |at| format!("{} {}", at.container, said(at.well.as_deref())))
}

fn maps(maps: &[IoMap]) -> Facts {
    let row = |map: &IoMap| {
        let output = map.output.as_ref().map(|made| {
            format!("|{}|{}|{}", made.id, said(made.kind.as_deref()), said(made.generation.as_deref()))
        });
        format!("{}|{}{}", map.input, id(map.input_parent.as_ref()), output.unwrap_or_default())
    };
    listed("map", &maps.iter().map(row).collect::<Facts>())
}

fn artifact(a: &Artifact) -> Facts {
    let stage = |stage: &Stage| {
        let status = stage.status.as_ref().map(StageStatus::as_str);
        format!("{}|{}|{}", stage.uri, said(stage.name.as_deref()), said(status))
    };
    let mut facts = vec![
        format!("id: {}", a.id),
        format!("name: {}", said(a.name.as_deref())),
        format!("type: {}", said(a.kind.as_deref())),
        format!("parent: {}", id(a.parent_process.as_ref())),
        format!("qc: {}", said(a.qc.as_ref().map(QcFlag::as_str))),
        format!("place: {}", place(a.location.as_ref())),
        format!("working: {}", plain(a.working)),
        format!("control: {}", a.control),
        format!("demux: {}", a.has_demux),
    ];
    facts.extend(ids("sample", &a.samples));
    facts.extend(listed("label", &a.reagent_labels.iter().map(|l| said(Some(l))).collect::<Facts>()));
    facts.extend(udfs(&a.udfs));
    facts.extend(ids("file", &a.files));
    facts.extend(listed("stage", &a.stages.iter().map(stage).collect::<Facts>()));
    facts
}

fn sample(s: &Sample) -> Facts {
    let mut facts = vec![
        format!("id: {}", s.id),
        format!("name: {}", said(s.name.as_deref())),
        format!("received: {}", plain(s.received)),
        format!("completed: {}", plain(s.completed)),
        format!("project: {}", id(s.project.as_ref())),
        format!("artifact: {}", id(s.artifact.as_ref())),
    ];
    facts.extend(udfs(&s.udfs).into_iter().chain(ids("file", &s.files)));
    facts
}

fn project(p: &Project) -> Facts {
    let mut facts = vec![
        format!("id: {}", p.id),
        format!("name: {}", said(p.name.as_deref())),
        format!("opened: {}", plain(p.opened)),
        format!("closed: {}", plain(p.closed)),
        format!("priority: {}", said(p.priority.as_deref())),
    ];
    facts.extend(udfs(&p.udfs).into_iter().chain(ids("file", &p.files)));
    facts
}

fn container(c: &Container) -> Facts {
    let placed = c.placements.iter().map(|p| format!("{}|{}", p.artifact, said(p.well.as_deref())));
    let mut facts = vec![
        format!("id: {}", c.id),
        format!("name: {}", said(c.name.as_deref())),
        format!("type: {}", said(c.kind.as_deref())),
        format!("occupied: {}", plain(c.occupied_wells)),
        format!("state: {}", said(c.state.as_deref())),
    ];
    facts.extend(listed("placed", &placed.collect::<Facts>()).into_iter().chain(udfs(&c.udfs)));
    facts
}

fn process(p: &Process) -> Facts {
    let mut facts = vec![
        format!("id: {}", p.id),
        format!("type: {}", said(p.kind.as_deref())),
        format!("run: {}", plain(p.date_run)),
        format!("protocol: {}", said(p.protocol.as_deref())),
        format!("technician: {}", id(p.technician.as_ref())),
    ];
    facts.extend(maps(&p.maps).into_iter().chain(udfs(&p.udfs)).chain(ids("file", &p.files)));
    facts
}

fn demux(d: &Demux) -> Facts {
    let part = |part: &DemuxPart| {
        let samples: Facts = part.samples.iter().map(ToString::to_string).collect();
        let labels: Facts = part.labels.iter().map(|label| said(Some(label))).collect();
        format!("{}|{}|{}|{}", part.artifact, said(part.name.as_deref()), samples.join(","), labels.join(","))
    };
    let mut facts = vec![format!("id: {}", d.artifact), format!("pool: {}", d.pooled)];
    facts.extend(listed("part", &d.parts.iter().map(part).collect::<Facts>()));
    facts
}

fn queue(q: &Queue) -> Facts {
    let row = |item: &QueueItem| {
        format!("{}|{}|{}", item.id, instant(item.queued_at), place(item.location.as_ref()))
    };
    let mut facts = vec![
        format!("name: {}", said(q.name.as_deref())),
        format!("step: {}", said(q.protocol_step_uri.as_deref())),
        format!("next: {}", said(q.next_page.as_deref())),
    ];
    facts.extend(listed("row", &q.items.iter().map(row).collect::<Facts>()));
    facts
}

fn protocol(p: &Protocol) -> Facts {
    let mut facts = vec![format!("name: {}", said(p.name.as_deref()))];
    let texts =
        |key, list: &[String]| listed(key, &list.iter().map(|one| said(Some(one))).collect::<Facts>());
    for step in &p.steps {
        let (name, kind) = (said(step.name.as_deref()), said(step.process_type.as_deref()));
        facts.push(format!("step: {} {name} {kind}", step.number));
        let ways =
            step.transitions.iter().map(|t| format!("{}|{}", said(t.name.as_deref()), t.next_step_uri));
        facts.extend(listed("to", &ways.collect::<Facts>()));
        facts.extend(texts("kit", &step.required_kits));
        facts.extend(texts("container", &step.permitted_containers));
        facts.extend(texts("field", &step.fields));
        let triggers = step
            .triggers
            .iter()
            .map(|t| [&t.name, &t.kind, &t.point, &t.status].map(|part| said(part.as_deref())).join("|"));
        facts.extend(listed("trigger", &triggers.collect::<Facts>()));
        let switches =
            step.properties.iter().map(|(name, value)| format!("{}|{}", said(Some(name)), said(Some(value))));
        facts.extend(listed("switch", &switches.collect::<Facts>()));
    }
    facts
}

fn step(s: &Step) -> Facts {
    vec![
        format!("id: {}", s.id),
        format!("state: {}", said(Some(s.state.as_str()))),
        format!("configuration: {}", said(s.configuration_uri.as_deref())),
        format!("started: {}", instant(s.started)),
        format!("completed: {}", instant(s.completed)),
        format!("technician: {}", id(s.technician.as_ref())),
        format!("program: {}", s.has_program_status),
    ]
}

fn actions(a: &Actions) -> Facts {
    let row = |next: &NextAction| {
        let action = said(next.action.as_ref().map(ActionWord::as_str));
        let (step, rework) = (said(next.step_uri.as_deref()), said(next.rework_step_uri.as_deref()));
        format!("{}|{action}|{step}|{rework}", next.artifact)
    };
    let mut facts = vec![format!("of: {}", a.step)];
    facts.extend(listed("next", &a.next().iter().map(row).collect::<Facts>()));
    facts
}

fn details(d: &StepDetails) -> Facts {
    let of = vec![format!("of: {}", d.step)];
    of.into_iter().chain(maps(&d.maps)).chain(udfs(&d.fields)).collect()
}

fn program_status(p: &ProgramStatus) -> Facts {
    vec![
        format!("status: {}", said(Some(p.status.as_str()))),
        format!("message: {}", said(p.message.as_deref())),
    ]
}

fn exception(e: &Exception) -> Facts {
    vec![
        format!("code: {}", plain(e.code)),
        format!("message: {}", said(e.message.as_deref())),
        format!("suggested: {}", said(e.suggested.as_deref())),
    ]
}

/// The reader that the root calls for, and what it finds.
pub(super) fn facts(element: &Element) -> Result<(&'static str, Facts), Fault> {
    if let Some(found) = Exception::read(element) {
        return Ok(("exception", exception(&found)));
    }
    if let Ok(found) = Listing::read(element) {
        let mut facts = vec![format!("next: {}", said(found.next_page.as_deref()))];
        facts.extend(ids("id", &found.ids));
        return Ok(("listing", facts));
    }
    Ok(match element.local() {
        "artifact" => ("artifact", artifact(&Artifact::read(element)?)),
        "sample" => ("sample", sample(&Sample::read(element)?)),
        "project" => ("project", project(&Project::read(element)?)),
        "container" => ("container", container(&Container::read(element)?)),
        "process" => ("process", process(&Process::read(element)?)),
        "demux" => ("demux", demux(&Demux::read(element)?)),
        "queue" => ("queue", queue(&Queue::read(element)?)),
        "protocol" => ("protocol", protocol(&Protocol::read(element)?)),
        "step" => ("step", step(&Step::read(element)?)),
        "actions" => ("actions", actions(&Actions::read(element)?)),
        "program-status" => ("program-status", program_status(&ProgramStatus::read(element)?)),
        "details" if element.child("step").is_some() => {
            ("step details", details(&StepDetails::read(element)?))
        }
        "details" => {
            let read = element.elements().map(|one| Artifact::read(one).map(|one| artifact(&one)));
            ("batch", read.collect::<Result<Vec<_>, _>>()?.concat())
        }
        other => return Err(Fault::new(format!("no reader for <{other}>"))),
    })
}

/// Elements, and attributes that are no declarations: nothing was lost on the way into the tree.
pub(super) fn counts(element: &Element) -> (usize, usize) {
    let own =
        element.attributes.iter().filter(|(name, _)| name != "xmlns" && !name.starts_with("xmlns:")).count();
    element.elements().map(counts).fold((1, own), |sum, inner| (sum.0 + inner.0, sum.1 + inner.1))
}
