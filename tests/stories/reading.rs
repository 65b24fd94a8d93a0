//! Reading the queue, without a daemon: what is asked of the LIMS, and what comes of it.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tsd_import::conf::{Again, Conf, NscConf, Role, Side};
use tsd_import::demo::lims::{Fault, FaultRule, NewData, NewRun, NewSample, Sample, Settings, Stats, Udf};
use tsd_import::demo::site::{Order, PROJECT, Reads, Site, SiteOptions};
use tsd_import::disk::{Disk, Disks};
use tsd_import::journal::{Facts, Holder, Journal, Owner};
use tsd_import::nsc::exporter::Exporter;
use tsd_import::nsc::reading::Desk;
use tsd_import::nsc::source::{Look, Looking, Source};
use tsd_import::package::{Content, Priority, Reason, State};
use tsd_import::supervisor::meter::Board;

/// A site, and all that a look needs.
struct Lab {
    site: Site,
    nsc: NscConf,
    exporter: Exporter,
    journal: Journal,
    disks: Disks,
    disk: Disk,
    _owner: Owner,
    _dir: tempfile::TempDir,
}

impl Lab {
    async fn new(lims: Settings, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = SiteOptions { lims, more_of: vec![(Role::Nsc, more.into())], ..SiteOptions::default() };
        let site = Site::open(dir.path(), &options).await.unwrap();
        let conf = Conf::load_with(Some(&site.conf(Role::Nsc)), None, []).unwrap();
        tsd_import::role::prepare(&conf).unwrap();
        let Side::Nsc(nsc) = conf.side else { panic!("role nsc") };
        let disks = Disks::new(2, Duration::from_secs(60), Arc::new(|_, _, _| {}));
        let disk = disks.at("delivery", &nsc.delivery_root).unwrap();
        let state = dir.path().join("reading");
        tsd_import::fs::create_dir(&state).unwrap();
        let me = Holder::this("h".into(), "nsc".into());
        let owner = Owner::acquire(&state, &me, Duration::from_secs(30), false).unwrap();
        let journal = Journal::open(&state, &owner).unwrap();
        let exporter = exporter(&nsc, &disk);
        Self { site, nsc: *nsc, exporter, journal, disks, disk, _owner: owner, _dir: dir }
    }

    async fn look(&self) -> Look {
        self.site.lims.clear_requests();
        let hold = self.disks.hold("look").await.unwrap();
        let meter = Board::default().begin("poller", "look".into());
        let with = Looking { journal: &self.journal, meter: &meter, hold: &hold, disk: &self.disk };
        self.exporter.look(with).await.unwrap()
    }

    /// With other choices of the site; what the process remembered is forgotten.
    fn choose(&mut self, change: impl FnOnce(&mut NscConf)) {
        change(&mut self.nsc);
        self.exporter = exporter(&self.nsc, &self.disk);
    }

    fn sequence(&mut self, dna: &str, family: Option<(&str, &'static str)>) -> Sample {
        let family = family.map(|(number, relation)| (number.to_owned(), relation));
        let order = Order { dna: dna.into(), priority: Priority::Normal, family, reads: Reads::Made(2_000) };
        let sample = self.site.sequence(&order).unwrap();
        self.site.sums().unwrap();
        self.site.lims.enqueue(&sample.root_artifact).unwrap();
        sample
    }

    /// Everything that a look found is ordered and, as far as the journal knows, sent; then the queue is empty.
    async fn send(&self, look: Look) {
        for ready in look.orders {
            let artifacts = ready.order.artifacts.clone();
            let ids: Vec<_> = ready.order.packages.iter().map(|d| d.id.clone()).collect();
            assert!(self.journal.order(ready.order, ready.claim, 100).await.unwrap());
            for id in ids {
                let way = [
                    State::Found,
                    State::Claimed,
                    State::Packed,
                    State::Uploading,
                    State::Committed,
                    State::Transferred,
                ];
                for step in way.windows(2) {
                    assert!(
                        self.journal.step(&id, Some(step[0]), step[1], "t", Facts::default()).await.unwrap()
                    );
                }
            }
            artifacts.iter().for_each(|a| assert!(self.site.lims.withdraw(a)));
        }
    }

    fn asked(&self) -> BTreeMap<String, usize> {
        let mut asked = BTreeMap::new();
        for request in self.site.lims.requests() {
            let path = request.path.split('?').next().unwrap_or_default().trim_start_matches("/api/v2/");
            let plain = |part: &str| {
                if part.bytes().any(|b| b.is_ascii_digit()) { "N".to_owned() } else { part.to_owned() }
            };
            let shape = path.split('/').map(plain).collect::<Vec<_>>().join("/");
            *asked.entry(format!("{} {shape}", request.method)).or_default() += 1;
        }
        asked
    }
}

fn exporter(nsc: &NscConf, disk: &Disk) -> Exporter {
    let desk = Desk::new(nsc, disk.clone(), nsc.taqman.is_some().then(|| disk.clone()));
    Exporter::new(nsc).unwrap().with_desk(desk)
}

fn doubts(look: &Look) -> Vec<(String, Reason, String)> {
    look.doubts.iter().map(|d| (d.artifact.clone(), d.fault.reason, d.fault.detail.clone())).collect()
}

fn packages(look: &Look) -> Vec<String> {
    look.orders.iter().flat_map(|r| &r.order.packages).map(|d| d.id.to_string()).collect()
}

#[tokio::test]
async fn ten_thousand_queued_samples_are_read_in_eighty_requests() {
    let mut lab = Lab::new(Settings::default(), "").await;
    // Once in the life of a process it looks for steps of ours that no journal knows of.
    assert!(lab.look().await.orders.is_empty());
    let starting: usize = lab.asked().values().sum();
    assert!(starting <= 5, "{starting} requests at the start");
    lab.site.lims.clear_requests();
    let project = lab.site.lims.add_project("Diag-wgs2", vec![]);
    let begun: jiff::Timestamp = "2026-06-12T00:00:00Z".parse().unwrap();
    let mut names = Vec::new();
    for n in 0..100 {
        let order = Order {
            dna: format!("HG{n:08}"),
            priority: Priority::Normal,
            family: None,
            reads: Reads::Made(1_000),
        };
        names.push(lab.site.sequence(&order).unwrap());
    }
    lab.site.sums().unwrap();
    for (n, sample) in names.iter().enumerate() {
        // The last ones are urgent, the others have waited longest.
        if n >= 90 {
            lab.site
                .lims
                .edit_udfs(&sample.limsid, |udfs| udfs.push(Udf::string("Priority Diag", "Urgent")))
                .unwrap();
        }
        let since = begun + jiff::SignedDuration::from_secs(if n >= 90 { 1_000_000 } else { n as i64 });
        lab.site.lims.enqueue_at(&sample.root_artifact, since).unwrap();
    }
    for n in 100..10_000i64 {
        let name = format!("HG{n:08}-Nett-KIT-wgs");
        let udfs = vec![
            Udf::string("Analysis type Diag", "single"),
            Udf::string("Gene panel Diag", "Nett_v01"),
            Udf::string("Referral reason Diag", "x".repeat(500)),
        ];
        let new = NewSample { name, project: project.clone(), udfs, data: vec![] };
        let sample = lab.site.lims.add_sample(new).unwrap();
        lab.site.lims.enqueue_at(&sample.root_artifact, begun + jiff::SignedDuration::from_secs(n)).unwrap();
    }
    let look = lab.look().await;
    let asked = lab.asked();
    let all: usize = asked.values().sum();
    println!("10,000 queued, 100 read in depth: {all} requests\n{asked:#?}");
    assert!(all <= 80, "{all} requests");
    assert_eq!(look.orders.len(), 100);
    assert!(look.doubts.is_empty());
    assert_eq!(look.waiting.len(), 1, "thousands that wait for their turn are said once: {:?}", look.waiting);

    // Those that have no output yet are read in vain, and the next ones come before them.
    lab.send(look).await;
    let (first, second) = (lab.look().await, lab.look().await);
    let told =
        |look: &Look| look.waiting.iter().filter(|(_, why)| why.contains("no demultiplexing output")).count();
    assert_eq!(
        (first.orders.len(), told(&first), told(&second)),
        (0, 100, 200),
        "a hundred more at each look"
    );
}

/// Samples that lie in all lanes of one of two flow cells; nothing is delivered yet.
fn two_flow_cells(lab: &Lab, samples: usize) -> Vec<Sample> {
    let project = lab.site.lims.add_project("Diag-wgs3", vec![]);
    let run = |n: usize| {
        lab.site.lims.add_run(NewRun {
            run_id: format!("2026070{n}_LH00534_0{n}_A22ABCD{n}"),
            flowcell_id: format!("22ABCD{n}"),
            sequencing_type: lab.nsc.lims.sequencing.clone(),
            demux_type: lab.nsc.lims.demultiplexing.clone(),
            lanes: 8,
            udfs: vec![],
        })
    };
    let runs = [run(1), run(2)];
    let mut all = Vec::new();
    for n in 0..samples {
        let data = |lane: u32| NewData {
            run: runs[n % 2].clone(),
            lane,
            reagent_label: format!("UDP{n:04} (ACGT)"),
            sheet_id: format!("wgs3_HG{n:08}_x"),
            dataset_uuid: None,
            sheet_position: n as u32 + 1,
            read_passes: 2,
            ora: None,
            stats: Some(Stats {
                reads: 10,
                q30_bases_pct: 90.5,
                mean_qual_score: None,
                perfect_index_reads_pct: 1.0,
                one_mismatch_index_pct: 0.5,
            }),
            udfs: vec![],
        };
        let udfs = vec![Udf::string("Analysis type Diag", "single")];
        let name = format!("HG{n:08}-Nett-KIT-wgs");
        let new = NewSample { name, project: project.clone(), udfs, data: (1..=8).map(data).collect() };
        let sample = lab.site.lims.add_sample(new).unwrap();
        lab.site.lims.enqueue(&sample.root_artifact).unwrap();
        all.push(sample);
    }
    all
}

#[tokio::test]
async fn depth_is_shared_and_a_server_without_repeats_gives_the_same() {
    let lab = Lab::new(Settings::default(), "").await;
    let samples = two_flow_cells(&lab, 100);
    let look = lab.look().await;
    let (asked, all) = (lab.asked(), lab.site.lims.requests().len());
    println!("100 samples in 2 flow cells of 8 lanes: {all} requests\n{asked:#?}");
    assert!(all <= 40, "{all} requests");
    let undelivered = |look: &Look| look.waiting.values().filter(|why| why.contains("is not there")).count();
    assert_eq!((undelivered(&look), look.doubts.len()), (100, 0), "{:?}", look.doubts);

    // A lane of one sample is given to another by the LIMS: neither leaves, nor does anybody else suffer.
    lab.site.lims.mislabel(&samples[0].outputs[3], &samples[2].limsid).unwrap();
    let look = lab.look().await;
    let said = doubts(&look);
    assert_eq!(
        said.iter().map(|(a, r, _)| (a.as_str(), *r)).collect::<Vec<_>>(),
        [
            (samples[0].root_artifact.as_str(), Reason::LimsContradiction),
            (samples[2].root_artifact.as_str(), Reason::LimsContradiction),
        ]
    );
    let (robbed, given) = (&said[0].2, &said[1].2);
    assert!(robbed.contains(&format!("holds sample {} under label", samples[0].limsid)), "{robbed}");
    assert!(given.contains(&samples[2].limsid) && given.contains(&samples[0].limsid), "{given}");
    assert_eq!(undelivered(&look), 98);

    let strange = Lab::new(Settings { last_repeat_counts: true, ..Settings::default() }, "").await;
    let _same = two_flow_cells(&strange, 10);
    let look = strange.look().await;
    assert_eq!((undelivered(&look), look.waiting.len()), (10, 10), "{:?}", look.waiting);
}

#[tokio::test]
async fn rows_that_do_not_belong_and_fields_that_are_dropped_change_nothing() {
    let mut lab = Lab::new(Settings::default(), "").await;
    let (one, two) = (lab.sequence("HG00000001", None), lab.sequence("HG00000002", None));
    let bogus = |path: &str, id: &str| FaultRule::always("GET", path, Fault::BogusRow(id.into()));
    lab.site.lims.fault(bogus("/artifacts?", &one.root_artifact));
    lab.site.lims.fault(bogus("/processes?", "24-200005"));
    let dropped = |field: &str| {
        FaultRule::once("POST", "/artifacts/batch/retrieve", Fault::MissingUdf(field.into())).after(1)
    };
    lab.site.lims.fault(dropped("SampleSheet Sample_ID"));
    let once = FaultRule::once("GET", "/processes/", Fault::MissingUdf("Run ID".into()));
    lab.site.lims.fault(once.after(1));
    let look = lab.look().await;
    assert_eq!(packages(&look).len(), 2, "{:?} {:?}", look.waiting, look.doubts);
    lab.site.lims.clear_faults();
    // For good, it is a doubt that names the field.
    lab.site
        .lims
        .edit_udfs(&two.outputs[0], |udfs| udfs.retain(|u| u.name != "SampleSheet Sample_ID"))
        .unwrap();
    lab.site.lims.edit_udfs(&one.limsid, |udfs| udfs.push(Udf::string("Priority Diag", "now"))).unwrap();
    let said = doubts(&lab.look().await);
    assert_eq!(said.len(), 2);
    assert!(said.iter().all(|(_, reason, _)| *reason == Reason::LimsInvalid));
    let words: String = said.iter().map(|(.., detail)| detail.as_str()).collect();
    assert!(
        words.contains("\"Priority Diag\" says \"now\"") && words.contains("\"SampleSheet Sample_ID\" of"),
        "{words}"
    );
}

#[tokio::test]
async fn queued_again_it_is_compared_with_what_was_sent() {
    let mut lab = Lab::new(Settings::default(), "orders.single_analysis = true\n").await;
    let sample = lab.sequence("HG00000001", None);
    let look = lab.look().await;
    let (doc, analysis) =
        (format!("samples/{PROJECT}-HG00000001/r1"), format!("analyses/{PROJECT}-HG00000001/r1"));
    assert_eq!(packages(&look), [doc.clone(), analysis.clone()]);
    lab.send(look).await;
    let order = lab.journal.view().orders().next().unwrap().order.id.clone();
    let claim = |phase| tsd_import::journal::Event::Claim {
        order: order.clone(),
        phase,
        step: None,
        technician: None,
        detail: None,
    };
    lab.site.lims.enqueue(&sample.root_artifact).unwrap();
    let look = lab.look().await;
    assert!(look.orders.is_empty() && look.waiting.is_empty(), "its order is still open");
    lab.journal.record(claim(tsd_import::journal::Phase::Completed)).await.unwrap();

    let look = lab.look().await;
    let again = &look.orders[0].order;
    assert_eq!(
        (again.id.0.as_str(), again.packages.len()),
        (format!("{}#2", sample.root_artifact).as_str(), 0)
    );
    assert!(again.note.as_ref().unwrap().contains("was sent before and is the same"), "{:?}", again.note);

    // Another gene panel concerns the analysis alone.
    lab.site.lims.edit_udfs(&sample.limsid, |udfs| udfs.retain(|u| u.name != "Gene panel Diag")).unwrap();
    lab.site
        .lims
        .edit_udfs(&sample.limsid, |udfs| udfs.push(Udf::string("Gene panel Diag", "Bløt_v02")))
        .unwrap();
    let look = lab.look().await;
    let said: String = look.waiting.into_values().collect();
    assert!(
        look.orders.is_empty() && said.contains("params.genepanel: \"Nett_v01\" before, \"Bløt_v02\" now"),
        "{said}"
    );
    lab.choose(|nsc| nsc.orders.again = Again::Revise);
    let look = lab.look().await;
    assert_eq!(packages(&look), [analysis.replace("r1", "r2")]);
    // What was stopped or is under way is waited for.
    let second = lab.sequence("HG00000002", None);
    let look = lab.look().await;
    let other =
        look.orders.into_iter().find(|r| r.order.artifacts == [second.root_artifact.clone()]).unwrap();
    assert!(lab.journal.order(other.order, other.claim, 100).await.unwrap());
    assert!(lab.site.lims.withdraw(&second.root_artifact));
    let twin = lab.sequence("HG00000002", None);
    let why =
        lab.look().await.waiting.into_iter().find(|(who, _)| who.contains(&twin.root_artifact)).unwrap().1;
    assert!(why.contains("r1 is found: it waits until that one has left"), "{why}");
}

#[tokio::test]
async fn a_new_snp_id_result_is_news_and_the_tree_remembers_what_no_journal_does() {
    let mut lab = Lab::new(Settings::default(), "").await;
    let results = lab.site.dir.join("snp-id");
    tsd_import::fs::create_dir(&results).unwrap();
    lab.choose(|nsc| nsc.taqman = Some(results.clone()));
    let result = |name: &str, text: &str, age: u64| {
        let path = results.join(name);
        tsd_import::fs::write_durably(&path, text.as_bytes()).unwrap();
        let then = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000 - age);
        std::fs::File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
    };
    result("HG00000001-p1.taqman", "AA CT", 900);
    let _sample = lab.sequence("HG00000001", None);
    let look = lab.look().await;
    let Content::Sample { doc, files } = &look.orders[0].order.packages[0].content else {
        panic!("a sample")
    };
    let name = format!("{PROJECT}-HG00000001");
    assert_eq!((doc.taqman.clone(), files[2].size), (Some(format!("{name}.taqman")), 5));

    // As it was sent by somebody before us, under a name with a uuid.
    let rest = lab.site.dir.join("nsc/transfer/production/transferred/high/samples");
    let rest = rest.join(format!("{name}-3c52f4e7-826d-40dd-bd98-f4356deeb098"));
    tsd_import::fs::create_dir(&rest).unwrap();
    let text = serde_json::to_string_pretty(doc).unwrap();
    tsd_import::fs::write_durably(&rest.join(format!("{name}.sample")), text.as_bytes()).unwrap();
    tsd_import::fs::write_durably(&rest.join(format!("{name}.taqman")), b"AA CT").unwrap();
    let look = lab.look().await;
    assert!(look.orders[0].order.packages.is_empty(), "{:?}", packages(&look));
    result("HG00000001-p2.taqman", "AA CC", 500);
    let said: String = lab.look().await.waiting.into_values().collect();
    assert!(said.contains("SNP-ID result, md5"), "{said}");
    lab.choose(|nsc| nsc.orders.again = Again::Revise);
    assert_eq!(packages(&lab.look().await), [format!("samples/{name}/r2")]);
}

#[tokio::test]
async fn an_earlier_sample_is_analysed_anew_and_a_trio_refers_to_what_was_sent() {
    let mut lab = Lab::new(Settings::default(), "orders.again = \"revise\"\n").await;
    let _mother = lab.sequence("HG00000003", None);
    let look = lab.look().await;
    lab.send(look).await;

    let project = lab.site.lims.add_project("Diag-wgs7", vec![]);
    let anew = |old: &str| {
        let udfs = vec![
            Udf::string("Reanalysis old sample ID Diag", old),
            Udf::string("Gene panel Diag", "New_v01"),
        ];
        let new =
            NewSample { name: "HG00000077-New-KIT-wgs".into(), project: project.clone(), udfs, data: vec![] };
        let sample = lab.site.lims.add_sample(new).unwrap();
        lab.site.lims.enqueue(&sample.root_artifact).unwrap();
        sample
    };
    let (known, unknown) = (anew("HG00000003"), anew("HG00000099"));
    let look = lab.look().await;
    assert_eq!(packages(&look), ["analyses/Diag-wgs7-HG00000077/r1"]);
    let Content::Analysis { doc } = &look.orders[0].order.packages[0].content else { panic!("an analysis") };
    assert_eq!(doc.samples[0].as_str(), format!("{PROJECT}-HG00000003"));
    let said = doubts(&look);
    assert_eq!((said[0].0.as_str(), said[0].1), (unknown.root_artifact.as_str(), Reason::LimsInvalid));
    assert!(said[0].2.contains("\"HG00000099\""), "{}", said[0].2);
    for sample in [known, unknown] {
        assert!(lab.site.lims.withdraw(&sample.root_artifact));
    }

    // The mother of a trio was sent as a sample of her own.
    let _proband = lab.sequence("HG00000001", Some(("F1", "proband")));
    let _father = lab.sequence("HG00000002", Some(("F1", "father")));
    let again = lab.sequence("HG00000003", Some(("F1", "mother")));
    let look = lab.look().await;
    let name = |n: u32| format!("samples/{PROJECT}-HG0000000{n}");
    let trio = format!("analyses/{PROJECT}-HG00000001-TRIO/r1");
    assert_eq!(
        packages(&look),
        [name(1) + "/r1", name(2) + "/r1", name(3) + "/r2", trio],
        "her reads were made anew: {:?}",
        look.waiting
    );
    assert!(look.orders[0].order.artifacts.contains(&again.root_artifact));
}
