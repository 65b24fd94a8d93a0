//! Every recorded body must be readable by the reader that its root element calls for, and go back as it came.
//!
//! The bodies lie outside the project, in the folder named by `TSD_IMPORT_FIXTURES` or in `../shared/fixtures/clarity`;
//! without it the test says so and passes. Bodies that no reader takes are listed by name, with the reason: a new one
//! must be read or be added there.
use super::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Placeholders that the string literals of other projects' tests have in place of values.
const FILLED: [(&str, &str); 10] = [
    ("{url}/api/v2", "https://lims.example/api/v2"),
    ("{url}", "https://lims.example/api/v2"),
    ("{stepid}", "24-1"),
    ("{container}", "27-1"),
    ("{loc1}", "1:1"),
    ("{loc2}", "1:2"),
    ("{s1}", "A1"),
    ("{s2}", "A2"),
    ("{next_page}", ""),
    ("http://pyclarity_lims.com/ri", "http://genologics.com/ri"), // a slip of that project: no server says so
];

/// Well-formed, kept whole, but not read into a value: part of the file name, and why.
const ONLY_TREES: [(&str, &str); 18] = [
    ("configuration_protocols.xml", "list of protocols: configuration names them by number"),
    ("crick/protocols.xml", "list of protocols: configuration names them by number"),
    ("configuration_workflows.xml", "list of workflows: stages are named in configuration"),
    ("crick/workflows.xml", "list of workflows: stages are named in configuration"),
    ("configuration_workflows_56.xml", "a workflow: stages are named in configuration"),
    ("crick/workflow.xml", "a workflow: stages are named in configuration"),
    ("test_descriptors.L144.L144", "a fragment under an invented root, of two artifacts"),
    ("test_descriptors.L154.L154", "a fragment under an invented root, of two artifacts"),
    ("test_descriptors.L253.L253", "a fragment under an invented root, of fields"),
    ("test_descriptors.L260.L260", "a fragment under an invented root, of fields"),
    ("test_descriptors.L647.L647", "a fragment under an invented root, of an input-output-map"),
    ("test_entities.data.L305", "step-creation is only sent"),
    ("test_entities.data.L334", "step-creation is only sent"),
    ("test_entities.data.L461", "samplecreation is not used"),
    ("generic_sample_creation_xml", "samplecreation is not used"),
    ("sample_links.L245", "its links are bare words and no URIs"),
    ("WORKFLOW_STAGE_HISTORY_XML", "a fragment of an artifact"),
    ("placements_xml", "placements: only for steps with outputs"),
];

fn folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures/clarity");
    std::env::var_os("TSD_IMPORT_FIXTURES").map_or_else(beside, PathBuf::from)
}

fn filled(text: &str, path: &str) -> String {
    let text = FILLED.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    // The queue pages of one project have an invented root.
    let queue = ["test_descriptors.L845", "test_descriptors.L858", "test_descriptors.L871", "queue_txt"];
    match queue.iter().any(|name| path.contains(name)) {
        true => text
            .replace("<test-entry>", "<que:queue xmlns:que=\"http://genologics.com/ri/queue\">")
            .replace("</test-entry>", "</que:queue>"),
        false => text,
    }
}

/// Which reader took the body.
fn read(element: &Element) -> Result<&'static str, Fault> {
    if let Some(exception) = Exception::read(element) {
        assert!(exception.message.is_none_or(|message| message == "Generic error message"));
        return Ok("exception");
    }
    if Listing::read(element).is_ok() {
        return Ok("listing");
    }
    match element.local() {
        "artifact" => Artifact::read(element).map(|_| "artifact"),
        "sample" => Sample::read(element).map(|_| "sample"),
        "project" => Project::read(element).map(|_| "project"),
        "container" => Container::read(element).map(|_| "container"),
        "process" => Process::read(element).map(|_| "process"),
        "demux" => Demux::read(element).map(|_| "demux"),
        "queue" => Queue::read(element).map(|_| "queue"),
        "protocol" => Protocol::read(element).map(|_| "protocol"),
        "step" => Step::read(element).map(|_| "step"),
        "actions" => Actions::read(element).map(|_| "actions"),
        "program-status" => ProgramStatus::read(element).map(|_| "program-status"),
        "details" if element.child("step").is_some() => StepDetails::read(element).map(|_| "step details"),
        "details" => element.elements().try_for_each(|one| Artifact::read(one).map(drop)).map(|()| "batch"),
        other => Err(Fault::new(format!("no reader for <{other}>"))),
    }
}

#[test]
fn every_recorded_body_is_read_and_goes_back_as_it_came() {
    let folder = folder();
    if !folder.is_dir() {
        #[allow(clippy::print_stdout)]
        {
            println!("ignored: fixtures absent ({})", folder.display());
        }
        return;
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in walkdir::WalkDir::new(&folder).sort_by_file_name() {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(&folder).unwrap().display().to_string();
        if !path.ends_with(".xml") && !path.ends_with(".xml.txt") {
            continue;
        }
        let text = filled(&std::fs::read_to_string(entry.path()).unwrap(), &path);
        let tree =
            Element::parse(text.trim_start().as_bytes()).unwrap_or_else(|fault| panic!("{path}: {fault}"));
        assert_eq!(Element::parse(&tree.to_bytes()).unwrap(), tree, "{path}");
        let excused = ONLY_TREES.iter().any(|(name, _)| path.contains(name))
            || path.contains("step_pools_xml")
            || path.contains("PLACEMENT_XML"); // pools and placements: only for steps with outputs
        let kind = match read(&tree) {
            Ok(kind) if excused => panic!("{path} is excused, yet reads as {kind}"),
            Ok(kind) => kind,
            Err(_) if excused => "tree only",
            Err(fault) => panic!("{path}: {fault}"),
        };
        *counts.entry(kind).or_default() += 1;
    }
    assert_eq!(counts.values().sum::<usize>(), 77, "{counts:?}");
}

/// Values of real bodies that are known from looking at them.
#[test]
fn recorded_bodies_say_what_they_say() {
    let folder = folder();
    if !folder.is_dir() {
        return;
    }
    let tree = |name: &str| Element::parse(&std::fs::read(folder.join(name)).unwrap()).unwrap();
    let mut queue = Queue::read(&tree("crick/queue_step.xml")).unwrap();
    assert_eq!((queue.items.len(), queue.name.as_deref()), (37, Some("T Samples Pending")));
    queue.tidy();
    assert!(queue.items.len() == 37 && queue.items.is_sorted_by_key(|item| item.queued_at));
    assert_eq!(Queue::read(&tree("crick-recorded/queues_60.xml")).unwrap().items, []);
    let artifact = Artifact::read(&tree("crick-recorded/artifacts_2-8332743_state=5959893.xml")).unwrap();
    assert_eq!((artifact.samples.len(), artifact.reagent_labels.len()), (4, 4));
    assert!(artifact.has_demux && artifact.stages.iter().any(|s| s.status == Some(StageStatus::Removed)));
    let sample = Sample::read(&tree("crick-recorded/samples_VIV6902A1.xml")).unwrap();
    assert_eq!(sample.udfs["Submitted Sample Conc. (ng/ul)"].value, "202.6464");
    assert_eq!(sample.artifact.unwrap().as_str(), "VIV6902A1PA1");
    let protocol = Protocol::read(&tree("crick/protocol.xml")).unwrap();
    assert_eq!(protocol.steps[0].transitions[0].name.as_deref(), Some("T Aggregate QC 4.0"));
    assert!(!protocol.steps[0].needs_signature() && protocol.steps.last().unwrap().is_last());
    let demux =
        Demux::read(&tree("inline/s4.test_artifact.ARTIFACT_DEMUX_POOL_OF_POOLS.L135.xml.txt")).unwrap();
    let parts: Vec<_> = demux.parts.iter().map(|part| part.artifact.as_str()).collect();
    assert_eq!(parts, ["2-1017", "2-621", "2-623"]);
}
