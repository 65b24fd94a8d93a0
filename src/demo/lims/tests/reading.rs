//! Reading: configuration, queues and lists with their pages, batches, and the way from a sample to its data.

use super::*;

#[tokio::test]
async fn every_request_needs_the_account() {
    let server = Server::new(Settings::default()).await;
    let api = server.base.trim_end_matches("/v2").to_owned();
    for uri in [api.clone(), server.uri("queues/1601"), server.uri("nowhere")] {
        for request in [server.client.get(&uri), server.client.get(&uri).basic_auth("apiuser", Some("wrong"))]
        {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 401);
            assert_eq!(answer.headers()["www-authenticate"], "Basic realm=\"GLSSecurity\"");
            assert_eq!(answer.bytes().await.unwrap().len(), 0);
        }
    }
    let versions = server.get(&api).await.good();
    assert!(versions.is("ver:versions"));
    let version = versions.child("version").unwrap();
    assert_eq!((version.attr("major"), version.attr("minor")), (Some("v2"), Some("r33")));
    assert_eq!(version.attr("uri"), Some(server.base.as_str()));
}

#[tokio::test]
async fn the_configuration_resolves_from_workflow_to_queue() {
    let server =
        Server::new(Settings { failed_step: Some(1603), e_signature: true, ..Settings::default() }).await;
    let workflows = server.get("configuration/workflows").await.good();
    let status: Vec<_> = workflows.children("workflow").map(|w| w.attr("status").unwrap()).collect();
    assert_eq!(status, ["ARCHIVED", "ACTIVE", "PENDING"]);
    let named = server.get("configuration/workflows?name=Processing+of+HTS-data+diag+2.0").await.good();
    assert_eq!(named.children.len(), 1);
    let workflow = server.get(named.children[0].attr("uri").unwrap()).await.good();
    let stages = workflow.child("stages").unwrap();
    let stage = server.get(stages.children[0].attr("uri").unwrap()).await.good();
    let step_uri = stage.child("step").unwrap().attr("uri").unwrap().to_owned();
    let step = server.get(&step_uri).await.good();
    assert!(step.is("protstepcnf:step"));
    assert_eq!(step.attr("name"), Some("Lims exporter diag 2.0"));

    let protocols = server.get("configuration/protocols").await.good();
    let protocol = server.get(protocols.children[0].attr("uri").unwrap()).await.good();
    let step = &protocol.child("steps").unwrap().children[0];
    assert_eq!(step.attr("uri"), Some(step_uri.as_str()));
    assert_eq!(step.child("process-type").unwrap().text(), "Lims exporter diag 2.0");
    let transition = &step.child("transitions").unwrap().children[0];
    let failed = server.uri("configuration/protocols/901/steps/1603");
    assert_eq!(transition.attr("next-step-uri"), Some(failed.as_str()));
    assert!(step.child("permitted-containers").unwrap().children.is_empty());
    let mut properties = step.child("step-properties").unwrap().children("step-property");
    let signature = properties.find(|p| p.attr("name") == Some("eSignatureRequired")).unwrap();
    assert_eq!(signature.attr("value"), Some("true"));
    assert_eq!(
        server
            .get(step_uri.rsplit_once('/').map(|(_, n)| format!("queues/{n}")).unwrap().as_str())
            .await
            .status,
        200
    );
    let archived = server.get(workflows.children[0].attr("uri").unwrap()).await.good();
    assert_eq!(archived.attr("status"), Some("ARCHIVED"));
    assert!(archived.child("stages").unwrap().children.is_empty());
    for absent in [
        "configuration/workflows/1",
        "configuration/protocols/1",
        "configuration/workflows/751/stages/1601",
        "queues/1",
    ] {
        assert_eq!(server.get(absent).await.status, 404, "{absent}");
    }
}

#[tokio::test]
async fn queues_come_in_pages_of_another_host_with_double_rows() {
    let settings = Settings {
        page_size: 2,
        duplicates: true,
        next_page_base: Some("https://lims.example.org/api/v2".to_owned()),
        ..Settings::default()
    };
    let server = Server::new(settings).await;
    let roots: Vec<String> = server.samples(&["A", "B", "C"]).into_iter().map(|s| s.root_artifact).collect();
    let mut path = "queues/1601?projectname=Diag-wgs1-2026-06-12".to_owned();
    let mut seen = Vec::new();
    let mut pages = 0;
    loop {
        let page = server.get(&path).await.good();
        seen.extend(ids(page.child("artifacts").unwrap()));
        pages += 1;
        assert_eq!(page.child("previous-page").is_some(), pages > 1);
        let Some(next) = page.child("next-page") else { break };
        let uri = next.attr("uri").unwrap();
        let query = format!("start-index={}&projectname=Diag-wgs1-2026-06-12", pages * 2);
        assert_eq!(uri, format!("https://lims.example.org/api/v2/queues/1601?{query}"));
        path = format!("queues/1601?{query}");
    }
    assert_eq!(pages, 3);
    let wanted: Vec<String> = roots.iter().flat_map(|id| [id.clone(), id.clone()]).collect();
    assert_eq!(seen, wanted);
    let times: Vec<_> = server.get("queues/1601").await.good().child("artifacts").unwrap().children.clone();
    assert_ne!(times[0].child("queue-time"), times[1].child("queue-time"));
    assert_eq!(times[0].child("location").unwrap().child("value").unwrap().text(), "1:1");

    assert_eq!(
        ids(server.get("queues/1601?start-index=99").await.good().child("artifacts").unwrap()).len(),
        0
    );
    let one = server.get("queues/1601?submittedsamplelimsid=OUS1A2").await.good();
    assert_eq!(ids(one.child("artifacts").unwrap()), [roots[1].clone(), roots[1].clone()]);
    assert!(server.get("queues/1601?start-index=x").await.refused(400).contains("start-index"));
    assert!(server.get("queues/1601?projectid=1").await.refused(400).contains("projectid"));
}

#[tokio::test]
async fn from_a_root_artifact_to_run_lane_and_statistics() {
    let server = Server::new(Settings::default()).await;
    let samples = server.samples(&["HG12345671-Nett-KIT-wgs", "HG12345672-Nett-KIT-wgs"]);
    let root = server.get(&format!("artifacts/{}", samples[0].root_artifact)).await.good();
    assert!(root.attr("uri").unwrap().contains("/artifacts/OUS1A1PA1?state="));
    assert!(root.child("parent-process").is_none() && root.child("demux").is_none());
    let sample = server.get(root.child("sample").unwrap().attr("uri").unwrap()).await.good();
    assert_eq!(sample.child("name").unwrap().text(), "HG12345671-Nett-KIT-wgs");
    assert_eq!(udf(&sample, "Gene panel Diag"), Some("Nett"));
    let project = server.get(sample.child("project").unwrap().attr("uri").unwrap()).await.good();
    assert_eq!(udf(&project, "Project type"), Some("Diagnostics"));

    let search = "artifacts?samplelimsid=OUS1A1&process-type=Demultiplexing+NovaSeq+X&type=ResultFile";
    let found = ids(&server.get(search).await.good());
    assert_eq!(found.len(), 2, "the sample's own output and that of its lane");
    assert!(found.contains(&samples[0].outputs[0]));
    let output = server.get(&format!("artifacts/{}", samples[0].outputs[0])).await.good();
    assert_eq!(
        udf(&output, "SampleSheet Sample_ID"),
        Some("wgs1_HG12345671_2f6c9d1e-0000-4000-8000-000000000001")
    );
    assert_eq!(udf(&output, "Sample sheet position"), Some("1"));
    assert_eq!(udf(&output, "ORA compression"), Some("true"));
    assert_eq!(udf(&output, "% Bases >=Q30"), Some("93.4"));
    assert!(output.child("location").is_none() && output.child("working-flag").is_none());
    let label = output.child("reagent-label").unwrap().attr("name").unwrap().to_owned();

    let process = server.get(output.child("parent-process").unwrap().attr("uri").unwrap()).await.good();
    assert_eq!(process.child("date-run").unwrap().text(), "2026-06-12");
    let is_ours = |map: &&Received| {
        let output = map.child("output").unwrap();
        output.attr("limsid") == Some(samples[0].outputs[0].as_str())
            && output.attr("output-generation-type") == Some("PerReagentLabel")
    };
    let map = process.children("input-output-map").find(is_ours).unwrap();
    let input = map.child("input").unwrap();
    let lane = server.get(input.attr("uri").unwrap()).await.good();
    assert_ne!(lane.attr("uri"), None);
    assert_eq!(lane.child("location").unwrap().child("value").unwrap().text(), "1:1");
    assert_eq!(lane.children("sample").count(), 2);
    let flowcell = lane.child("location").unwrap().child("container").unwrap();
    let flowcell = server.get(flowcell.attr("uri").unwrap()).await.good();
    assert_eq!(flowcell.child("name").unwrap().text(), "22ABCDLT4");
    assert_eq!(flowcell.children("placement").count(), 2);

    let demux = server.get(lane.child("demux").unwrap().attr("uri").unwrap()).await.good();
    let members = demux.child("demux").unwrap().child("artifacts").unwrap();
    let member = members
        .children
        .iter()
        .find(|m| m.child("reagent-labels").unwrap().children[0].attr("name") == Some(&label));
    assert_eq!(ids(member.unwrap().child("samples").unwrap()), ["OUS1A1"]);
    let plain = server.get("artifacts/OUS1A1PA1/demux").await.good();
    assert!(plain.child("artifact").is_some() && plain.child("demux").is_none());

    let lane_id = lane.attr("limsid").unwrap();
    let runs =
        server.get(&format!("processes?inputartifactlimsid={lane_id}&type=NovaSeq+X+Run")).await.good();
    let run = server.get(runs.children[0].attr("uri").unwrap()).await.good();
    assert_eq!(udf(&run, "Run ID"), Some("20260612_LH00534_0123_A22ABCDLT4"));
    assert_eq!(udf(&run, "Flow Cell ID"), Some("22ABCDLT4"));

    server.lims.mislabel(&samples[0].outputs[0], "OUS1A2").unwrap();
    let wrong = server.get(&format!("artifacts/{}", samples[0].outputs[0])).await.good();
    assert_eq!(wrong.child("sample").unwrap().attr("limsid"), Some("OUS1A2"));
    let filtered = server.get("artifacts?type=ResultFile&udf.Sample+sheet+position=2").await.good();
    assert_eq!(ids(&filtered), [samples[1].outputs[0].as_str()]);
    assert!(server.get("artifacts?udf.x=1").await.refused(400).contains("exactly one"));
}

#[tokio::test]
async fn data_in_two_lanes_shares_one_library() {
    let server = Server::new(Settings::default()).await;
    let project = server.lims.add_project("P", Vec::new());
    let run = server.lims.add_run(new_run());
    let data = vec![new_data(&run, 1, 1), new_data(&run, 2, 1)];
    let new = NewSample { name: "S".to_owned(), project, udfs: Vec::new(), data };
    let sample = server.lims.add_sample(new.clone()).unwrap();
    assert_eq!(sample.outputs.len(), 2);
    let found = server.get("artifacts?samplelimsid=OUS1A1&process-type=Library+indexing").await.good();
    assert_eq!(ids(&found).len(), 1);
    let more = server.lims.add_data("OUS1A1", new_data(&run, 3, 1)).unwrap_err();
    assert_eq!(more.to_string(), "the simulated LIMS has no lane \"3\"; create it first");
    assert!(server.lims.add_sample(NewSample { project: "X".to_owned(), ..new }).is_err());
    assert!(server.lims.enqueue("2-1").is_err());
}

#[tokio::test]
async fn batches_are_strict_and_shuffled() {
    let server = Server::new(Settings { batch_limit: 3, ..Settings::default() }).await;
    let roots: Vec<String> =
        server.samples(&["A", "B", "C", "D"]).into_iter().map(|s| s.root_artifact).collect();
    let links = |uris: &[String]| {
        let list: String = uris.iter().map(|uri| format!(r#"<link uri="{uri}" rel="artifacts"/>"#)).collect();
        format!(r#"<ri:links xmlns:ri="http://genologics.com/ri">{list}</ri:links>"#)
    };
    let uri = |id: &str| server.uri(&format!("artifacts/{id}"));
    let post = async |uris: &[String]| server.call("POST", "artifacts/batch/retrieve", &links(uris)).await;
    let asked = [uri(&roots[0]), uri(&roots[1]), format!("{}?state=5", uri(&roots[2]))];
    let answer = post(&asked).await.good();
    assert!(answer.is("art:details") && answer.children.iter().all(|child| child.is("art:artifact")));
    let mut got = ids(&answer);
    assert_ne!(got, roots[..3], "never in the order asked for");
    got.sort();
    assert_eq!(got, roots[..3]);

    let twice = [uri(&roots[0]), format!("{}?state=5", uri(&roots[0]))];
    assert!(post(&twice).await.refused(400).starts_with("Duplicate link"));
    assert_eq!(post(&[uri(&roots[0]), uri("2-1")]).await.refused(400), "Artifact not found: 2-1");
    assert!(post(&[]).await.refused(400).contains("no links"));
    assert!(post(&[server.uri("samples/OUS1A1")]).await.refused(400).starts_with("Not a link to artifacts"));
    assert!(
        post(&["http://elsewhere/api/v2/artifacts/2-1".to_owned()])
            .await
            .refused(400)
            .starts_with("Not a link")
    );
    let all: Vec<String> = roots.iter().map(|id| uri(id)).collect();
    assert!(post(&all).await.refused(413).contains("too large"));
    let samples = links(&[server.uri("samples/OUS1A1")]);
    let samples = server.call("POST", "samples/batch/retrieve", &samples).await.good();
    assert!(samples.is("smp:details") && samples.children[0].is("smp:sample"));
}

#[tokio::test]
async fn controls_have_no_project_and_no_action() {
    let server = Server::new(Settings::default()).await;
    let root = server.samples(&["A"]).remove(0).root_artifact;
    let control = server.lims.add_control("PhiX");
    assert!(control.starts_with("8C-") && control.ends_with("PA1"));
    server.lims.enqueue(&control).unwrap();
    let artifact = server.get(&format!("artifacts/{control}")).await.good();
    assert!(artifact.child("control-type").is_some());
    let sample = server.get(artifact.child("sample").unwrap().attr("uri").unwrap()).await.good();
    assert!(sample.child("project").is_none());
    let id = server.start(&[&root, &control]).await;
    let actions = server.get(&format!("steps/{id}/actions")).await.good();
    assert_eq!(actions.child("next-actions").unwrap().children.len(), 1);
    let both =
        [server.action(&root, r#"action="complete""#), server.action(&control, r#"action="complete""#)];
    assert!(server.put_actions(&id, &both).await.refused(400).contains("is not an artifact of step"));
}

#[tokio::test]
async fn other_versions_spell_the_same_documents_differently() {
    let settings = Settings {
        odd_xml: true,
        advertised_base: Some("https://lims.example.org/api/v2".to_owned()),
        ..Settings::default()
    };
    let server = Server::new(settings).await;
    let root = server.samples(&["Bjørn & Åse <1>"]).remove(0).root_artifact;
    let got = server.get(&format!("artifacts/{root}")).await;
    assert!(!got.text().contains("art:"), "{}", got.text());
    let artifact = got.good();
    assert!(artifact.is("art:artifact"));
    assert_eq!(artifact.child("name").unwrap().text(), "Bjørn & Åse <1>");
    assert!(artifact.attr("uri").unwrap().starts_with("https://lims.example.org/api/v2/artifacts/"));
    assert_eq!(
        server.start(&[&root]).await,
        server.lims.steps()[0].id,
        "addresses as dialled are accepted too"
    );
}
