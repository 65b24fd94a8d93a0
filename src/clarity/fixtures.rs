//! Every recorded body must be read by the reader that its root element calls for, to the values that another XML library
//! found in it (`scripts/fixture-values`), and go back as it came.
//!
//! The bodies lie outside the project, in the folder named by `TSD_IMPORT_FIXTURES` or in `../shared/fixtures/clarity`;
//! without it the tests say SKIPPED and pass. Bodies that no reader takes are listed by name, with the reason: a new one
//! must be read or be added there.
use super::fixtures_facts::{counts, facts};
use super::*;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Made by `scripts/fixture-values`.
const VALUES: &str = include_str!("fixtures_values.txt");

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
const ONLY_TREES: [(&str, &str); 20] = [
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
    ("PLACEMENT_XML", "placements: only for steps with outputs"),
    ("step_pools_xml", "pools: only for steps with outputs"),
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

/// All bodies, placeholders filled, by their path below the folder; `None`, said loudly, without the folder.
fn bodies() -> Option<BTreeMap<String, Element>> {
    let folder = folder();
    if !folder.is_dir() {
        let told = writeln!(std::io::stderr(), "SKIPPED: no recorded bodies at {}", folder.display());
        told.unwrap();
        return None;
    }
    let mut bodies = BTreeMap::new();
    for entry in walkdir::WalkDir::new(&folder) {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(&folder).unwrap().display().to_string();
        if path.ends_with(".xml") || path.ends_with(".xml.txt") {
            let text = filled(&std::fs::read_to_string(entry.path()).unwrap(), &path);
            let tree =
                Element::parse(text.trim().as_bytes()).unwrap_or_else(|fault| panic!("{path}: {fault}"));
            drop(bodies.insert(path, tree));
        }
    }
    Some(bodies)
}

/// What is found in a body, in the words of `scripts/fixture-values`.
fn told(path: &str, tree: &Element) -> Vec<String> {
    let (elements, attributes) = counts(tree);
    let mut told = vec![format!("tree: {elements} elements, {attributes} attributes")];
    let excused = ONLY_TREES.iter().any(|(name, _)| path.contains(name));
    match facts(tree) {
        Ok((kind, _)) if excused => panic!("{path} is excused, yet reads as {kind}"),
        Ok((kind, found)) => told.extend([format!("kind: {kind}")].into_iter().chain(found)),
        Err(_) if excused => told.push("kind: tree only".to_owned()),
        Err(fault) => panic!("{path}: {fault}"),
    }
    told
}

#[test]
fn recorded_bodies_have_these_values() {
    let Some(bodies) = bodies() else { return };
    let wanted: BTreeMap<&str, Vec<&str>> = VALUES
        .split("# ")
        .skip(1)
        .map(|section| {
            let mut lines = section.lines();
            (lines.next().unwrap(), lines.collect())
        })
        .collect();
    let (known, found): (Vec<&str>, Vec<&str>) =
        (wanted.keys().copied().collect(), bodies.keys().map(String::as_str).collect());
    assert_eq!(found, known, "after a change of the folder: scripts/fixture-values");
    for (path, tree) in &bodies {
        assert_eq!(told(path, tree), wanted[path.as_str()], "{path}");
    }
}

#[test]
fn recorded_bodies_go_back_as_they_came() {
    let Some(bodies) = bodies() else { return };
    for (path, tree) in &bodies {
        let written = Element::parse(&tree.to_bytes()).unwrap();
        assert_eq!(written, *tree, "{path}");
        assert_eq!(told(path, &written), told(path, tree), "{path}");
        // What is PUT: unchanged, it says what was got.
        if let Ok(details) = StepDetails::read(tree) {
            // A list of fields that was not there is sent as an empty one.
            let mut sent = details.document();
            if tree.child("fields").is_none() {
                assert!(
                    matches!(sent.children.pop(), Some(Node::Element(last)) if last == Element::new("fields"))
                );
            }
            assert_eq!(sent, *tree, "{path}");
        }
        if let Ok(actions) = Actions::read(tree) {
            assert_eq!(actions.document(), tree, "{path}");
        }
        if let Ok(step) = Step::read(tree) {
            assert_eq!(step.document(), tree, "{path}");
        }
    }
}

#[test]
fn a_changed_action_is_all_that_changes_in_a_recorded_document() {
    let Some(bodies) = bodies() else { return };
    let mut tried = 0;
    for (path, tree) in &bodies {
        let Ok(before) = Actions::read(tree) else { continue };
        let mut after = before.clone();
        let first = before.next().remove(0).artifact;
        after.set(|artifact| if *artifact == first { Action::Remove } else { Action::Complete });
        let sent = Actions::read(&Element::parse(&after.document().to_bytes()).unwrap()).unwrap();
        for (was, is) in before.next().iter().zip(sent.next()) {
            let wanted = if was.artifact == first { ActionWord::Remove } else { ActionWord::Complete };
            assert_eq!((&is.artifact, is.action), (&was.artifact, Some(wanted)), "{path}");
            assert_eq!((is.step_uri, is.rework_step_uri), (None, None), "{path}");
        }
        assert_eq!(sent.document().child("escalation"), tree.child("escalation"), "{path}");
        assert_eq!(sent.document().child("configuration"), tree.child("configuration"), "{path}");
        tried += 1;
    }
    assert_eq!(tried, 3);
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
