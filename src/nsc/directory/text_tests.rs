use super::*;

const ROOT: &str = "/delivery";

fn sample(name: &str) -> Value {
    json!({"name": name, "sample_id": "HG1", "project": "Diag", "sequencer_id": "L", "flowcell_id": "F", "flowcell": "A",
        "lane": 1, "capturekit": "wgs", "taqman": null, "stats": {"reads": 12, "q30_bases_pct": 88.94}, "site": "æ"})
}

fn files(name: &str) -> Value {
    let md5 = "900150983cd24fb0d6963f7d28e17f72";
    json!([{"from": format!("run/{name}_R1_001.fastq.gz"), "to": format!("{name}_S1_R1_001.fastq.gz"), "md5": md5},
        {"from": format!("/delivery/run/{name}_R2_001.fastq.gz"), "to": format!("{name}_S1_R2_001.fastq.gz"), "md5": md5, "size": 7}])
}

fn good() -> Value {
    json!({"version": 1, "priority": "high", "packages": [
        {"kind": "samples", "priority": "urgent", "sample": sample("Diag-1"), "files": files("Diag-1")},
        {"kind": "samples", "sample": sample("Diag-2"), "files": files("Diag-2")},
        {"kind": "analyses", "analysis": {"name": "Diag-1-PAIR", "samples": ["Diag-1"]}, "after": ["Diag-2"]}]})
}

fn make_with(text: &str, measured: Option<Measured>) -> Result<Order, Obstacle> {
    let root = Path::new(ROOT);
    let order = WorkOrder::parse(text.as_bytes())?;
    let files = order.files(root)?;
    let measured = files.into_iter().map(|f| (f, measured.clone().unwrap_or(Measured::Bytes(7)))).collect();
    order.order(OrderId("o#2".into()), "o", root, &measured)
}

fn make(text: &Value) -> Result<Order, Obstacle> {
    make_with(&text.to_string(), None)
}

fn wrong(text: &Value) -> Fault {
    match make(text) {
        Err(Obstacle::Wrong(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_order_says_all_that_it_means() {
    let order = make(&good()).unwrap();
    assert_eq!((order.id.0.as_str(), &order.artifacts[..]), ("o#2", &["o".to_owned()][..]));
    let shown: Vec<String> = order.packages.iter().map(|d| format!("{} {}", d.priority, d.id)).collect();
    assert_eq!(shown, ["urgent samples/Diag-1/r1", "high samples/Diag-2/r1", "high analyses/Diag-1-PAIR/r1"]);
    let Content::Sample { doc, files } = &order.packages[0].content else { panic!("a sample") };
    assert_eq!(files[0].from, Path::new("/delivery/run/Diag-1_R1_001.fastq.gz"));
    assert_eq!((files[1].size, doc.reads.len(), doc.reads[1].size), (7, 2, 7));
    assert_eq!(
        (doc.more["site"].as_str(), doc.stats.q30_bases_pct.as_ref().unwrap().to_string()),
        (Some("æ"), "88.94".into())
    );
    let after: Vec<String> = order.packages[2].after.iter().map(ToString::to_string).collect();
    assert_eq!(after, ["samples/Diag-1/r1", "samples/Diag-2/r1"], "said, and needed");
    let Content::Analysis { doc } = &order.packages[2].content else { panic!("an analysis") };
    assert_eq!(doc.priority, "2");
}

#[test]
fn what_is_not_there_yet_is_waited_for_and_what_is_odd_is_not() {
    let text = good().to_string();
    let Err(Obstacle::NotYet(why)) = make_with(&text, Some(Measured::Absent)) else { panic!("waits") };
    assert_eq!(why, "packages[0].files[0].from: /delivery/run/Diag-1_R1_001.fastq.gz is not there");
    let Err(Obstacle::Wrong(fault)) = make_with(&text, Some(Measured::Odd("a link".into()))) else {
        panic!("wrong")
    };
    assert_eq!(
        (fault.reason, fault.detail.as_str()),
        (Reason::UnsafeContent, "packages[0].files[0].from: a link")
    );
    let Err(Obstacle::Wrong(fault)) = make_with(&text, Some(Measured::Bytes(8))) else { panic!("wrong") };
    assert_eq!(fault.reason, Reason::SizeMismatch);
}

/// Each change to the good order, and what its fault must name.
#[test]
fn every_fault_names_its_field() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 29] = [
        ("version: 2 is not known", |o| o["version"] = json!(2)),
        ("version", |o| drop(o.as_object_mut().unwrap().remove("version"))),
        ("unknown field `extra`", |o| o["extra"] = json!(1)),
        ("packages[1].prio: unknown field `prio`", |o| o["packages"][1]["prio"] = json!("high")),
        ("packages[0].files[1].sha: unknown field `sha`", |o| {
            o["packages"][0]["files"][1]["sha"] = json!("x")
        }),
        ("packages: there are 0", |o| o["packages"] = json!([])),
        ("packages: there are 201", |o| o["packages"] = json!(vec![good()["packages"][2].clone(); 201])),
        ("packages[0].files: there are 1001", |o| {
            o["packages"][0]["files"] = json!(vec![files("x")[0].clone(); 1001])
        }),
        ("packages[0].priority: unknown variant `soon`", |o| o["packages"][0]["priority"] = json!("soon")),
        ("packages[0].revision: the first one is 1", |o| o["packages"][0]["revision"] = json!(0)),
        ("packages[0].kind: \"ella-incoming\" is not made", |o| {
            o["packages"][0]["kind"] = json!("ella-incoming")
        }),
        ("packages[0].kind", |o| o["packages"][0]["kind"] = json!("../x")),
        ("packages[0].sample: a package of kind samples needs it", |o| {
            o["packages"][0]["sample"] = json!([1])
        }),
        ("packages[0].sample.lane: invalid type", |o| o["packages"][0]["sample"]["lane"] = json!("one")),
        ("packages[0].sample: missing field `flowcell`", |o| {
            drop(o["packages"][0]["sample"].as_object_mut().unwrap().remove("flowcell"))
        }),
        ("packages[0].sample.name", |o| o["packages"][0]["sample"]["name"] = json!("../up")),
        ("packages[0].sample.reads: is made from", |o| o["packages"][0]["sample"]["reads"] = json!([])),
        ("packages[0].sample: Diag-1.sample names x.taqman", |o| {
            o["packages"][0]["sample"]["taqman"] = json!("x.taqman")
        }),
        ("packages[0].sample: Diag-1.sample: R1 and R2 do not come in pairs: Diag-1_S1_R2", |o| {
            drop(o["packages"][0]["files"].as_array_mut().unwrap().remove(0)) // R2 alone; R1 alone is a run of one pass
        }),
        ("packages[0].files[0].md5: a FASTQ file needs", |o| {
            o["packages"][0]["files"][0]["md5"] = Value::Null
        }),
        ("packages[0].files[0].md5", |o| o["packages"][0]["files"][0]["md5"] = json!("xyz")),
        ("packages[0].files[0].to: notes.txt is neither", |o| {
            o["packages"][0]["files"][0]["to"] = json!("notes.txt")
        }),
        ("packages[0].files[0].to: a plain file name", |o| {
            o["packages"][0]["files"][0]["to"] = json!("a/x.fastq.gz")
        }),
        ("packages[0].files[1].to: two files would become", |o| {
            o["packages"][0]["files"][1]["to"] = o["packages"][0]["files"][0]["to"].clone()
        }),
        (
            "packages[0].files[1].size: /delivery/run/Diag-1_R2_001.fastq.gz has 7 bytes, the order says 8",
            |o| o["packages"][0]["files"][1]["size"] = json!(8),
        ),
        ("packages[1]: the order has Diag-1 twice", |o| o["packages"][1] = o["packages"][0].clone()),
        ("packages[0].after: only an analysis waits", |o| o["packages"][0]["after"] = json!(["Diag-2"])),
        ("packages[2].after: Diag-9 is no sample of this order", |o| {
            o["packages"][2]["after"] = json!(["Diag-9"])
        }),
        ("packages[2]: a package of kind analyses has neither", |o| o["packages"][2]["files"] = files("x")),
    ];
    for (words, change) in changes {
        let mut text = good();
        change(&mut text);
        let fault = wrong(&text);
        assert!(fault.detail.contains(words), "{:?} should say {words:?}", fault.detail);
    }
}

#[test]
fn no_path_leads_out_of_the_delivery() {
    for from in
        ["/etc/passwd", "../x", "run/../../x", "/delivery/../etc/passwd", "/delivery", "", "/deliveryx/y"]
    {
        let mut text = good();
        text["packages"][0]["files"][0]["from"] = json!(from);
        let fault = wrong(&text);
        assert_eq!(fault.reason, Reason::UnsafeContent, "{from}");
        assert!(fault.detail.starts_with("packages[0].files[0].from: "), "{}", fault.detail);
    }
}

#[test]
fn half_a_text_two_texts_and_fields_given_twice_are_refused() {
    let text = good().to_string();
    let length = text.chars().count();
    for cut in [0, 1, length / 2, length - 1] {
        let half: String = text.chars().take(cut).collect();
        assert!(WorkOrder::parse(half.as_bytes()).is_err(), "{cut}");
    }
    for bad in [
        format!("{text}{text}"),
        text.replacen("\"sample_id\":\"HG1\"", "\"sample_id\":\"HG1\",\"sample_id\":\"HG2\"", 1),
        text.replacen("\"version\":1", "\"version\":1,\"version\":1", 1),
        "[".repeat(100_000),
        "\u{0}".to_owned(),
        "null".to_owned(),
    ] {
        let fault = WorkOrder::parse(bad.as_bytes()).unwrap_err();
        assert_eq!(fault.reason, Reason::BadDocument);
    }
    assert!(WorkOrder::parse(b"\xff\xfe").is_err());
}
