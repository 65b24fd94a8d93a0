//! Routing: taking artifacts out of workflows and putting them into a stage, in one request.
//!
//! One request for both, because the server does the unassigning first and a crash between two requests would lose the
//! artifact. Nothing tells whether a repeat makes a second entry in the queue, so it is sent once: who got
//! [`Error::Unclear`] reads the artifact's stages. Trap: a stage, a configured step and a step run have three kinds of
//! address, and routing takes that of a stage.
use super::client::Client;
use super::error::Error;
use super::ids::LimsId;
use super::ns;
use super::tree::Element;
use reqwest::Method;
use std::collections::BTreeSet;

impl Client {
    /// What the history of an artifact calls this stage.
    pub fn stage_uri(&self, workflow: u32, stage: u32) -> String {
        format!("{}/configuration/workflows/{workflow}/stages/{stage}", self.wire.spoken())
    }

    /// Takes the artifacts out of these workflows and puts them into the stage (workflow and number): one POST, never
    /// repeated. It shows in queues and histories a moment later.
    pub async fn route(&self, artifacts: &[LimsId], out_of: &[u32], to: (u32, u32)) -> Result<(), Error> {
        let body = self.routing(artifacts, out_of, to);
        let url = self.wire.url("route/artifacts", &[]);
        self.wire.act(Method::POST, &url, Some(&body)).await.map(drop)
    }

    fn routing(&self, artifacts: &[LimsId], out_of: &[u32], (workflow, stage): (u32, u32)) -> Element {
        let base = self.wire.spoken();
        let unique: BTreeSet<&LimsId> = artifacts.iter().collect();
        let with_artifacts = |instruction: Element| {
            unique.iter().fold(instruction, |all, id| {
                all.with(Element::new("artifact").with_attr("uri", &format!("{base}/artifacts/{id}")))
            })
        };
        let mut routing = Element::root("rt", "routing", ns::ROUTING);
        for workflow in out_of {
            let uri = format!("{base}/configuration/workflows/{workflow}");
            routing = routing.with(with_artifacts(Element::new("unassign").with_attr("workflow-uri", &uri)));
        }
        let uri = self.stage_uri(workflow, stage);
        routing.with(with_artifacts(Element::new("assign").with_attr("stage-uri", &uri)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, Reply, exception};
    use super::super::{Class, LimsId};

    #[tokio::test]
    async fn one_request_takes_out_and_puts_in_and_is_never_repeated() {
        let ids = ["2-2", "2-1", "2-2"].map(|id| LimsId::new(id).unwrap());
        type Case = (fn() -> Reply, Option<Class>);
        let answers: [Case; 5] = [
            (|| Reply::Xml(200, "<rt:routing xmlns:rt=\"http://genologics.com/ri/routing\"/>".into()), None),
            (|| Reply::Xml(200, exception("no such stage")), Some(Class::Refused)),
            (|| Reply::Xml(400, exception("no such stage")), Some(Class::Refused)),
            (|| Reply::BreakOff, Some(Class::Unclear)),
            (|| Reply::Html(504), Some(Class::Unclear)),
        ];
        for (answer, class) in answers {
            let fake = Fake::start(move |_, _| answer()).await;
            let outcome = fake.client().route(&ids, &[10], (7, 4)).await;
            assert_eq!(outcome.err().map(|e| e.class()), class);
            let base = fake.base();
            let artifacts =
                format!("<artifact uri=\"{base}/artifacts/2-1\"/><artifact uri=\"{base}/artifacts/2-2\"/>");
            let want = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<rt:routing xmlns:rt=\"http://genologics.com/ri/routing\">\
                 <unassign workflow-uri=\"{base}/configuration/workflows/10\">{artifacts}</unassign>\
                 <assign stage-uri=\"{base}/configuration/workflows/7/stages/4\">{artifacts}</assign></rt:routing>\n"
            );
            let seen = fake.seen();
            assert_eq!(seen.len(), 1);
            assert!(seen[0].is("POST", "route/artifacts"));
            assert_eq!(seen[0].body, want);
        }
    }
}
