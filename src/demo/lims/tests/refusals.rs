//! What the server refuses, each with the reason it gives.

use super::*;

#[tokio::test]
async fn unknown_paths_and_methods() {
    let server = Server::new(Settings::default()).await;
    let host = server.base.trim_end_matches("/api/v2");
    let wanted =
        format!("Could not find resource for relative : /v2/nowhere of full path: {host}/api/v2/nowhere");
    assert_eq!(server.get("nowhere").await.refused(404), wanted);
    assert_eq!(server.get("samples/X1").await.refused(404), "Sample not found: X1");
    for path in [
        "artifacts/2-1",
        "projects/X",
        "containers/27-1",
        "processes/24-1",
        "steps/24-1",
        "artifacts/2-1/demux",
    ] {
        assert!(server.get(path).await.refused(404).contains(" not found: "), "{path}");
    }
    assert!(server.call("PUT", "queues/1601", "<a/>").await.refused(405).contains("PUT"));
    assert!(server.get("steps").await.refused(405).contains("GET"));
}

#[tokio::test]
async fn bodies_that_are_no_good() {
    let server = Server::new(Settings { max_body: 2000, ..Settings::default() }).await;
    server.samples(&["A"]);
    let good = server.creation(&["OUS1A1PA1"]);
    assert!(
        server.call("POST", "steps", &good[..good.len() - 4]).await.refused(400).starts_with("malformed XML")
    );
    assert!(server.call("POST", "steps", "").await.refused(400).starts_with("malformed XML"));
    let foreign = good.replace("genologics.com/ri/step", "example.org/step");
    assert!(server.call("POST", "steps", &foreign).await.refused(400).contains("not a step creation"));
    let long = good.replace("</inputs>", &format!("</inputs><!--{}-->", "x".repeat(2000)));
    assert_eq!(server.call("POST", "steps", &long).await.status, 413);
    let request = server.client.post(server.uri("steps")).basic_auth("apiuser", Some("secret"));
    let answer = request.header("content-type", "text/plain").body(good).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 415);
    assert_eq!(server.lims.steps(), []);
    assert_eq!(server.lims.queued(), ["OUS1A1PA1"]);
}

#[tokio::test]
async fn starting_a_step() {
    let server = Server::new(Settings { next_step: Some(1602), ..Settings::default() }).await;
    server.samples(&["A", "B"]);
    let good = server.creation(&["OUS1A1PA1"]);
    let base = &server.base;
    let other_step = good.replace("steps/1601", "steps/1602");
    let cases: Vec<(String, &str)> = vec![
        (server.creation(&[]), "at least one input"),
        (server.creation(&["OUS1A1PA1", "OUS1A1PA1"]), "given twice"),
        (server.creation(&["OUS9A9PA1"]), "Artifact OUS9A9PA1 is not queued"),
        (server.creation(&["OUS1A1"]), "is not queued"),
        (other_step, "is not queued for step Exported"),
        (good.replace("steps/1601", "steps/7"), "No such step configuration"),
        (good.replace("protocols/901", "protocols/1"), "No such step configuration"),
        (good.replace(&format!("{base}/artifacts"), "http://elsewhere/api/v2/artifacts"), "Not an artifact"),
        (
            good.replace("<inputs>", "<container-type>Tube</container-type><inputs>"),
            "takes no container-type",
        ),
        (good.replace("<input uri", "<input replicates='0' uri"), "Replicates"),
        (good.replace("<input uri", "<input control-type-uri='x' uri"), "not both"),
    ];
    for (body, why) in cases {
        let told = server.call("POST", "steps", &body).await.refused(400);
        assert!(told.contains(why), "{why}: {told}");
    }
    assert_eq!(server.queue().await, ["OUS1A1PA1", "OUS1A2PA1"]);
    assert_eq!(server.lims.history("OUS1A1PA1"), [(1601, "QUEUED")]);
    let id = server.start(&["OUS1A1PA1"]).await;
    assert!(
        server.call("POST", "steps", &good).await.refused(400).contains("is not queued"),
        "not a second time"
    );
    assert_eq!(server.lims.steps().len(), 1);
    assert_eq!(server.state(&id).await, "Record Details");
}

#[tokio::test]
async fn setting_actions() {
    let server =
        Server::new(Settings { next_step: Some(1602), started_reads: 1, ..Settings::default() }).await;
    server.samples(&["A", "B", "C"]);
    let id = server.start(&["OUS1A1PA1", "OUS1A2PA1"]).await;
    let a = |more: &str| server.action("OUS1A1PA1", more);
    let b = server.action("OUS1A2PA1", r#"action="remove""#);
    let early = server.put_actions(&id, &[a(r#"action="remove""#), b.clone()]).await.refused(400);
    assert!(early.contains("cannot be set in state Started"), "{early}");
    assert_eq!(server.state(&id).await, "Started");
    let to = |path: &str| format!(r#"action="nextstep" step-uri="{}""#, server.uri(path));
    let cases: Vec<(Vec<String>, &str)> = vec![
        (vec![a(r#"action="remove""#)], "Artifact OUS1A2PA1 of step"),
        (vec![a(r#"action="remove""#), b.clone(), b.clone()], "more than one action"),
        (vec![a(""), b.clone(), server.action("OUS1A3PA1", "")], "is not an artifact of step"),
        (vec![a(r#"action="requeue""#), b.clone()], "no such action"),
        (vec![a(r#"action="leave""#), b.clone()], "QC protocol"),
        (vec![a(r#"action="complete""#), b.clone()], "has next steps"),
        (vec![a(r#"action="nextstep""#), b.clone()], "transitions"),
        (vec![a(&to("configuration/protocols/901/steps/1601")), b.clone()], "transitions"),
        (vec![a(&to("configuration/workflows/751/stages/6602")), b.clone()], "not a configured step"),
        (
            vec![a(&to("configuration/protocols/901/steps/1602").replace("nextstep", "remove")), b.clone()],
            "no step-uri",
        ),
        (
            vec![a(&format!(r#"action="rework" rework-step-uri="{}""#, server.uri("steps/24-1"))), b.clone()],
            "earlier step",
        ),
    ];
    for (actions, why) in cases {
        let told = server.put_actions(&id, &actions).await.refused(400);
        assert!(told.contains(why), "{why}: {told}");
    }
    server.put_actions(&id, &[a(&to("configuration/protocols/901/steps/1602")), b.clone()]).await.good();
    server.put_actions(&id, &[a(""), b.clone()]).await.good();
    assert_eq!(server.lims.steps()[0].actions[0].1, "", "an action left out is unset");
    server.advance(&id, "Record Details").await.good();
    let unset = server.advance(&id, "Assign Next Steps").await.refused(400);
    assert!(unset.contains("Artifact OUS1A1PA1 of step") && unset.contains("no next action"), "{unset}");
    server.put_actions(&id, &[a(r#"action="store""#), b.clone()]).await.good();
    server.advance(&id, "Assign Next Steps").await.good();
    let late = server.put_actions(&id, &[a(r#"action="store""#), b]).await.refused(400);
    assert!(late.contains("Completed"), "{late}");
}

#[tokio::test]
async fn advancing_and_aborting() {
    let field = Field { name: "Operator".to_owned(), kind: UdfKind::String, required: true };
    let settings = Settings { started_reads: 1, step_fields: vec![field], ..Settings::default() };
    let server = Server::new(settings).await;
    server.samples(&["A", "B"]);
    let id = server.start(&["OUS1A1PA1"]).await;
    assert!(
        server.advance(&id, "Started").await.refused(400).contains("cannot be advanced in state Started")
    );
    assert_eq!(server.state(&id).await, "Started");
    for stale in ["Started", "Assign Next Steps", "RECORD DETAILS", ""] {
        assert!(
            server.advance(&id, stale).await.refused(400).contains("is in state \"Record Details\""),
            "{stale}"
        );
    }
    let wrong = r#"<stp:step xmlns:stp="http://genologics.com/ri/step" limsid="24-1" current-state="Record Details"/>"#;
    let path = format!("steps/{id}/advance");
    assert!(server.call("POST", &path, wrong).await.refused(400).contains("is not step"));
    assert!(server.advance(&id, "Record Details").await.refused(400).contains("Required field \"Operator\""));
    let details = |fields: &str| {
        format!(
            r#"<stp:details xmlns:stp="http://genologics.com/ri/step" xmlns:udf="http://genologics.com/ri/userdefined"><fields>{fields}</fields></stp:details>"#
        )
    };
    let path = format!("steps/{id}/details");
    let unknown = details(r#"<udf:field name="Nobody" type="String">x</udf:field>"#);
    assert!(server.call("PUT", &path, &unknown).await.refused(400).contains("not configured"));
    let blank = details(r#"<udf:field name="Operator" type="String"> </udf:field>"#);
    assert!(server.call("PUT", &path, &blank).await.refused(400).contains("no value"));
    let other_inputs = details("").replace(
        "<fields>",
        r#"<input-output-maps><input-output-map><input uri="x"/></input-output-map></input-output-maps><fields>"#,
    );
    assert!(server.call("PUT", &path, &other_inputs).await.refused(400).contains("not those of step"));
    let set = details(r#"<udf:field name="Operator" type="String">duty</udf:field>"#);
    server.call("PUT", &path, &set).await.good();
    server.call("PUT", &path, &details("")).await.good();
    assert_eq!(server.lims.udfs(&id), [], "a field left out of a PUT is deleted");
    server.call("PUT", &path, &set).await.good();
    server.lims.configure(|settings| settings.e_signature = true);
    assert!(server.advance(&id, "Record Details").await.refused(400).contains("must be signed"));
    server.lims.configure(|settings| settings.e_signature = false);
    server.advance(&id, "Record Details").await.good();
    server.put_actions(&id, &[server.action("OUS1A1PA1", r#"action="complete""#)]).await.good();
    server.advance(&id, "Assign Next Steps").await.good();
    assert!(server.advance(&id, "Completed").await.refused(400).contains("Completed"));
    assert_eq!(server.try_call("DELETE", &format!("steps/{id}"), None).await.unwrap().status, 400);
    assert!(server.call("PUT", &path, &set).await.refused(400).contains("Completed"));
}

#[tokio::test]
async fn routing() {
    let server = Server::new(Settings::default()).await;
    let sample = server.samples(&["A"]).remove(0);
    let route = async |inner: &str| {
        let body = format!(r#"<rt:routing xmlns:rt="http://genologics.com/ri/routing">{inner}</rt:routing>"#);
        server.call("POST", "route/artifacts", &body).await.refused(400)
    };
    let stage = server.uri("configuration/workflows/751/stages/6601");
    let artifact = |id: &str| format!(r#"<artifact uri="{}"/>"#, server.uri(&format!("artifacts/{id}")));
    let assign = |to: &str, id: &str| format!(r#"<assign {to}>{}</assign>"#, artifact(id));
    let to_stage = format!(r#"stage-uri="{stage}""#);
    let root = sample.root_artifact.as_str();
    let step = server.uri("configuration/protocols/901/steps/1601");
    assert!(route("").await.contains("nothing"));
    assert!(route(&format!("<assign {to_stage}/>")).await.contains("names no artifact"));
    assert!(route(&assign("", root)).await.contains("either stage-uri or workflow-uri"));
    assert!(route(&assign(&format!(r#"stage-uri="{step}""#), root)).await.contains("No such stage"));
    assert!(route(&assign(&to_stage, "2-1")).await.contains("No such artifact"));
    assert!(route(&assign(&to_stage, &sample.outputs[0])).await.contains("result file"));
    let archived = format!(r#"workflow-uri="{}""#, server.uri("configuration/workflows/750"));
    let unassign = format!(
        r#"<unassign workflow-uri="{}">{}</unassign>"#,
        server.uri("configuration/workflows/751"),
        artifact(root)
    );
    let half = format!("{unassign}{}", assign(&archived, root));
    assert!(route(&half).await.contains("No such active workflow"));
    assert_eq!(server.queue().await, [root], "a refused routing does nothing, not even its first half");
}

#[tokio::test]
async fn replacing_an_artifact() {
    let server = Server::new(Settings::default()).await;
    let root = server.samples(&["A"]).remove(0).root_artifact;
    let path = format!("artifacts/{root}");
    let before = server.get(&path).await.text();
    let field = r#"<udf:field type="String" name="Export failed description">no FASTQ</udf:field>"#;
    let changed = before
        .replace("UNKNOWN", "FAILED")
        .replace("<workflow-stages>", &format!("{field}<workflow-stages>"));
    let answer = server.call("PUT", &path, &changed).await.good();
    assert_eq!(answer.child("qc-flag").unwrap().text(), "FAILED");
    assert_eq!(udf(&answer, "Export failed description"), Some("no FASTQ"));
    assert_eq!(server.lims.history(&root), [(1601, "QUEUED")], "stages are not changed by a PUT");
    let back = server.call("PUT", &path, &before.replace("<qc-flag>UNKNOWN</qc-flag>", "")).await.good();
    assert_eq!(back.child("qc-flag").unwrap().text(), "UNKNOWN");
    assert_eq!(udf(&back, "Export failed description"), None, "a UDF left out of a PUT is deleted");
    let strange = changed.replace("Export failed description", "Nobody");
    assert!(server.call("PUT", &path, &strange).await.refused(400).contains("not configured"));
    let other = before.replace("limsid=\"OUS1A1PA1\"", "limsid=\"OUS1A2PA1\"");
    assert!(server.call("PUT", &path, &other).await.refused(400).contains("is not artifact"));
}
