use super::*;
use crate::clarity::{Action, Field, ProtocolStep, Transition, Trigger, UdfKind};
use crate::demo::lims::{Field as Configured, Program, ProgramOutcome, UdfKind as Kind};
use crate::nsc::exporter::preflight::{Answer, of_the_step, required, reviewer, written};

fn step() -> ProtocolStep {
    ProtocolStep {
        number: 1601,
        uri: "https://h/api/v2/configuration/protocols/901/steps/1601".into(),
        name: Some("Lims exporter diag".into()),
        process_type: Some("Lims exporter diag".into()),
        transitions: Vec::new(),
        permitted_containers: Vec::new(),
        required_kits: Vec::new(),
        fields: vec!["Export key".into(), "Comment".into()],
        triggers: Vec::new(),
        properties: BTreeMap::new(),
    }
}

fn to(number: u32, name: &str) -> Transition {
    let next_step_uri = format!("https://h/api/v2/configuration/protocols/901/steps/{number}");
    Transition { name: Some(name.into()), next_step_uri }
}

/// The configuration of a site, changed.
pub(super) fn nsc(more: &[(&str, &str)]) -> crate::conf::NscConf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/nsc.toml");
    let more = more.iter().map(|(key, value)| (format!("TSD_IMPORT__{key}"), (*value).to_owned()));
    match Conf::load_with(Some(&file), None, more).unwrap().side {
        Side::Nsc(nsc) => *nsc,
        Side::Tsd(_) => panic!("conf/nsc.toml is of role nsc"),
    }
}

/// Faults and remarks about a step, as `what: text`.
fn about(step: &ProtocolStep, more: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let nsc = nsc(more);
    let (mut faults, mut remarks) = (Vec::new(), Vec::new());
    for Check { what, verdict } in of_the_step(step, &nsc.lims, &nsc.orders) {
        match verdict {
            Verdict::Fault(why) => faults.push(format!("{what}: {why}")),
            Verdict::Remark(why) => remarks.push(format!("{what}: {why}")),
            _ => {}
        }
    }
    (faults, remarks)
}

#[test]
fn whatever_keeps_the_step_from_being_worked_with_is_said_with_the_remedy() {
    assert_eq!(about(&step(), &[]), (vec![], vec![]));
    let only = |step: &ProtocolStep, more: &[(&str, &str)]| {
        let (faults, _) = about(step, more);
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults.into_iter().next().unwrap()
    };
    let renamed = only(&ProtocolStep { name: Some("Export 3".into()), ..step() }, &[]);
    assert!(renamed.contains("\"Export 3\"") && renamed.contains("\"Lims exporter diag\""), "{renamed}");
    let signed = BTreeMap::from([("eSignatureRequired".to_owned(), "true".to_owned())]);
    let signed = only(&ProtocolStep { properties: signed, ..step() }, &[]);
    assert!(signed.contains("ask the laboratory to switch it off"), "{signed}");
    let tubes = only(&ProtocolStep { permitted_containers: vec!["Tube".into()], ..step() }, &[]);
    assert!(tubes.contains("(Tube)") && tubes.contains("step type without outputs"), "{tubes}");
    let kits = only(&ProtocolStep { required_kits: vec!["Kit A".into()], ..step() }, &[]);
    assert!(kits.contains("lots of Kit A"), "{kits}");
    let two = ProtocolStep { transitions: vec![to(5, "Archive"), to(6, "Report")], ..step() };
    let two = only(&two, &[]);
    assert!(two.contains("5 \"Archive\", 6 \"Report\""), "{two}");
    let failed = ProtocolStep { transitions: vec![to(7, "Failed")], ..step() };
    let failed = only(&failed, &[("LIMS__FAILED_STEP", "7")]);
    assert!(failed.contains("leads only to 7 \"Failed\""), "{failed}");
    let by_step = [("ORDERS__ON_FAILURE", "failed-step"), ("LIMS__FAILED_STEP", "8")];
    let nowhere = only(&step(), &by_step);
    assert!(nowhere.contains("does not lead to step 8 (it leads nowhere)"), "{nowhere}");
    let itself = only(&step(), &[("LIMS__FAILED_STEP", "60")]);
    assert!(itself.contains("come back for ever"), "{itself}");
}

#[test]
fn what_works_but_should_be_known_is_a_remark() {
    let trigger = Trigger {
        name: Some("Notify".into()),
        kind: Some("AUTOMATIC".into()),
        point: Some("AFTER".into()),
        status: Some("RECORD_DETAILS".into()),
    };
    let properties = BTreeMap::from([("eppLocksNextSteps".to_owned(), "true".to_owned())]);
    let busy = ProtocolStep { triggers: vec![trigger], properties, ..step() };
    let (faults, remarks) = about(&busy, &[]);
    assert_eq!((faults.len(), remarks.len()), (0, 2));
    assert!(remarks[0].starts_with(
        "program \"Notify\": runs by itself (RECORD_DETAILS AFTER): each step waits for it, at most 300s"
    ));
    let routed =
        [("LIMS__FAILED_STEP", "8"), ("LIMS__FAILED_STAGE", "7/9"), ("ORDERS__ON_FAILURE", "failed-step")];
    let (faults, remarks) = about(&step(), &routed);
    assert!(faults.is_empty() && remarks[0].contains("put into stage 9 of workflow 7"), "{remarks:?}");
}

#[test]
fn what_is_delivered_goes_on_only_where_that_is_plain() {
    let lims = nsc(&[("LIMS__FAILED_STEP", "7")]).lims;
    let way = |transitions| plan::onward(&ProtocolStep { transitions, ..step() }, &lims);
    assert_eq!(way(vec![]), Ok(Action::Complete));
    let five = to(5, "Archive");
    assert_eq!(way(vec![to(7, "Failed"), five.clone()]), Ok(Action::NextStep(five.next_step_uri.clone())));
    assert!(way(vec![to(7, "Failed")]).is_err() && way(vec![five, to(6, "Report")]).is_err());
}

#[test]
fn a_password_that_others_can_read_is_refused_before_anything_is_sent() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut nsc = nsc(&[]);
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o640)).unwrap();
    nsc.lims.password_file = file.path().to_owned();
    let why = Exporter::new(&nsc).err().unwrap();
    assert!(why.contains("has mode 0640") && why.contains("chmod 600"), "{why}");
}

fn field(name: &str, kind: UdfKind, required: bool) -> Field {
    let presets = Vec::new();
    Field { name: name.into(), kind, required, presets, others: true, has_default: false }
}

#[test]
fn fields_and_people_that_cannot_serve_are_faults() {
    let lims = nsc(&[("LIMS__KEY_FIELD", "Export key")]).lims;
    let fault = |check: Check| matches!(check.verdict, Verdict::Fault(_));
    let must = |fields| required(&step(), &lims, &Answer::There(fields));
    assert!(fault(must(vec![field("Comment", UdfKind::String, true)])));
    assert!(!fault(must(vec![
        field("Export key", UdfKind::String, true),
        field("Comment", UdfKind::String, false)
    ])));
    assert!(!fault(must(vec![Field { has_default: true, ..field("Comment", UdfKind::String, true) }])));
    assert!(!fault(must(vec![field("Not on the screen", UdfKind::String, true)])));
    let written = |answer| written("lims.failure_field", "F", "Analyte", &answer);
    assert!(fault(written(Answer::There(vec![]))));
    assert!(fault(written(Answer::There(vec![field("F", UdfKind::Numeric, false)]))));
    assert!(fault(written(Answer::There(vec![Field {
        others: false,
        ..field("F", UdfKind::String, false)
    }]))));
    assert!(!fault(written(Answer::There(vec![field("F", UdfKind::Text, false)]))));
    assert!(matches!(written(Answer::Unknown("403".into())).verdict, Verdict::Unknown(_)));
    let person = |username: Option<&str>, locked| {
        let id = LimsId::new("64").unwrap();
        let found = crate::clarity::Researcher { id, username: username.map(str::to_owned), locked };
        reviewer(64, &Answer::There(found))
    };
    assert!(
        fault(person(None, false)) && fault(person(Some("ada"), true)) && !fault(person(Some("ada"), false))
    );
}

#[test]
fn offered_values_and_the_configured_words_are_compared() {
    let lims = nsc(&[]).lims;
    let offers = |name: &str, words: &[&str], others| Field {
        presets: words.iter().map(|w| (*w).to_owned()).collect(),
        others,
        ..field(name, UdfKind::String, false)
    };
    let verdict = |field: &Field| fields::priorities(&lims, field).verdict;
    assert!(matches!(verdict(&offers("P", &["URGENT", "Normal"], false)), Verdict::Fine(_)));
    let Verdict::Fault(why) = verdict(&offers("P", &["Hast", "Normal"], false)) else { panic!() };
    assert_eq!(why, "\"P\" offers \"Hast\", which samples would wait with: add it to lims.priorities");
    assert!(matches!(verdict(&offers("P", &[], true)), Verdict::Unknown(_)));
    let verdict = |field: &Field| fields::relations(&lims, field).verdict;
    assert!(matches!(
        verdict(&offers("R", &["Proband", "father", "mother", "sib"], false)),
        Verdict::Fine(_)
    ));
    assert!(matches!(verdict(&offers("R", &["Proband", "far", "mor"], false)), Verdict::Fault(_)));
    assert!(matches!(verdict(&offers("R", &["Proband", "far", "mor"], true)), Verdict::Remark(_)));
}

#[tokio::test]
async fn the_preflight_asks_the_lims_for_all_of_it_and_changes_nothing() {
    let all = [
        ("ORDERS__ON_FAILURE", "failed-step"),
        ("LIMS__FAILED_STEP", "1603"),
        ("LIMS__FAILED_STAGE", FAILED_STAGE),
        ("LIMS__REVIEWER", "64"),
        ("LIMS__FAILURE_FIELD", FAILURE_FIELD),
        ("LIMS__KEY_FIELD", "Export key"),
    ];
    let good = Lab::new(Server { next_step: Some(1700), ..server(true) }, &all).await;
    assert_eq!(good.exporter.preflight().await.unwrap(), Vec::<String>::new());
    assert!(good.lims.requests().iter().all(|r| r.method == "GET"));

    let wrong = [
        ("ORDERS__ON_FAILURE", "failed-step"),
        ("LIMS__FAILED_STEP", "1999"),
        ("LIMS__REVIEWER", "65"),
        ("LIMS__FAILURE_FIELD", "Eksport feilet"),
        ("LIMS__KEY_FIELD", "Nøkkel"),
    ];
    let program = Program {
        name: "Notify".into(),
        leaving: StepState::RecordDetails,
        reads: 1,
        outcome: ProgramOutcome::Ok,
        message: None,
    };
    let kit = Configured { name: "Kit".into(), kind: Kind::String, required: true };
    let bad = Server { e_signature: true, step_fields: vec![kit], programs: vec![program], ..server(false) };
    let bad = Lab::new(bad, &wrong).await;
    let why = said(bad.exporter.preflight().await.unwrap_err());
    for part in [
        "wants an electronic signature",
        "does not lead to step 1999",
        "\"Kit\" must be set before the step can end",
        "there is no researcher 65",
        "Analyte has no field \"Eksport feilet\"",
        "has no field \"Nøkkel\"",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    // What may not be read is said and not held against it.
    good.lims.fault(FaultRule::always("GET", "configuration/udfs", Trouble::Empty403));
    good.lims.fault(FaultRule::always("GET", "researchers", Trouble::Empty403));
    let remarks = good.exporter.preflight().await.unwrap();
    assert_eq!(remarks.len(), 5, "{remarks:?}");
    good.lims.fault(FaultRule::always("GET", "configuration", Trouble::Html503));
    assert!(matches!(good.exporter.preflight().await, Err(Failure::Outage(_))));
    let stage = Lab::new(server(false), &[("LIMS__FAILED_STAGE", "751/1603")]).await;
    let why = said(stage.exporter.preflight().await.unwrap_err());
    assert!(why.contains("there is no stage 1603 in workflow 751"), "{why}");
    let itself = Lab::new(server(false), &[("LIMS__FAILED_STAGE", "751/6601")]).await;
    assert!(said(itself.exporter.preflight().await.unwrap_err()).contains("is the export step itself"));
}

#[tokio::test]
async fn every_configured_field_is_looked_up_where_it_is_read() {
    let more = [
        ("LIMS__FIELDS__GENE_PANEL", "gene panel diag"),
        ("LIMS__FIELDS__KIT", "Project type"),
        ("LIMS__SAMPLE_FIELDS__KIND", "project:Project type"),
        ("LIMS__ANALYSIS_FIELDS__HPO", "HPO"),
    ];
    let lab = Lab::new(Server::default(), &more).await;
    let _queued = lab.samples(1);
    let _project = lab.lims.add_project("P", vec![Udf::string("Project type", "Diagnostics")]);
    let checks = lab.exporter.field_checks().await.unwrap();
    let of = |what: &str| &checks.iter().find(|c| c.what == what).unwrap().verdict;
    let Verdict::Fault(why) = of("lims.fields.gene_panel") else { panic!() };
    assert_eq!(
        why,
        "Sample has no field \"gene panel diag\" in the LIMS; it has \"Gene panel Diag\": correct the name"
    );
    let Verdict::Fault(why) = of("lims.fields.kit") else { panic!() };
    assert_eq!(why, "Sample has no field \"Project type\" in the LIMS; Project has one: correct the name");
    assert_eq!(*of("lims.sample_fields.kind"), Verdict::Fine("\"Project type\" of Project".into()));
    assert!(matches!(of("lims.analysis_fields.hpo"), Verdict::Fault(_)));
    lab.lims.fault(FaultRule::always("GET", "configuration/udfs", Trouble::Empty403));
    let checks = lab.exporter.field_checks().await.unwrap();
    assert!(matches!(&checks[..], [Check { verdict: Verdict::Unknown(_), .. }]));
}
