//! The exporter against the simulated LIMS, as strict as the real one.

mod checking;
mod claiming;
mod ending;
mod planning;
mod refusing;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::conf::{Conf, Side};
use crate::demo::lims::{Fault as Trouble, FaultRule, Lims, NewSample, Settings as Server, StepState, Udf};
use crate::package::{OrderId, Reason};

const FAILED: u32 = 1603;
/// The simulator's stages have numbers of their own.
const FAILED_STAGE: &str = "751/6603";
const FAILURE_FIELD: &str = "Export failed description";

struct Lab {
    lims: Lims,
    exporter: Exporter,
    _password: tempfile::NamedTempFile,
    task: JoinHandle<std::io::Result<()>>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A server with a step for failed exports, on which routing twice makes two entries.
fn server(linked: bool) -> Server {
    Server {
        failed_step: Some(FAILED),
        failed_step_linked: linked,
        routed_twice_is_twice: true,
        ..Server::default()
    }
}

impl Lab {
    /// `more`: settings as the environment gives them, such as `("LIMS__FAILED_STEP", "1603")`.
    async fn new(server: Server, more: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/api/v2", listener.local_addr().unwrap());
        let mut password = tempfile::NamedTempFile::new().unwrap(); // mode 0600
        password.write_all(server.password.as_bytes()).unwrap();
        let own = [
            ("LIMS__BASE", base),
            ("LIMS__USER", server.user.clone()),
            ("LIMS__PASSWORD_FILE", password.path().display().to_string()),
            ("LIMS__PROTOCOL", server.protocol.to_string()),
            ("LIMS__STEP", server.export_step.to_string()),
            ("LIMS__STEP_NAME", server.export_step_name.clone()),
            ("LIMS__STEP_DEADLINE", "1500 ms".to_owned()),
            ("LIMS__DEADLINE", "10 s".to_owned()),
        ];
        let more = more.iter().map(|(key, value)| (*key, (*value).to_owned()));
        let environment =
            own.into_iter().chain(more).map(|(key, value)| (format!("TSD_IMPORT__{key}"), value));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/nsc.toml");
        let Side::Nsc(nsc) = Conf::load_with(Some(&file), None, environment).unwrap().side else {
            panic!("conf/nsc.toml is of role nsc")
        };
        let lims = Lims::new(server);
        let task = tokio::spawn(lims.clone().serve(listener));
        Self { lims, exporter: Exporter::new(&nsc).unwrap(), _password: password, task }
    }

    /// Queued samples; their artifacts.
    fn samples(&self, count: u32) -> Vec<String> {
        let project = self.lims.add_project("Diag-wgs1", Vec::new());
        let make = |n: u32| {
            let name = format!("HG{:08}-Nett-KIT-wgs", 12_345_670 + n);
            let udfs = vec![Udf::string("Gene panel Diag", "Nett")];
            let new = NewSample { name, project: project.clone(), udfs, data: Vec::new() };
            let root = self.lims.add_sample(new).unwrap().root_artifact;
            self.lims.enqueue(&root).unwrap();
            root
        };
        (0..count).map(make).collect()
    }

    async fn claimed(&self, artifacts: &[String]) -> (Order, String) {
        let order = order(artifacts);
        let claim = self.exporter.claim(&order).await.unwrap();
        (order, claim.id)
    }

    fn step(&self, id: &str) -> crate::demo::lims::StepView {
        self.lims.steps().into_iter().find(|step| step.id == id).unwrap()
    }

    fn count(&self, method: &str, path: &str) -> usize {
        self.lims.requests().iter().filter(|r| r.method == method && r.path.ends_with(path)).count()
    }

    fn field(&self, artifact: &str) -> Option<String> {
        self.lims.udfs(artifact).into_iter().find(|udf| udf.name == FAILURE_FIELD).map(|udf| udf.value)
    }
}

fn order(artifacts: &[String]) -> Order {
    let id = OrderId(artifacts[0].clone());
    Order { id, artifacts: artifacts.to_vec(), packages: Vec::new(), note: None }
}

fn fault() -> Fault {
    Fault { reason: Reason::Md5Mismatch, detail: "HG12345670: prøven «æøå» stemmer ikke".into() }
}

fn partly(artifacts: &[&String]) -> Ending {
    Ending::Partly(artifacts.iter().map(|a| ((*a).clone(), fault())).collect::<BTreeMap<_, _>>())
}

/// What a failure says, whoever it is about.
fn said(failure: Failure) -> String {
    match failure {
        Failure::Outage(why) | Failure::Fatal(why) => why,
        Failure::Unit(blame) => blame.detail,
    }
}
