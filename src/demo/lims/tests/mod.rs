//! The simulator over real HTTP. Answers are read with the strict reader of requests, so that every answer looked at is
//! also proven to be a well-formed, namespaced document.

mod faulty;
mod oracles;
mod reading;
mod refusals;
mod story;
mod strict;

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::read::Received;
use super::*;

struct Server {
    lims: Lims,
    base: String,
    client: reqwest::Client,
    task: JoinHandle<std::io::Result<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What came back.
#[derive(Debug)]
struct Got {
    status: u16,
    body: Vec<u8>,
}

impl Got {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn xml(&self) -> Received {
        Received::parse(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The document of a 200 or 201.
    fn good(&self) -> Received {
        assert!(matches!(self.status, 200 | 201), "{} {}", self.status, String::from_utf8_lossy(&self.body));
        self.xml()
    }

    /// The message of an exception with this status.
    fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        let xml = self.xml();
        assert!(xml.is("exc:exception"));
        xml.child("message").unwrap().text().to_owned()
    }
}

impl Server {
    async fn new(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/api/v2", listener.local_addr().unwrap());
        let lims = Lims::new(settings);
        let task = tokio::spawn(lims.clone().serve(listener));
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap();
        Self { lims, base, client, task }
    }

    /// Address of a path below the base; full addresses are left alone.
    fn uri(&self, path: &str) -> String {
        if path.starts_with("http") { path.to_owned() } else { format!("{}/{path}", self.base) }
    }

    async fn try_call(&self, method: &str, path: &str, body: Option<String>) -> Result<Got, reqwest::Error> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, self.uri(path)).basic_auth("apiuser", Some("secret"));
        if let Some(body) = body {
            request = request.header("content-type", "application/xml").body(body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        Ok(Got { status, body: answer.bytes().await?.to_vec() })
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Got {
        self.try_call(method, path, Some(body.to_owned())).await.unwrap()
    }

    async fn get(&self, path: &str) -> Got {
        self.try_call("GET", path, None).await.unwrap()
    }

    /// Body of `POST /steps` for the export step.
    fn creation(&self, artifacts: &[&str]) -> String {
        let inputs: String =
            artifacts.iter().map(|id| format!(r#"<input uri="{}/artifacts/{id}"/>"#, self.base)).collect();
        let step = format!("{}/configuration/protocols/901/steps/1601", self.base);
        format!(
            r#"<stp:step-creation xmlns:stp="http://genologics.com/ri/step"><configuration uri="{step}"/><inputs>{inputs}</inputs></stp:step-creation>"#
        )
    }

    /// Starts the export step and gives its id.
    async fn start(&self, artifacts: &[&str]) -> String {
        let got = self.call("POST", "steps", &self.creation(artifacts)).await;
        assert_eq!(got.status, 201, "{}", got.text());
        got.xml().attr("limsid").unwrap().to_owned()
    }

    /// Sends these attributes of `next-action` elements.
    async fn put_actions(&self, step: &str, actions: &[String]) -> Got {
        let list: String = actions.iter().map(|attributes| format!("<next-action {attributes}/>")).collect();
        let body = format!(
            r#"<stp:actions xmlns:stp="http://genologics.com/ri/step"><next-actions>{list}</next-actions></stp:actions>"#
        );
        self.call("PUT", &format!("steps/{step}/actions"), &body).await
    }

    /// Attributes of an action for an artifact.
    fn action(&self, artifact: &str, more: &str) -> String {
        format!(r#"artifact-uri="{}/artifacts/{artifact}" {more}"#, self.base)
    }

    async fn advance(&self, step: &str, from: &str) -> Got {
        let body = format!(
            r#"<stp:step xmlns:stp="http://genologics.com/ri/step" limsid="{step}" current-state="{from}"/>"#
        );
        self.call("POST", &format!("steps/{step}/advance"), &body).await
    }

    async fn state(&self, step: &str) -> String {
        self.get(&format!("steps/{step}")).await.good().attr("current-state").unwrap().to_owned()
    }

    async fn queue(&self) -> Vec<String> {
        ids(self.get("queues/1601").await.good().child("artifacts").unwrap())
    }

    /// Samples with data in lane 1, queued for export.
    fn samples(&self, names: &[&str]) -> Vec<Sample> {
        let project =
            self.lims.add_project("Diag-wgs1-2026-06-12", vec![Udf::string("Project type", "Diagnostics")]);
        let run = self.lims.add_run(new_run());
        let make = |(place, name): (usize, &&str)| {
            let data = new_data(&run, 1, u32::try_from(place).unwrap() + 1);
            let new = NewSample {
                name: (*name).to_owned(),
                project: project.clone(),
                udfs: vec![Udf::string("Gene panel Diag", "Nett")],
                data: vec![data],
            };
            let sample = self.lims.add_sample(new).unwrap();
            self.lims.enqueue(&sample.root_artifact).unwrap();
            sample
        };
        names.iter().enumerate().map(make).collect()
    }
}

fn new_run() -> NewRun {
    NewRun {
        run_id: "20260612_LH00534_0123_A22ABCDLT4".to_owned(),
        flowcell_id: "22ABCDLT4".to_owned(),
        sequencing_type: "NovaSeq X Run".to_owned(),
        demux_type: "Demultiplexing NovaSeq X".to_owned(),
        lanes: 2,
        udfs: Vec::new(),
    }
}

fn new_data(run: &Run, lane: u32, position: u32) -> NewData {
    NewData {
        run: run.clone(),
        lane,
        reagent_label: format!("UDP{position:04} (ACGTACGT-TTGGCCAA)"),
        sheet_id: format!("wgs1_HG1234567{position}_2f6c9d1e-0000-4000-8000-00000000000{position}"),
        dataset_uuid: Some("2f6c9d1e-0000-4000-8000-000000000001".to_owned()),
        sheet_position: position,
        read_passes: 2,
        ora: Some(true),
        stats: Some(Stats {
            reads: 1_214_348_600,
            q30_bases_pct: 93.40,
            mean_qual_score: Some(38.5),
            perfect_index_reads_pct: 97.76,
            one_mismatch_index_pct: 2.24,
        }),
        udfs: Vec::new(),
    }
}

/// `limsid`s of the children, in order.
fn ids(list: &Received) -> Vec<String> {
    list.children.iter().filter_map(|row| row.attr("limsid").map(str::to_owned)).collect()
}

/// Text of the UDF of this name.
fn udf<'a>(element: &'a Received, name: &str) -> Option<&'a str> {
    element.children("udf:field").find(|field| field.attr("name") == Some(name)).map(Received::text)
}
