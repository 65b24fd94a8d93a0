//! The rules beside the main road: what a reader of the reference would expect of a real server.

use super::*;

const STEP_NS: &str = r#"xmlns:stp="http://genologics.com/ri/step""#;

#[tokio::test]
async fn the_index_of_the_api_and_the_kind_of_answer_asked_for() {
    let server = Server::new(Settings::default()).await;
    let index = server.get("").await.good();
    assert!(index.is("ri:index"));
    let queueless: Vec<_> = index.children("link").filter_map(|link| link.attr("rel")).collect();
    assert!(queueless.contains(&"artifacts") && queueless.contains(&"workflows"), "{queueless:?}");
    let artifacts = index.children("link").find(|link| link.attr("rel") == Some("artifacts")).unwrap();
    assert_eq!(artifacts.attr("uri"), Some(server.uri("artifacts").as_str()));
    let ask = async |accept: &str| {
        let request = server.client.get(server.uri("queues/1601")).basic_auth("apiuser", Some("secret"));
        request.header("accept", accept).send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("application/xml").await, 200);
    assert_eq!(ask("text/html, */*;q=0.1").await, 200);
    assert_eq!(ask("application/json").await, 406, "there is no other form than XML");
}

#[tokio::test]
async fn researchers_are_found_by_their_user_name() {
    let server = Server::new(Settings::default()).await;
    let all = server.get("researchers").await.good();
    assert!(all.is("res:researchers"));
    assert_eq!(all.children.len(), 2);
    let found = server.get("researchers?username=apiuser").await.good();
    assert_eq!(found.children.len(), 1);
    assert_eq!(found.children[0].child("last-name").unwrap().text(), "Access");
    let one = server.get(found.children[0].attr("uri").unwrap()).await.good();
    assert!(one.is("res:researcher"));
    assert_eq!(one.attr("uri"), Some(server.uri("researchers/3").as_str()));
    assert_eq!(one.child("credentials").unwrap().child("username").unwrap().text(), "apiuser");
    assert_eq!(server.get("researchers?username=nobody").await.good().children.len(), 0);
    assert_eq!(server.get("researchers?firstname=Ada&lastname=Tester").await.good().children.len(), 1);
    assert!(server.get("researchers?user=ada").await.refused(400).contains("user"));
    assert_eq!(server.get("researchers/4").await.refused(404), "Researcher not found: 4");
}

#[tokio::test]
async fn configured_fields_are_listed_with_their_types_and_presets() {
    let field = |name: &str, kind| Field { name: name.to_owned(), kind, required: true };
    let settings = Settings {
        sample_fields: vec![field("Relation", UdfKind::String)],
        presets: vec![("Relation".to_owned(), vec!["mother".to_owned(), "father".to_owned()])],
        ..Settings::default()
    };
    let server = Server::new(settings).await;
    server.samples(&["A"]);
    let list = server.get("configuration/udfs").await.good();
    assert!(list.is("cnf:udfs"));
    let rows: Vec<_> = list
        .children("udfconfig")
        .map(|row| (row.attr("attach-to-name").unwrap().to_owned(), row.attr("name").unwrap().to_owned()))
        .collect();
    for (owner, name) in [
        ("Sample", "Relation"),
        ("Sample", "Gene panel Diag"),
        ("Project", "Project type"),
        ("ResultFile", "SampleSheet Sample_ID"),
        ("Analyte", "Export failed description"),
        ("Lims exporter diag 2.0", "Export key"),
        ("NovaSeq X Run", "Run ID"),
    ] {
        assert_eq!(
            rows.iter().filter(|row| **row == (owner.to_owned(), name.to_owned())).count(),
            1,
            "{owner} {name}"
        );
    }
    let found = server.get("configuration/udfs?attach-to-name=Sample&name=Relation").await.good();
    let uri = found.children[0].attr("uri").unwrap().to_owned();
    let document = server.get(&uri).await.good();
    assert!(document.is("cnf:field"));
    assert_eq!(document.attr("type"), Some("String"));
    let presets: Vec<_> = document.children("preset").map(Received::text).collect();
    assert_eq!(presets, ["mother", "father"]);
    assert_eq!(document.child("is-required").unwrap().text(), "true");
    let number = server.get("configuration/udfs?attach-to-category=ProcessType&name=Run+ID").await.good();
    assert_eq!(number.children.len(), 1);
    assert_eq!(server.get("configuration/udfs/1000000").await.status, 404);
    assert_eq!(server.get("configuration/protocols?name=x").await.good().children.len(), 0);
}

#[tokio::test]
async fn lists_take_filters_and_repeated_ones_are_alternatives() {
    let server = Server::new(Settings { page_size: 2, ..Settings::default() }).await;
    let samples = server.samples(&["A", "B", "C"]);
    let list = async |path: &str| ids(&server.get(path).await.good());
    assert_eq!(list("samples?name=B").await, ["OUS1A2"]);
    assert_eq!(list("samples?name=B&name=C").await, ["OUS1A2", "OUS1A3"]);
    assert_eq!(list("samples?name=B&name=C&projectlimsid=OUS2").await, Vec::<String>::new());
    assert_eq!(list("samples?udf.Gene+panel+Diag=Nett&start-index=2").await, ["OUS1A3"]);
    assert_eq!(list("projects?name=Diag-wgs1-2026-06-12").await, ["OUS1"]);
    assert_eq!(list("containers?name=22ABCDLT4").await.len(), 1);
    let next = server.get("samples?projectname=Diag-wgs1-2026-06-12").await.good();
    assert!(next.child("next-page").unwrap().attr("uri").unwrap().contains("projectname=Diag-wgs1"));
    let both = format!(
        "artifacts?samplelimsid={}&samplelimsid={}&type=ResultFile",
        samples[0].limsid, samples[2].limsid
    );
    let (first, second) = (list(&both).await, list(&format!("{both}&start-index=2")).await);
    let found: Vec<String> = first.into_iter().chain(second).collect();
    assert!(found.contains(&samples[0].outputs[0]) && found.contains(&samples[2].outputs[0]));
    assert!(!found.contains(&samples[1].outputs[0]));
    let id = server.start(&["OUS1A1PA1"]).await;
    let search = "processes?type=Lims+exporter+diag+2.0&last-modified=";
    assert_eq!(list(&format!("{search}2020-01-01T00:00:00Z")).await, [id]);
    assert_eq!(list(&format!("{search}2120-01-01T00:00:00%2B01:00")).await, Vec::<String>::new());
    assert!(server.get(&format!("{search}2026-01-01")).await.refused(400).contains("last-modified"));
    assert!(server.get("samples?projektname=x").await.refused(400).contains("projektname"));
}

#[tokio::test]
async fn a_step_with_reagents_waits_for_a_lot_of_each_kit() {
    let settings = Settings { required_kits: vec!["TruSeq".to_owned()], ..Settings::default() };
    let server = Server::new(settings).await;
    server.samples(&["A"]);
    let config = server.get("configuration/protocols/901/steps/1601").await.good();
    let kit = &config.child("required-reagent-kits").unwrap().children[0];
    assert_eq!(kit.attr("name"), Some("TruSeq"));
    let id = server.start(&["OUS1A1PA1"]).await;
    let refused = server.advance(&id, "Record Details").await.refused(400);
    assert!(refused.contains("no lot of the required reagent kit \"TruSeq\""), "{refused}");
    let path = format!("steps/{id}/reagentlots");
    let put = async |lot: &str| {
        let uri = server.uri(&format!("reagentlots/{lot}"));
        let body = format!(
            r#"<stp:lots {STEP_NS}><reagent-lots><reagent-lot uri="{uri}"/></reagent-lots></stp:lots>"#
        );
        server.call("PUT", &path, &body).await
    };
    assert!(put("41-1").await.refused(400).contains("No such reagent lot"));
    let other = server.lims.add_lot("Nextera");
    assert!(put(&other).await.refused(400).contains("does not use"));
    let lot = server.lims.add_lot("TruSeq");
    assert_eq!(ids(put(&lot).await.good().child("reagent-lots").unwrap()), [lot.as_str()]);
    assert_eq!(ids(server.get(&path).await.good().child("reagent-lots").unwrap()), [lot.as_str()]);
    server.advance(&id, "Record Details").await.good();
    server.lims.complete_elsewhere(&id).unwrap();
    assert!(put(&lot).await.refused(400).contains("Completed"));
}

#[tokio::test]
async fn a_completed_step_cannot_be_changed_any_more() {
    let server = Server::new(Settings::default()).await;
    server.samples(&["A"]);
    let id = server.start(&["OUS1A1PA1"]).await;
    server.put_actions(&id, &[server.action("OUS1A1PA1", r#"action="complete""#)]).await.good();
    let details = server.get(&format!("steps/{id}/details")).await.text();
    let actions = server.get(&format!("steps/{id}/actions")).await.text();
    server.advance(&id, "Record Details").await.good();
    server.advance(&id, "Assign Next Steps").await.good();
    let before = server.get(&format!("steps/{id}")).await.text();
    for (method, path, body) in [
        ("PUT", format!("steps/{id}/details"), details),
        ("PUT", format!("steps/{id}/actions"), actions),
        ("POST", format!("steps/{id}/advance"), before.clone()),
        ("DELETE", format!("steps/{id}"), String::new()),
    ] {
        let told = server.call(method, &path, &body).await.refused(400);
        assert!(told.to_lowercase().contains("completed"), "{method} {path}: {told}");
    }
    assert_eq!(server.get(&format!("steps/{id}")).await.text(), before);
}

#[tokio::test]
async fn documents_of_another_step_are_refused() {
    let server = Server::new(Settings::default()).await;
    server.samples(&["A", "B"]);
    let (one, other) = (server.start(&["OUS1A1PA1"]).await, server.start(&["OUS1A2PA1"]).await);
    let actions = server.get(&format!("steps/{other}/actions")).await.text();
    let told = server.call("PUT", &format!("steps/{one}/actions"), &actions).await.refused(400);
    assert!(told.contains(&format!("is not step {one}")), "{told}");
    let step = server.get(&format!("steps/{other}")).await.text();
    let told = server.call("POST", &format!("steps/{one}/advance"), &step).await.refused(400);
    assert!(told.contains(&format!("is not step {one}")), "{told}");
}

#[tokio::test]
async fn routing_twice_is_what_the_settings_say() {
    let server = Server::new(Settings { failed_step: Some(1603), ..Settings::default() }).await;
    let root = server.samples(&["A"]).remove(0).root_artifact;
    let stage = server.uri("configuration/workflows/751/stages/6603");
    let uri = server.uri(&format!("artifacts/{root}"));
    let routing = format!(
        r#"<rt:routing xmlns:rt="http://genologics.com/ri/routing"><assign stage-uri="{stage}"><artifact uri="{uri}"/></assign></rt:routing>"#
    );
    server.lims.fault(FaultRule::once("POST", "/route/artifacts", Fault::LagReads(1)));
    server.call("POST", "route/artifacts", &routing).await.good();
    let queued = async || ids(server.get("queues/1603").await.good().child("artifacts").unwrap());
    assert_eq!(queued().await, Vec::<String>::new(), "not visible at once");
    assert_eq!(queued().await, [root.as_str()]);
    server.call("POST", "route/artifacts", &routing).await.good();
    assert_eq!(queued().await, [root.as_str()], "once more changes nothing");
    assert_eq!(server.lims.history(&root), [(1601, "QUEUED"), (1603, "QUEUED")]);
    server.lims.configure(|settings| settings.routed_twice_is_twice = true);
    server.call("POST", "route/artifacts", &routing).await.good();
    assert_eq!(queued().await, [root.clone(), root.clone()]);
    assert_eq!(server.lims.artifact(&root).unwrap().queued, [1601, 1603, 1603]);
    let stages = server.get(&format!("artifacts/{root}")).await.good();
    assert_eq!(stages.child("workflow-stages").unwrap().children.len(), 3);
    let creation = server.creation(&[&root]).replace("steps/1601", "steps/1603");
    assert_eq!(server.call("POST", "steps", &creation).await.status, 201);
    assert_eq!(queued().await, Vec::<String>::new(), "one step takes both rows");
}

#[tokio::test]
async fn a_batch_may_answer_202_and_artifacts_are_written_whole() {
    let server = Server::new(Settings { batch_status: 202, ..Settings::default() }).await;
    let root = server.samples(&["A"]).remove(0).root_artifact;
    let uri = server.uri(&format!("artifacts/{root}"));
    let body = format!(
        r#"<ri:links xmlns:ri="http://genologics.com/ri"><link uri="{uri}" rel="artifacts"/></ri:links>"#
    );
    let got = server.call("POST", "artifacts/batch/retrieve", &body).await;
    assert_eq!(got.status, 202);
    assert_eq!(ids(&got.xml()), [root.as_str()]);
    let whole = server.get(&format!("artifacts/{root}")).await.text();
    server.lims.fault(FaultRule::once("PUT", "/artifacts/", Fault::BrokenUtf8));
    let changed = whole.replace(
        "<workflow-stages>",
        r#"<udf:field type="String" name="Export failed description">mangler prøve</udf:field><workflow-stages>"#,
    );
    let answer = server.call("PUT", &format!("artifacts/{root}"), &changed).await;
    assert_eq!(answer.status, 200);
    assert!(std::str::from_utf8(&answer.body).is_err(), "the work was done, its answer cannot be read");
    let again = server.get(&format!("artifacts/{root}")).await.good();
    assert_eq!(udf(&again, "Export failed description"), Some("mangler prøve"));
}

#[tokio::test]
async fn a_program_at_the_start_holds_the_step_in_started() {
    let program = |outcome| Program {
        name: "Check inputs".to_owned(),
        leaving: StepState::Started,
        reads: 2,
        outcome,
        message: None,
    };
    let settings = Settings {
        programs: vec![program(ProgramOutcome::Ok)],
        started_reads: 1,
        setup_screen: true,
        ..Settings::default()
    };
    let server = Server::new(settings).await;
    let roots: Vec<String> = server.samples(&["A", "B"]).into_iter().map(|s| s.root_artifact).collect();
    let trigger = server.get("configuration/protocols/901/steps/1601").await.good();
    assert_eq!(trigger.child("epp-triggers").unwrap().children[0].attr("status"), Some("STARTED"));
    let id = server.start(&[&roots[0]]).await;
    let status = format!("steps/{id}/programstatus");
    assert_eq!(server.get(&status).await.status, 404, "it has not begun");
    assert_eq!(server.state(&id).await, "Started");
    assert_eq!(server.get(&status).await.good().child("status").unwrap().text(), "QUEUED");
    assert_eq!(server.state(&id).await, "Started");
    assert_eq!(server.state(&id).await, "Step Setup");
    server.lims.configure(|settings| settings.programs = vec![program(ProgramOutcome::Error)]);
    let id = server.start(&[&roots[1]]).await;
    for _ in 0..5 {
        assert_eq!(server.state(&id).await, "Started", "a failed one holds it for ever");
    }
    assert_eq!(server.try_call("DELETE", &format!("steps/{id}"), None).await.unwrap().status, 204);
    assert_eq!(server.lims.queued(), [roots[1].as_str()]);
}
