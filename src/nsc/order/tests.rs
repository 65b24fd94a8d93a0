use std::path::{Path, PathBuf};

use super::*;
use crate::clarity::{LimsId, Udf, UdfKind};
use crate::conf::{Again, Conf, Side};
use crate::package::{Content, Draft, Fastq, Md5Hex, SampleDoc, State};

fn conf() -> LimsConf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/nsc.toml");
    match Conf::load_with(Some(&file), None, []).unwrap().side {
        Side::Nsc(nsc) => nsc.lims,
        Side::Tsd(_) => panic!("conf/nsc.toml is of role nsc"),
    }
}

fn udfs(pairs: &[(&str, &str)]) -> Udfs {
    pairs
        .iter()
        .map(|(n, v)| ((*n).to_owned(), Udf { kind: UdfKind::String, value: (*v).to_owned() }))
        .collect()
}

fn output(lane: u32, sheet_id: &str) -> LaneOutput {
    LaneOutput {
        output: format!("92-{lane}"),
        udfs: udfs(&[
            ("SampleSheet Sample_ID", sheet_id),
            ("Sample sheet position", "11"),
            ("Number of data read passes", "2"),
            ("# Reads", "1000"),
            ("% Bases >=Q30", "92.4"),
        ]),
        lane,
        run_id: "20260612_LH00534_0123_A22ABCDLT4".into(),
        label: Some("BC04 (TTCGGATT-CCTATCGT)".into()),
    }
}

fn queued(name: &str, fields: &[(&str, &str)], outputs: Vec<LaneOutput>) -> Queued {
    let id = |text: &str| LimsId::new(text).unwrap();
    let sample = Sample {
        id: id("OUS1A1"),
        name: Some(name.into()),
        received: None,
        completed: None,
        project: Some(id("OUS1")),
        artifact: None,
        udfs: udfs(fields),
        files: vec![],
    };
    let project = Project {
        id: id("OUS1"),
        name: Some("Diag-wgs1".into()),
        opened: Some("2026-06-01".parse().unwrap()),
        closed: None,
        priority: None,
        udfs: Udfs::new(),
        files: vec![],
    };
    Queued { artifact: format!("2-{}", name.len()), sample, project, outputs }
}

fn delivered(lanes: &[u32], sheet_id: &str, ending: &str) -> BTreeMap<PathBuf, Delivery> {
    let mut delivery = Delivery::default();
    for lane in lanes {
        for n in [1, 2] {
            let name = format!("{sheet_id}_S11_L{lane:03}_R{n}_001.fastq.{ending}");
            let md5 = format!("{:032x}", lane * 10 + n);
            delivery.md5.insert(name.clone(), md5.parse().unwrap());
            delivery.sizes.insert(name, u64::from(lane * 100 + n));
        }
    }
    [(PathBuf::from("/nsc/260612_LH00534.A.Project_Diag-wgs1/fastq"), delivery)].into()
}

const NAME: &str = "HG12345677-Nett-KIT-wgs";
const SHEET: &str = "wgs1_HG12345677_3c52f4e7-826d-40dd-bd98-f4356deeb098";

fn draft(queued: &Queued, deliveries: &BTreeMap<PathBuf, Delivery>) -> Result<Draft, NotYet> {
    draft_sample(&conf(), queued, Priority::Normal, Path::new("/nsc"), deliveries, None)
}

fn sample_of(draft: Draft) -> (SampleDoc, Vec<Fastq>) {
    match draft.content {
        Content::Sample { doc, files } => (*doc, files),
        Content::Analysis { .. } => panic!("a sample package"),
    }
}

#[test]
fn a_run_id_is_taken_apart_and_names_its_delivery() {
    let run = RunId::parse("20260612_LH00534_0123_A22ABCDLT4").unwrap();
    assert_eq!(
        (run.date.as_str(), run.serial.as_str(), run.side.as_str(), run.flowcell.as_str()),
        ("2026-06-12", "LH00534", "A", "22ABCDLT4")
    );
    assert_eq!(run.delivery(Path::new("/nsc"), "P"), Path::new("/nsc/260612_LH00534.A.Project_P/fastq"));
    for odd in [
        "",
        "20260612_LH00534_0123",
        "260612_LH00534_0123_A22",
        "20260612_LH00534_0123_C22",
        "20260612_LH00534_0123_A",
        "20260612_LH00534_0123_æ22",
    ] {
        assert!(RunId::parse(odd).is_err(), "{odd}");
    }
}

#[test]
fn one_lane_gives_the_package_of_the_automation_system() {
    let draft = draft(&queued(NAME, &[], vec![output(3, SHEET)]), &delivered(&[3], SHEET, "gz")).unwrap();
    assert_eq!(draft.id.to_string(), "samples/Diag-wgs1-HG12345677/r1");
    let (doc, files) = sample_of(draft);
    let names: Vec<&str> = files.iter().map(|f| f.to.as_str()).collect();
    assert_eq!(
        names,
        ["HG12345677-Nett-KIT-wgs_S11_R1_001.fastq.gz", "HG12345677-Nett-KIT-wgs_S11_R2_001.fastq.gz"]
    );
    assert_eq!((doc.sample_id.as_str(), doc.lane, doc.capturekit.as_str()), ("HG12345677", 3, "wgs"));
    assert_eq!(doc.index.as_deref(), Some("TTCGGATT-CCTATCGT"));
    assert_eq!((doc.flowcell_id.as_str(), doc.flowcell.as_str()), ("22ABCDLT4", "A"));
    assert_eq!(doc.project_date.as_deref(), Some("2026-06-01"));
    assert_eq!((doc.reads[1].size, doc.reads[1].md5.as_str()), (302, "00000000000000000000000000000020"));
    assert_eq!(doc.stats.q30_bases_pct.unwrap().to_string(), "92.4");
    assert_eq!(doc.stats.mean_qual_score, None, "an absent number is absent, not zero");
}

#[test]
fn several_lanes_keep_their_lane_in_the_name_and_only_the_reads_are_added() {
    let outputs = vec![output(1, SHEET), output(2, SHEET)];
    let (doc, files) =
        sample_of(draft(&queued(NAME, &[], outputs), &delivered(&[1, 2], SHEET, "gz")).unwrap());
    assert_eq!(files.len(), 4);
    assert_eq!(files[2].to.as_str(), "HG12345677-Nett-KIT-wgs_S11_L002_R1_001.fastq.gz");
    assert_eq!(doc.stats.reads.unwrap().as_u64(), Some(2000));
    assert_eq!(doc.stats.q30_bases_pct, None);
}

/// Why not, whether time cures it, and the words.
fn refused(queued: &Queued, deliveries: &BTreeMap<PathBuf, Delivery>) -> (Option<Reason>, String) {
    match draft(queued, deliveries).unwrap_err() {
        NotYet::Waits(why) => (None, why),
        NotYet::Wrong(fault) => (Some(fault.reason), fault.detail),
    }
}

#[test]
fn two_outputs_of_one_lane_are_a_question_for_a_person() {
    let mut second = output(1, SHEET);
    second.output = "92-9".into();
    let (reason, said) =
        refused(&queued(NAME, &[], vec![output(1, SHEET), second]), &delivered(&[1], SHEET, "gz"));
    assert_eq!(reason, Some(Reason::LimsContradiction));
    assert!(said.contains("two outputs of one lane: 92-1 and 92-9"), "{said}");
}

#[test]
fn a_top_up_from_another_run_is_one_sample() {
    let second = LaneOutput { run_id: "20260613_LH00534_0124_B22ABCDLT5".into(), ..output(2, SHEET) };
    let mut all = delivered(&[1], SHEET, "gz");
    let (_, other) = delivered(&[2], SHEET, "gz").pop_first().unwrap();
    drop(all.insert("/nsc/260613_LH00534.B.Project_Diag-wgs1/fastq".into(), other));
    let (doc, files) =
        sample_of(draft(&queued(NAME, &[], vec![output(1, SHEET), second.clone()]), &all).unwrap());
    assert_eq!((files.len(), doc.lane, doc.stats.reads.unwrap().as_str()), (4, 1, "2000"));
    assert!(files[3].from.starts_with("/nsc/260613_LH00534.B.Project_Diag-wgs1/fastq"));
    let same_lane = LaneOutput { lane: 1, ..second };
    drop(all.insert(
        "/nsc/260613_LH00534.B.Project_Diag-wgs1/fastq".into(),
        delivered(&[1], SHEET, "gz").pop_first().unwrap().1,
    ));
    let (reason, said) = refused(&queued(NAME, &[], vec![output(1, SHEET), same_lane]), &all);
    assert_eq!(reason, Some(Reason::LimsContradiction));
    assert!(said.contains("would both become"), "{said}");
}

#[test]
fn compressed_as_ora_it_is_looked_for_as_ora() {
    let mut ora = output(1, SHEET);
    ora.udfs.insert("ORA compression".into(), Udf { kind: UdfKind::Boolean, value: "true".into() });
    let (_, files) = sample_of(draft(&queued(NAME, &[], vec![ora]), &delivered(&[1], SHEET, "ora")).unwrap());
    assert!(files.iter().all(|f| f.to.as_str().ends_with("_001.fastq.ora")));
}

#[test]
fn what_is_missing_or_contradictory_is_said() {
    let all = delivered(&[1], SHEET, "gz");
    let with = |udf: &str, value: Option<&str>| {
        let mut one = output(1, SHEET);
        match value {
            None => drop(one.udfs.remove(udf)),
            Some(v) => drop(one.udfs.insert(udf.into(), Udf { kind: UdfKind::String, value: v.into() })),
        }
        queued(NAME, &[], vec![one])
    };
    let mut no_file = all.clone();
    no_file.values_mut().for_each(|d| drop(d.sizes.pop_last()));
    let mut no_sum = all.clone();
    no_sum.values_mut().for_each(|d| drop(d.md5.pop_last()));
    let plain = queued(NAME, &[], vec![output(1, SHEET)]);
    let mut moved = all.clone();
    for delivery in moved.values_mut() {
        let (name, size) = delivery.sizes.pop_last().unwrap();
        let _new = delivery.sizes.insert(name.replace("_S11_", "_S12_"), size);
    }
    let mut both = all.clone();
    both.values_mut()
        .for_each(|d| d.sizes.extend(delivered(&[1], SHEET, "ora").values().flat_map(|o| o.sizes.clone())));
    let (invalid, contradiction) = (Some(Reason::LimsInvalid), Some(Reason::LimsContradiction));
    for (queued, deliveries, reason, why) in [
        (&plain, &no_file, None, "R2_001.fastq.gz is not there"),
        (&plain, &no_sum, None, "has no sum in /nsc/260612_LH00534.A.Project_Diag-wgs1/fastq/md5sum.txt"),
        (&plain, &BTreeMap::new(), None, "R1_001.fastq.gz is not there"),
        (&plain, &delivered(&[1], SHEET, "ora"), None, "R1_001.fastq.gz is not there"),
        (&queued(NAME, &[], vec![]), &all, None, "no demultiplexing output"),
        (
            &plain,
            &moved,
            contradiction,
            "_S12_L001_R2_001.fastq.gz, which no demultiplexing output explains; the LIMS says",
        ),
        (&plain, &both, contradiction, "fastq.ora, which no demultiplexing output explains"),
        (
            &plain,
            &delivered(&[1, 2], SHEET, "gz"),
            contradiction,
            "_L002_R1_001.fastq.gz, which no demultiplexing",
        ),
        (
            &with("SampleSheet Sample_ID", Some("wgs1_HG99999999_x")),
            &all,
            contradiction,
            "the sample sheet calls it \"wgs1_HG99999999_x\"",
        ),
        (
            &with("SampleSheet Sample_ID", None),
            &all,
            invalid,
            "field \"SampleSheet Sample_ID\" of 92-1 is not set",
        ),
        (
            &with("SampleSheet Sample_ID", Some("../_HG12345677_")),
            &all,
            invalid,
            "should be a plain file name",
        ),
        (
            &with("Sample sheet position", Some("eleven")),
            &all,
            invalid,
            "says \"eleven\", it should be a number",
        ),
        (&with("Number of data read passes", Some("3")), &all, invalid, "says \"3\", it should be 1 or 2"),
        (
            &with("ORA compression", Some("maybe")),
            &all,
            invalid,
            "says \"maybe\", it should be true or false",
        ),
        (
            &with("# Reads", Some("many")),
            &all,
            invalid,
            "\"# Reads\" of output 92-1 says \"many\": it is no number",
        ),
        (
            &queued("HG1/../x-KIT-wgs", &[], vec![output(1, SHEET)]),
            &all,
            invalid,
            "no package name can be made of sample",
        ),
        (&queued("-KIT-wgs", &[], vec![output(1, SHEET)]), &all, invalid, "does not begin with a DNA id"),
        (
            &queued("HG12345677", &[], vec![output(1, SHEET)]),
            &all,
            invalid,
            "field \"Kit version Diag\" of the sample is not set",
        ),
    ] {
        let (found, said) = refused(queued, deliveries);
        assert!(said.contains(why) && found == reason, "{found:?} {said:?} should say {why:?}");
    }
    let odd_run = LaneOutput { run_id: "latest".into(), ..output(1, SHEET) };
    let (reason, said) = refused(&queued(NAME, &[], vec![odd_run]), &all);
    assert!(reason == invalid && said.contains("run id \"latest\" is not YYYYMMDD"), "{said}");
}

#[test]
fn the_sites_own_fields_keep_their_texts() {
    let mut conf = conf();
    let spec = [
        ("panel", "Gene panel Diag"),
        ("unit", "project:Unit"),
        ("dataset", "output:Dataset UUID"),
        ("gone", "Nothing"),
    ];
    conf.sample_fields = spec.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let mut one =
        queued(NAME, &[("Gene panel Diag", " Bløt æøå_v01 ")], vec![output(1, SHEET), output(2, SHEET)]);
    one.project.udfs = udfs(&[("Unit", "97.760")]);
    for output in &mut one.outputs {
        output.udfs.extend(udfs(&[("Dataset UUID", "3c52"), ("% Bases >=Q30", "97.760")]));
    }
    let all = delivered(&[1, 2], SHEET, "gz");
    let draft = |conf: &LimsConf, one: &Queued| {
        draft_sample(conf, one, Priority::Normal, Path::new("/nsc"), &all, None)
    };
    let (doc, _) = sample_of(draft(&conf, &one).unwrap());
    let text = serde_json::to_string(&doc).unwrap();
    assert!(text.ends_with(r#""dataset":"3c52","panel":" Bløt æøå_v01 ","unit":"97.760"}"#), "{text}");
    one.outputs[1].udfs.extend(udfs(&[("Dataset UUID", "77ff")]));
    let said = draft(&conf, &one).unwrap_err();
    assert!(said.words().contains("says both \"3c52\" and \"77ff\""), "{said:?}");
    drop(conf.sample_fields.insert("lane".into(), "Gene panel Diag".into()));
    assert!(draft(&conf, &one).unwrap_err().words().contains("every document has that already"));
    one.outputs.pop();
    conf.sample_fields.clear();
    let (doc, _) = sample_of(
        draft_sample(&conf, &one, Priority::Normal, Path::new("/nsc"), &delivered(&[1], SHEET, "gz"), None)
            .unwrap(),
    );
    assert!(
        serde_json::to_string(&doc).unwrap().contains(r#""q30_bases_pct":97.760"#),
        "numbers pass as they stand"
    );
}

#[test]
fn an_snp_id_result_goes_in_under_the_packages_name() {
    let snp = Snp { path: "/snp/HG12345677-p7.taqman".into(), size: 9, md5: Md5Hex::of(b"x") };
    let (one, all) = (queued(NAME, &[], vec![output(1, SHEET)]), delivered(&[1], SHEET, "gz"));
    let (doc, files) = sample_of(
        draft_sample(&conf(), &one, Priority::Normal, Path::new("/nsc"), &all, Some(&snp)).unwrap(),
    );
    assert_eq!(doc.taqman.as_deref(), Some("Diag-wgs1-HG12345677.taqman"));
    assert_eq!((files.len(), doc.reads.len(), files[2].to.as_str()), (3, 2, "Diag-wgs1-HG12345677.taqman"));
    let now: jiff::Timestamp = "2026-06-12T12:00:00Z".parse().unwrap();
    let file = |name: &str, ago: i64| SnpEntry {
        name: name.into(),
        written: now - jiff::SignedDuration::from_secs(ago),
    };
    let files = [
        file("HG12.taqman", 500),
        file("HG12-new.taqman", 300),
        file("HG123.taqman", 90),
        file("HG12.txt", 100),
    ];
    let newest = |dna: &str, now| SnpEntry::newest(&files, dna, now).map(|f| f.map(|f| f.name.as_str()));
    assert_eq!(newest("HG12", now), Ok(Some("HG12-new.taqman")), "not the one of HG123");
    assert_eq!((newest("HG1", now), newest("", now), newest("XX", now)), (Ok(None), Ok(None), Ok(None)));
    assert!(
        newest("HG123", now - jiff::SignedDuration::from_secs(45))
            .unwrap_err()
            .words()
            .contains("written just now")
    );
}

#[test]
fn priorities_and_families_follow_the_sites_words() {
    let conf = conf();
    let with = |pairs: &[(&str, &str)]| queued(NAME, pairs, vec![]).sample;
    assert_eq!(priority(&conf, &with(&[])).unwrap(), Priority::Normal);
    assert_eq!(priority(&conf, &with(&[("Priority Diag", "URGENT")])).unwrap(), Priority::Urgent);
    assert!(priority(&conf, &with(&[("Priority Diag", "soon")])).unwrap_err().words().contains("\"soon\""));
    assert_eq!(family(&conf, &with(&[("Analysis type Diag", "single")])).unwrap(), None);
    let trio = [("Analysis type Diag", "trio"), ("Family number Diag", "7"), ("Relation Diag", "Mother")];
    assert_eq!(family(&conf, &with(&trio)).unwrap(), Some(("7".into(), Relation::Mother)));
    assert!(family(&conf, &with(&trio[..2])).unwrap_err().words().contains("Relation Diag"));
    let odd = [trio[0], trio[1], ("Relation Diag", "aunt")];
    assert!(family(&conf, &with(&odd)).unwrap_err().words().contains("\"aunt\""));
}

#[test]
fn a_trio_leaves_with_the_analysis_last_and_the_highest_priority_for_all() {
    let conf = conf();
    let names = ["HG00000001-a-KIT-wgs", "HG000000022-a-KIT-wgs", "HG0000000333-a-KIT-wgs"];
    let members: Vec<(Queued, Draft)> = names
        .iter()
        .map(|name| {
            let sheet = format!("wgs1_{}_x", dna_id(name));
            let one = queued(name, &[("Gene panel Diag", "DR_v01")], vec![output(1, &sheet)]);
            let drafted = draft(&one, &delivered(&[1], &sheet, "gz")).unwrap();
            (one, drafted)
        })
        .collect();
    let parts: Vec<Part> =
        members.iter().map(|(_, d)| judge(d.clone(), None, Again::Ask, false).unwrap()).collect();
    let subjects = |parts: Vec<Part>| -> Vec<Subject<'_>> {
        let of =
            |((one, draft), part): (&'_ (Queued, Draft), Part)| (one.clone(), draft.id.name.clone(), part);
        let all: Vec<(Queued, Name, Part)> = members.iter().zip(parts).map(of).collect();
        let find =
            |one: &Queued| members.iter().map(|(q, _)| q).find(|q| q.artifact == one.artifact).unwrap();
        all.into_iter()
            .map(|(one, package, part)| Subject { one: find(&one), package, part: Some(part) })
            .collect()
    };
    let whole = |parts: Vec<Part>, past: Option<Past>| {
        let subjects = subjects(parts);
        let anew = subjects.iter().any(|s| matches!(s.part, Some(Part::Send { .. })));
        let analysis = draft_analysis(&conf, &subjects, Priority::Urgent).unwrap();
        let analysis = judge(analysis, past, Again::Revise, anew).unwrap();
        assemble(order_id(&subjects[0].one.artifact, 0), subjects, Some(analysis), Priority::Urgent)
    };
    let order = whole(parts.clone(), None);
    assert_eq!(order.artifacts.len(), 3);
    assert!(order.packages.iter().all(|d| d.priority == Priority::Urgent));
    let analysis = &order.packages[3];
    assert_eq!(analysis.id.to_string(), "analyses/Diag-wgs1-HG00000001-TRIO/r1");
    assert_eq!(analysis.after.len(), 3);
    let Content::Analysis { doc } = &analysis.content else { panic!("an analysis") };
    assert_eq!(doc.params.genepanel.as_deref(), Some("DR_v01"));
    assert_eq!(doc.params.pedigree.as_ref().unwrap().mother.sample.as_str(), "Diag-wgs1-HG0000000333");
    assert_eq!(doc.priority, "3");
    assert_eq!(order.note, None);

    // A member that was sent before, and is the same, is referred to.
    let sent = |n: usize| Past {
        id: members[n].1.id.clone(),
        state: PastState::Left(Some(Sent::of(&members[n].1.content))),
    };
    let mut known = parts.clone();
    known[1] = judge(members[1].1.clone(), Some(sent(1)), Again::Ask, false).unwrap();
    let second = whole(known, None);
    assert_eq!(second.packages.len(), 3);
    assert_eq!(second.packages[2].after.len(), 2);
    let Content::Analysis { doc: names } = &second.packages[2].content else { panic!("an analysis") };
    assert_eq!(names.samples, doc.samples);
    assert_eq!(
        second.note.as_deref(),
        Some("samples/Diag-wgs1-HG000000022/r1 was sent before and is the same")
    );

    // All as it was: an order without packages. One member anew: the analysis anew as well.
    let past = Past { id: analysis.id.clone(), state: PastState::Left(Some(Sent::of(&analysis.content))) };
    let all: Vec<Part> =
        (0..3).map(|n| judge(members[n].1.clone(), Some(sent(n)), Again::Revise, false).unwrap()).collect();
    let nothing = whole(all.clone(), Some(past.clone()));
    assert!(nothing.packages.is_empty() && nothing.artifacts.len() == 3, "{nothing:?}");
    let mut anew = members[2].1.clone();
    let Content::Sample { doc, .. } = &mut anew.content else { panic!("a sample") };
    doc.capturekit = "wgs2".into();
    let mut one_anew = all;
    one_anew[2] = judge(anew, Some(sent(2)), Again::Revise, false).unwrap();
    let ids: Vec<String> = whole(one_anew, Some(past)).packages.iter().map(|d| d.id.to_string()).collect();
    assert_eq!(ids, ["samples/Diag-wgs1-HG0000000333/r2", "analyses/Diag-wgs1-HG00000001-TRIO/r2"]);
}

#[test]
fn what_is_queued_again_is_compared_with_what_was_sent() {
    let first = draft(&queued(NAME, &[], vec![output(1, SHEET)]), &delivered(&[1], SHEET, "gz")).unwrap();
    let left = |sent| Some(Past { id: first.id.clone(), state: PastState::Left(sent) });
    let same = judge(first.clone(), left(Some(Sent::of(&first.content))), Again::Ask, false).unwrap();
    assert!(matches!(same, Part::Sent(ref id) if *id == first.id), "{same:?}");
    // A uuid in the old document, another place of the files and a new artifact are no difference.
    let (mut old, mut now) = (first.clone(), first.clone());
    now.artifact = Some("2-99".into());
    if let (Content::Sample { doc, .. }, Content::Sample { files, .. }) = (&mut old.content, &mut now.content)
    {
        doc.uuid = Some("3c52f4e7-826d-40dd-bd98-f4356deeb098".into());
        files.iter_mut().for_each(|f| f.from = Path::new("/elsewhere").join(f.to.as_str()));
    }
    assert!(matches!(judge(now, left(Some(Sent::of(&old.content))), Again::Ask, false), Ok(Part::Sent(_))));

    let with_snp = |md5: &[u8]| {
        let mut draft = first.clone();
        let Content::Sample { doc, files } = &mut draft.content else { panic!("a sample") };
        doc.taqman = Some("Diag-wgs1-HG12345677.taqman".into());
        let to = "Diag-wgs1-HG12345677.taqman".parse().unwrap();
        files.push(Fastq { from: "/snp/a".into(), to, md5: Some(Md5Hex::of(md5)), size: 3 });
        draft
    };
    let (old, new) = (with_snp(b"AA"), with_snp(b"CC"));
    let said = judge(new.clone(), left(Some(Sent::of(&old.content))), Again::Ask, false).unwrap_err();
    for word in [
        "samples/Diag-wgs1-HG12345677/r1 was sent before",
        "SNP-ID result, md5",
        Md5Hex::of(b"AA").as_str(),
        Md5Hex::of(b"CC").as_str(),
        "orders.again",
    ] {
        assert!(said.words().contains(word), "{word}: {said:?}");
    }
    let Part::Send { draft, note } =
        judge(new, left(Some(Sent::of(&old.content))), Again::Revise, false).unwrap()
    else {
        panic!("it is a new revision")
    };
    assert_eq!(draft.id.to_string(), "samples/Diag-wgs1-HG12345677/r2");
    assert!(
        note.unwrap()
            .starts_with("samples/Diag-wgs1-HG12345677/r2 after samples/Diag-wgs1-HG12345677/r1: SNP-ID")
    );
    let again = Past { id: draft.id.clone(), state: PastState::Left(None) };
    let Ok(Part::Send { draft, .. }) = judge(first.clone(), Some(again), Again::Revise, false) else {
        panic!("r3")
    };
    assert_eq!(draft.id.to_string(), "samples/Diag-wgs1-HG12345677/r3");

    for (state, word) in [
        (PastState::UnderWay(State::Uploading), "r1 is uploading: it waits until"),
        (
            PastState::Stopped(State::Quarantined, Some(Reason::Md5Mismatch), Some("R1".into())),
            "is quarantined (md5-mismatch: R1)",
        ),
    ] {
        let past = Some(Past { id: first.id.clone(), state });
        let NotYet::Waits(said) = judge(first.clone(), past, Again::Revise, false).unwrap_err() else {
            panic!("it waits")
        };
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn what_is_analysed_anew_names_the_earlier_package_and_a_single_analysis_its_own() {
    let conf = conf();
    let one =
        queued(NAME, &[("Gene panel Diag", "DR_v02"), ("Analysis registered Diag", "2026-06-14")], vec![]);
    let old: Name = "Diag-wgs0-HG11111111-3c52f4e7-826d-40dd-bd98-f4356deeb098".parse().unwrap();
    let subjects = vec![Subject { one: &one, package: old.clone(), part: None }];
    let draft = draft_analysis(&conf, &subjects, Priority::High).unwrap();
    let analysis = judge(draft, None, Again::Ask, false).unwrap();
    let order = assemble(order_id("2-1", 2), subjects, Some(analysis), Priority::High);
    assert_eq!((order.id.to_string().as_str(), order.packages.len()), ("2-1#3", 1));
    let Content::Analysis { doc } = &order.packages[0].content else { panic!("an analysis") };
    assert_eq!((doc.name.as_str(), &doc.samples[..]), ("Diag-wgs1-HG12345677", &[old][..]));
    assert_eq!((doc.kind.as_deref(), doc.params.genepanel.as_deref()), (Some("single"), Some("DR_v02")));
    assert!(order.packages[0].after.is_empty() && order.note.unwrap().contains("is analysed anew"));
}

#[test]
fn what_may_have_been_dropped_on_the_way_is_known() {
    let conf = conf();
    let with =
        |name: &str, fields: &[(&str, &str)]| sample_lacks(&conf, &queued(name, fields, vec![]).sample);
    let (kind, panel) = (("Analysis type Diag", "single"), ("Gene panel Diag", "DR_v02"));
    assert!(!with(NAME, &[kind, panel]) && !with("HG1", &[kind, panel, ("Kit version Diag", "wgs")]));
    assert!(with(NAME, &[panel]), "a trio may have lost its type");
    assert!(with(NAME, &[kind]), "an analysis needs its gene panel");
    assert!(with("HG1", &[kind, panel]) && with(NAME, &[kind, panel, ("Family number Diag", "7")]));
    let mut one = output(1, SHEET);
    assert!(!output_lacks(&conf, &one.udfs));
    drop(one.udfs.remove("Number of data read passes"));
    assert!(output_lacks(&conf, &one.udfs));
}

#[test]
fn md5sum_files_are_read_in_all_the_ways_md5sum_writes_them() {
    let sums = parse_md5sums(
        "900150983cd24fb0d6963f7d28e17f72  a\n900150983cd24fb0d6963f7d28e17f72 *b\n900150983cd24fb0d6963f7d28e17f72  ./c\nrubbish\n900150983cd24fb0d6963f7d28e17f72  d\n00000000000000000000000000000000  d\n",
    );
    assert_eq!(
        sums.keys().map(String::as_str).collect::<Vec<_>>(),
        ["a", "b", "c"],
        "not d: it has two sums"
    );
}
