use super::*;
use crate::clarity::{LimsId, Udf, UdfKind};
use crate::conf::{Conf, Side};

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
    draft_sample(&conf(), queued, Priority::Normal, Path::new("/nsc"), deliveries)
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

#[test]
fn two_outputs_of_one_lane_are_a_question_for_a_person() {
    let said =
        draft(&queued(NAME, &[], vec![output(1, SHEET), output(1, SHEET)]), &delivered(&[1], SHEET, "gz"))
            .unwrap_err();
    assert!(said.contains("two outputs of one lane"), "{said}");
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
    for (queued, deliveries, why) in [
        (&plain, &no_file, "R2_001.fastq.gz is not there"),
        (&plain, &no_sum, "is not in /nsc/260612_LH00534.A.Project_Diag-wgs1/fastq/md5sum.txt"),
        (&plain, &BTreeMap::new(), "R1_001.fastq.gz is not there"),
        (&with("SampleSheet Sample_ID", None), &all, "field \"SampleSheet Sample_ID\" of 92-1 is not set"),
        (&with("SampleSheet Sample_ID", Some("wgs1_HG99999999_x")), &all, "the sample sheet calls it"),
        (&queued("HG1/../x-KIT-wgs", &[], vec![output(1, SHEET)]), &all, "no package name"),
        (&queued("HG12345677", &[], vec![output(1, SHEET)]), &all, "field \"Kit version Diag\" is not set"),
        (&queued(NAME, &[], vec![]), &all, "no demultiplexing output"),
    ] {
        let said = draft(queued, deliveries).unwrap_err();
        assert!(said.contains(why), "{said:?} should say {why:?}");
    }
}

#[test]
fn priorities_and_families_follow_the_sites_words() {
    let conf = conf();
    let with = |pairs: &[(&str, &str)]| queued(NAME, pairs, vec![]).sample;
    assert_eq!(priority(&conf, &with(&[])).unwrap(), Priority::Normal);
    assert_eq!(priority(&conf, &with(&[("Priority Diag", "URGENT")])).unwrap(), Priority::Urgent);
    assert!(priority(&conf, &with(&[("Priority Diag", "soon")])).unwrap_err().contains("\"soon\""));
    assert_eq!(family(&conf, &with(&[("Analysis type Diag", "single")])).unwrap(), None);
    let trio = [("Analysis type Diag", "trio"), ("Family number Diag", "7"), ("Relation Diag", "Mother")];
    assert_eq!(family(&conf, &with(&trio)).unwrap(), Some(("7".into(), "mother")));
    assert!(family(&conf, &with(&trio[..2])).unwrap_err().contains("Relation Diag"));
    let odd = [trio[0], trio[1], ("Relation Diag", "aunt")];
    assert!(family(&conf, &with(&odd)).unwrap_err().contains("\"aunt\""));
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
    let mut of: Vec<(&Queued, Draft)> = members.iter().map(|(q, d)| (q, d.clone())).collect();
    of[1].1.priority = Priority::Urgent;
    let order = trio(&conf, of.try_into().unwrap()).unwrap();
    assert_eq!(order.artifacts.len(), 3);
    assert!(order.packages.iter().all(|d| d.priority == Priority::Urgent));
    let analysis = &order.packages[3];
    assert_eq!(analysis.id.to_string(), "analyses/Diag-wgs1-HG00000001-TRIO/r1");
    assert_eq!(analysis.after.len(), 3);
    let Content::Analysis { doc } = &analysis.content else { panic!("an analysis") };
    assert_eq!(doc.params.genepanel.as_deref(), Some("DR_v01"));
    assert_eq!(doc.params.pedigree.as_ref().unwrap().mother.sample.as_str(), "Diag-wgs1-HG0000000333");
    assert_eq!(doc.priority, "3");
}

#[test]
fn md5sum_files_are_read_in_all_the_ways_md5sum_writes_them() {
    let sums = parse_md5sums(
        "900150983cd24fb0d6963f7d28e17f72  a\n900150983cd24fb0d6963f7d28e17f72 *b\n900150983cd24fb0d6963f7d28e17f72  ./c\nrubbish\n",
    );
    assert_eq!(sums.keys().map(String::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
}
