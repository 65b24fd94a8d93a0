//! Clients that others wrote against real servers work against the simulated one: queue, batch, step, actions, advance,
//! completion, routing. So what our own client passes here is not our own reading of the reference only.
//!
//! What they cannot do here, a real server would not allow either, or it is the library that fails:
//!
//! - `genologics` `Step.create` always names a container type. The reference gives one for steps with outputs only; the
//!   export step has none, so it is refused. The script posts the same body without it.
//! - `pyclarity-lims` `get_batch` and `s4-clarity`'s import use what Python 3.9 took away (`getchildren`,
//!   `cElementTree`). The scripts go around that; the requests are the libraries' own.
//! - `s4-clarity` asks for the program status of every step in `Started` and does not bear a 404, which is documented
//!   where there is none. Its laboratory has a program at the start.
//! - None waits for programs of the server by itself but `s4-clarity`; the scripts have the loop that users write.
//! - A second state of one artifact in a batch is refused; servers are documented to refuse it, though some collapse it.
//!
//! The libraries come from PyPI, pinned, into `target/clients-venv`. Without python3, its venv or a network the tests say
//! SKIPPED on stderr; with `TSD_IMPORT_NO_SKIP=1` (as in CI) they fail instead.
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tsd_import::demo::lims::{
    Fault, FaultRule, Lims, NewData, NewRun, NewSample, Program, ProgramOutcome, Settings, Stats, StepState,
    Udf,
};

const PINNED: &str = include_str!("clients/requirements.txt");
/// For making the environment: packages are fetched from PyPI.
const PATIENCE: Duration = Duration::from_secs(300);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program to its end, or kills it; its stdout, or why not.
fn ended(program: &Path, arguments: &[&str], patience: Duration) -> Result<String, String> {
    let name = program.display();
    let told = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
    let said = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
    let mut child = std::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(told.reopen().map_err(|e| e.to_string())?)
        .stderr(said.reopen().map_err(|e| e.to_string())?)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .spawn()
        .map_err(|e| format!("{name} does not start: {e}"))?;
    let begun = std::time::Instant::now();
    let status = loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break status,
            None if begun.elapsed() > patience => {
                child.kill().and_then(|()| child.wait()).map_err(|e| e.to_string())?;
                return Err(format!("{name} {arguments:?} was not done after {patience:?}"));
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let errors = std::fs::read_to_string(said.path()).map_err(|e| e.to_string())?;
    if !status.success() {
        return Err(format!("{name} {arguments:?}: {status}\n{errors}"));
    }
    std::fs::read_to_string(told.path()).map_err(|e| e.to_string())
}

/// The python with the pinned libraries, made once; or why there is none.
fn python() -> &'static Result<PathBuf, String> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    MADE.get_or_init(|| {
        let venv = root().join("target/clients-venv");
        let (python, mark) = (venv.join("bin/python"), venv.join("pinned.txt"));
        if std::fs::read_to_string(&mark).is_ok_and(|text| text == PINNED) {
            return Ok(python);
        }
        let path = venv.display().to_string();
        let pins = root().join("tests/clients/requirements.txt").display().to_string();
        ended(Path::new("python3"), &["-m", "venv", "--clear", &path], PATIENCE)?;
        let install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--retries",
            "1",
            "-r",
            &pins,
        ];
        ended(&python, &install, PATIENCE)?;
        std::fs::copy(&pins, &mark).map_err(|e| e.to_string())?;
        Ok(python)
    })
}

/// Five queued samples, pages of two, a step that is slow to start and has a program.
fn laboratory() -> (Lims, Vec<String>) {
    let program = Program {
        name: "Check export".to_owned(),
        leaving: StepState::RecordDetails,
        reads: 2,
        outcome: ProgramOutcome::Ok,
        message: None,
    };
    let lims = Lims::new(Settings {
        page_size: 2,
        started_reads: 1,
        failed_step: Some(1603),
        failed_step_linked: false,
        programs: vec![program],
        ..Settings::default()
    });
    let project = lims.add_project("Diag-wgs1-2026-06-12", vec![Udf::string("Project type", "Diagnostics")]);
    let run = lims.add_run(NewRun {
        run_id: "20260612_LH00534_0123_A22ABCDLT4".to_owned(),
        flowcell_id: "22ABCDLT4".to_owned(),
        sequencing_type: "NovaSeq X Run".to_owned(),
        demux_type: "Demultiplexing NovaSeq X".to_owned(),
        lanes: 2,
        udfs: Vec::new(),
    });
    let roots = (1..=5u32).map(|n| {
        let name = format!("HG1234567{n}-Bjørn-KIT-wgs");
        let data = NewData {
            run: run.clone(),
            lane: 2,
            reagent_label: format!("UDP{n:04} (ACGTACGT-TTGGCCAA)"),
            sheet_id: format!("wgs1_HG1234567{n}_2f6c9d1e-0000-4000-8000-00000000000{n}"),
            dataset_uuid: None,
            sheet_position: n,
            read_passes: 2,
            ora: Some(true),
            stats: Some(Stats {
                reads: 1_214_348_600,
                q30_bases_pct: 93.4,
                mean_qual_score: None,
                perfect_index_reads_pct: 97.76,
                one_mismatch_index_pct: 2.24,
            }),
            udfs: Vec::new(),
        };
        let udfs = vec![Udf::string("Gene panel Diag", "Nett")];
        let sample =
            lims.add_sample(NewSample { name, project: project.clone(), udfs, data: vec![data] }).unwrap();
        lims.enqueue(&sample.root_artifact).unwrap();
        sample.root_artifact
    });
    let roots = roots.collect();
    (lims, roots)
}

/// What the script saw, the laboratory after it, and the queued artifacts before it; `None` if it had to be skipped.
async fn told_by(script: &str) -> Option<(Value, Lims, Vec<String>)> {
    let python = match tokio::task::spawn_blocking(python).await.unwrap() {
        Ok(python) => python,
        Err(why) => {
            assert!(std::env::var_os("TSD_IMPORT_NO_SKIP").is_none(), "{script} may not be skipped: {why}");
            // Not eprintln: the test harness would keep it to itself.
            #[allow(clippy::explicit_write)]
            writeln!(std::io::stderr(), "SKIPPED: tests/clients/{script} did not run: {why}").unwrap();
            return None;
        }
    };
    let (lims, roots) = laboratory();
    if script == "with_s4.py" {
        // It takes for granted that a step in Started has a program status, which is so only where a program runs then.
        lims.configure(|settings| {
            let entry = Program { leaving: StepState::Started, ..settings.programs[0].clone() };
            settings.programs.push(entry);
            settings.started_reads = 0;
        });
    }
    lims.fault(FaultRule::always(
        "GET",
        "/containers/27-0",
        Fault::Redirect("https://elsewhere/".to_owned()),
    ));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(lims.clone().serve(listener));
    let path = root().join("tests/clients").join(script).display().to_string();
    let run = move || ended(python, &[&path, &host, "apiuser", "secret"], Duration::from_secs(120));
    let told = tokio::task::spawn_blocking(run).await.unwrap();
    serving.abort();
    let record = || {
        lims.requests().iter().map(|r| format!("{} {} {}\n", r.status, r.method, r.path)).collect::<String>()
    };
    let told = told.unwrap_or_else(|why| panic!("{why}\nrequests:\n{}", record()));
    Some((serde_json::from_str(&told).unwrap(), lims, roots))
}

/// The first two artifacts left the export step once each, in one step, with this key.
fn exported_once(lims: &Lims, roots: &[String], key: &str) {
    let views: Vec<_> = roots[..2].iter().map(|root| lims.artifact(root).unwrap()).collect();
    assert_eq!(views[0].steps_made, views[1].steps_made);
    for view in views {
        assert_eq!((view.exported, view.steps_made.len(), view.queued.len()), (1, 1, 0), "{view:?}");
        let step = lims.steps().into_iter().find(|step| step.id == view.steps_made[0]).unwrap();
        assert_eq!(step.fields, [Udf::string("Export key", key)]);
        assert_eq!((step.state, step.inputs.as_slice()), (StepState::Completed, &roots[..2]));
    }
    assert_eq!(lims.open_steps(), []);
}

const FAILED_AFTER_EXPORT_QUEUE: [[&str; 2]; 2] =
    [["Lims exporter diag 2.0", "REMOVED"], ["Export failed", "QUEUED"]];
const PROGRAM: &str =
    "400: Cannot advance a step that has an external program queued, running or pending acknowledgement";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pyclarity_lims_exports() {
    let Some((saw, lims, roots)) = told_by("with_pyclarity.py").await else { return };
    assert_eq!((&saw["stage"], &saw["step"]), (&json!("6601"), &json!("1601")));
    assert_eq!(saw["permitted_containers"], json!([]));
    assert_eq!(saw["queue"], json!(roots), "three pages");
    assert_eq!((&saw["queued_since"], &saw["batch"]), (&json!(true), &json!(roots)));
    assert!(saw["batch_twice"].as_str().unwrap().starts_with("400: Duplicate link"), "{saw}");
    assert_eq!(saw["sample"], json!(["HG12345671-Bjørn-KIT-wgs", "Nett", "Diag-wgs1-2026-06-12"]));
    assert_eq!((&saw["output"], &saw["lane"]), (&json!([1, true, "93.4"]), &json!("2:1")));
    assert_eq!(saw["run"], json!("20260612_LH00534_0123_A22ABCDLT4"));
    assert_eq!((&saw["fields"], &saw["us"]), (&json!(["Gene panel Diag"]), &json!(["Access"])));
    let taken = format!("400: Artifact {} is not queued for step Lims exporter diag 2.0", roots[0]);
    assert_eq!(saw["taken"], json!(taken));
    assert_eq!((&saw["busy"], &saw["program"]), (&json!(PROGRAM), &json!("OK")));
    assert_eq!(saw["completed"], json!([lims.steps()[0].id, true]));
    assert!(saw["again"].as_str().unwrap().contains("cannot be advanced in state Completed"), "{saw}");
    assert_eq!(saw["left"], json!(roots[2..]));
    assert!(
        saw["wrong_stage"].as_str().unwrap().starts_with("400: No such stage"),
        "a step is not a stage: {saw}"
    );
    assert_eq!(
        (&saw["failed_queue"], &saw["history"]),
        (&json!([roots[2]]), &json!(FAILED_AFTER_EXPORT_QUEUE))
    );
    assert_eq!(saw["written"], json!(["ødelagt – prøv igjen", "FAILED"]));
    assert!(saw["unknown_field"].as_str().unwrap().contains("not configured"), "{saw}");
    assert_eq!(saw["absent"], json!("404: Artifact not found: 2-1"));
    exported_once(&lims, &roots, "k-æøå");
    assert_eq!(lims.artifact(&roots[2]).unwrap().qc, "FAILED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn genologics_exports() {
    let Some((saw, lims, roots)) = told_by("with_genologics.py").await else { return };
    let names: Vec<String> = (1..=5).map(|n| format!("HG1234567{n}-Bjørn-KIT-wgs")).collect();
    assert_eq!((&saw["step"], &saw["queue"]), (&json!("1601"), &json!(roots)));
    assert_eq!(
        (&saw["batch"], &saw["names"], &saw["samples"]),
        (&json!(roots), &json!(names), &json!(names))
    );
    assert_eq!(
        (&saw["sample_search"], &saw["projects"]),
        (&json!(["OUS1A1"]), &json!(["Diag-wgs1-2026-06-12"]))
    );
    assert_eq!(saw["output"], json!([1, "UDP0001 (ACGTACGT-TTGGCCAA)"]));
    assert_eq!(saw["us"], json!(["apiuser"]));
    let refused = "400: Step Lims exporter diag 2.0 has no outputs and takes no container-type";
    assert_eq!(saw["with_container"], json!(refused));
    assert!(saw["taken"].as_str().unwrap().contains("is not queued for step"), "{saw}");
    assert_eq!((&saw["found"], &saw["inputs"]), (&json!(true), &json!(roots[..2])));
    assert_eq!((&saw["program"], &saw["completed"]), (&json!("OK"), &json!([lims.steps()[0].id, true])));
    // The second call takes it out of the whole workflow, the failure stage included.
    let out = [["Lims exporter diag 2.0", "REMOVED"], ["Export failed", "REMOVED"]];
    assert_eq!(saw["history"], json!(out));
    assert_eq!(saw["absent"], json!("404: Artifact not found: 2-1"));
    exported_once(&lims, &roots, "k-1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s4_clarity_exports() {
    let Some((saw, lims, roots)) = told_by("with_s4.py").await else { return };
    let names: Vec<String> = (1..=5).map(|n| format!("HG1234567{n}-Bjørn-KIT-wgs")).collect();
    assert_eq!((&saw["minor"], &saw["queue"], &saw["names"]), (&json!("r33"), &json!(roots), &json!(names)));
    assert_eq!((&saw["by_sample"], &saw["us"]), (&json!([roots[0]]), &json!(["apiuser"])));
    assert_eq!(saw["sample"], json!([true, "Nett", "Diag-wgs1-2026-06-12"]));
    assert_eq!(saw["flow_cell"], json!("22ABCDLT4"));
    assert!(saw["udfs"].as_array().unwrap().contains(&json!("SampleSheet Sample_ID")), "{saw}");
    assert_eq!(saw["screens"], json!(["Record Details", "Assign Next Steps"]));
    assert_eq!((&saw["state"], &saw["key"]), (&json!("Completed"), &json!("nøkkel")));
    assert_eq!((&saw["actions"], &saw["inputs"]), (&json!(["complete", "complete"]), &json!(roots[..2])));
    assert_eq!(saw["step"], json!(lims.steps()[0].id));
    assert!(saw["taken"].as_str().unwrap().contains("is not queued for step"), "{saw}");
    assert_eq!(saw["resumed"], json!("Completed"));
    assert_eq!(saw["history"], json!(FAILED_AFTER_EXPORT_QUEUE));
    assert!(saw["absent"].as_str().unwrap().contains("Artifact not found: 2-1"), "{saw}");
    assert!(saw["wrong_password"].as_str().unwrap().starts_with("ClarityAuthenticationException"), "{saw}");
    assert!(saw["redirect"].as_str().unwrap().contains("Did you use http instead of https?"), "{saw}");
    exported_once(&lims, &roots, "nøkkel");
}
