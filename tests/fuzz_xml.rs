//! The XML reader of the LIMS client against hostile bytes: documents of every kind, broken in many thousand ways, always
//! the same ones; and the classical bombs, held to time and memory. `scripts/fuzz-xml` searches for longer and by coverage.
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt as _;
use tsd_import::clarity::{
    Action, Actions, Artifact, Container, Demux, Element, Exception, Field, Listing, Process, ProgramStatus,
    Project, Protocol, Queue, Record as _, Researcher, Sample, StageConfig, Step, StepDetails,
};
use tsd_import::demo::lims::{
    Lims, NewData, NewRun, NewSample, Program, ProgramOutcome, Settings, StepState, Udf,
};

/// No single document, however hostile, may cost more of a processor. Generous, for a build without optimisation.
const DEADLINE: Duration = Duration::from_secs(5);

/// What this thread has cost so far: unlike the clock on the wall it does not run while others compute.
fn cost() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap(), u32::try_from(now.tv_nsec).unwrap())
}

/// How far a body came: 0 is no document, 1 one that no reader takes, 2 one that is read.
fn feed(bytes: &[u8]) -> usize {
    let Ok(tree) = Element::parse(bytes) else { return 0 };
    let written = tree.to_bytes();
    assert_eq!(Element::parse(&written), Ok(tree.clone()), "a document changes on its way back");
    let mut read = vec![
        Exception::read(&tree).is_some(),
        Listing::read(&tree).is_ok(),
        Artifact::read(&tree).is_ok(),
        Sample::read(&tree).is_ok(),
        Project::read(&tree).is_ok(),
        Container::read(&tree).is_ok(),
        Process::read(&tree).is_ok(),
        Demux::read(&tree).is_ok(),
        Protocol::read(&tree).is_ok(),
        Step::read(&tree).is_ok(),
        ProgramStatus::read(&tree).is_ok(),
        Researcher::read(&tree).is_ok(),
        StageConfig::read(&tree).is_ok(),
        Field::read(&tree).is_ok(),
    ];
    if let Ok(mut queue) = Queue::read(&tree) {
        let before = queue.items.len();
        queue.tidy();
        assert!(queue.items.len() <= before);
        read.push(true);
    }
    if let Ok(details) = StepDetails::read(&tree) {
        assert!(Element::parse(&details.document().to_bytes()).is_ok());
        read.push(true);
    }
    if let Ok(mut actions) = Actions::read(&tree) {
        actions.set(|_| Action::Complete);
        assert_eq!(actions.undecided(), []);
        read.push(true);
    }
    1 + usize::from(read.contains(&true))
}

/// One document of every kind that the client reads, in both spellings, as the simulated LIMS writes them.
fn seeds() -> Vec<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let both = [false, true].map(|odd_xml| runtime.block_on(documents(odd_xml)));
    both.into_iter().flatten().collect()
}

async fn documents(odd_xml: bool) -> Vec<Vec<u8>> {
    let (base, step) = ("http://lims/api/v2", "configuration/protocols/901/steps/1601");
    let program = Program {
        name: "Check".to_owned(),
        leaving: StepState::RecordDetails,
        reads: 3,
        outcome: ProgramOutcome::Warning,
        message: Some("Look".to_owned()),
    };
    let lims = Lims::new(Settings { odd_xml, page_size: 2, programs: vec![program], ..Settings::default() });
    let project = lims.add_project("Diag-wgs1", vec![Udf::string("Project type", "Diagnostics")]);
    let run = lims.add_run(NewRun {
        run_id: "20260612_LH00534_0123_A22ABCDLT4".to_owned(),
        flowcell_id: "22ABCDLT4".to_owned(),
        sequencing_type: "NovaSeq X Run".to_owned(),
        demux_type: "Demultiplexing".to_owned(),
        lanes: 1,
        udfs: Vec::new(),
    });
    let data = |n: u32| NewData {
        run: run.clone(),
        lane: 1,
        reagent_label: format!("UDP{n:04} (ACGT-TTGG)"),
        sheet_id: format!("wgs1_HG{n}"),
        dataset_uuid: None,
        sheet_position: n,
        read_passes: 2,
        ora: Some(true),
        stats: None,
        udfs: vec![Udf::string("Merknad", "æ & <ø>")],
    };
    let samples: Vec<_> = (1..=4)
        .map(|n| {
            let new = NewSample {
                name: format!("HG{n}"),
                project: project.clone(),
                udfs: Vec::new(),
                data: vec![data(n)],
            };
            lims.add_sample(new).unwrap()
        })
        .collect();
    samples.iter().for_each(|sample| lims.enqueue(&sample.root_artifact).unwrap());
    let router = lims.router(base.to_owned());
    let ask = async |method: &str, path: String, body: String| -> Vec<u8> {
        let request = Request::builder().method(method).uri(format!("/api/v2/{path}"));
        let request = request.header("authorization", "Basic YXBpdXNlcjpzZWNyZXQ=");
        let request = request.header("content-type", "application/xml").body(Body::from(body)).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()
    };
    let root = &samples[3].root_artifact;
    let creation = format!(
        r#"<stp:step-creation xmlns:stp="http://genologics.com/ri/step"><configuration uri="{base}/{step}"/><inputs><input uri="{base}/artifacts/{root}"/></inputs></stp:step-creation>"#
    );
    let mut documents = vec![ask("POST", "steps".to_owned(), creation).await];
    let id = lims.steps()[0].id.clone();
    let advance = format!(
        r#"<s:step xmlns:s="http://genologics.com/ri/step" current-state="Record Details" limsid="{id}"/>"#
    );
    for path in ["", "details", "actions"].map(|part| format!("steps/{id}/{part}")) {
        documents.push(ask("GET", path.trim_end_matches('/').to_owned(), String::new()).await);
    }
    documents.push(ask("POST", format!("steps/{id}/advance"), advance).await);
    let lane = &run.lanes[&1];
    for path in [
        format!("steps/{id}/programstatus"),
        "queues/1601".to_owned(),
        format!("artifacts/{root}"),
        format!("artifacts/{}", samples[0].outputs[0]),
        format!("artifacts/{lane}/demux"),
        "artifacts?type=Analyte".to_owned(),
        format!("samples/{}", samples[0].limsid),
        format!("projects/{project}"),
        format!("containers/{}", run.container),
        format!("processes/{}", run.demux),
        "configuration/protocols/901".to_owned(),
        "configuration/workflows/751/stages/6601".to_owned(),
        "configuration/udfs/1".to_owned(),
        "researchers/3".to_owned(),
        "nothing".to_owned(),
    ] {
        documents.push(ask("GET", path, String::new()).await);
    }
    documents
}

#[test]
fn seeds_are_read_by_a_reader_each() {
    let seeds = seeds();
    assert_eq!(seeds.len(), 40);
    for seed in &seeds {
        assert_eq!(feed(seed), 2, "{}", String::from_utf8_lossy(seed));
    }
    // For `scripts/fuzz-xml`, which begins with them.
    if let Some(folder) = std::env::var_os("TSD_IMPORT_SEEDS").map(PathBuf::from) {
        for (n, seed) in seeds.iter().enumerate() {
            let mut file = std::fs::File::create(folder.join(format!("seed-{n:02}.xml"))).unwrap();
            std::io::Write::write_all(&mut file, seed).unwrap();
        }
    }
}

/// The same documents in every run.
struct Dice(tsd_import::supervisor::Dice);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        (self.0.roll() * below.max(1) as f64) as usize
    }

    /// A piece of `of`, at most `long`.
    fn piece(&mut self, of: &[u8], long: usize) -> std::ops::Range<usize> {
        let from = self.roll(of.len());
        from..(from + self.roll(long)).min(of.len())
    }
}

const WORDS: [&str; 28] = [
    "<",
    ">",
    "/>",
    "</",
    "\"",
    "'",
    "&",
    ";",
    "&amp;",
    "&#x0;",
    "&#65;",
    "&b;",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?x",
    "?>",
    "<!DOCTYPE a>",
    " xmlns=\"\"",
    " xmlns:a='urn:a'",
    "<a:b/>",
    " uri=\"\"",
    " limsid='../x'",
    "\u{feff}",
    "æ",
    "2026-02-30",
    "99999999999999999999",
];

/// Values that an attribute or a text may be given.
const VALUES: [&str; 12] = [
    "",
    " ",
    "x",
    "0",
    "-1",
    "2-1",
    "../x",
    "https://h/api/v2/artifacts/2-1?state=5",
    "https://h/api/v2/steps/24-1",
    "99999999999999999999",
    "2026-02-30",
    "COMPLETE",
];

/// Breaks a document once: bytes, words, and what leaves it a document: whole elements, values.
fn broken(document: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let at = dice.roll(document.len());
    match dice.roll(12) {
        0 => document.truncate(at),
        1 if !document.is_empty() => document[at] = u8::try_from(dice.roll(256)).unwrap(),
        2 => drop(document.drain(dice.piece(document, 40))),
        3 => drop(document.splice(at..at, other[dice.piece(other, 400)].to_vec())),
        4 => drop(document.splice(at..at, WORDS[dice.roll(WORDS.len())].bytes())),
        n @ 5..=8 => {
            let tags = |of: &[u8]| -> Vec<std::ops::Range<usize>> {
                let starts: Vec<usize> =
                    (0..of.len()).filter(|at| of[*at] == b'<').chain([of.len()]).collect();
                let empty = starts.windows(2).filter_map(|pair| {
                    let end = of[pair[0]..pair[1]].windows(2).position(|two| two == b"/>")?;
                    Some(pair[0]..pair[0] + end + 2)
                });
                empty.collect()
            };
            let (own, others) = (tags(document), tags(if n == 8 { other } else { document }));
            if own.is_empty() || others.is_empty() {
                return;
            }
            let (one, two) = (own[dice.roll(own.len())].clone(), others[dice.roll(others.len())].clone());
            let two = if n == 8 { other[two].to_vec() } else { document[two].to_vec() };
            match n {
                5 => drop(document.drain(one)),
                6 => drop(document.splice(one.start..one.start, two)),
                _ => drop(document.splice(one, two)),
            }
        }
        n => {
            let mark = if n == 9 { b'>' } else { b'"' };
            let stop = if n == 9 { b'<' } else { b'"' };
            let Some(from) = document.iter().skip(at).position(|byte| *byte == mark).map(|n| at + n + 1)
            else {
                return;
            };
            let Some(to) = document.iter().skip(from).position(|byte| *byte == stop).map(|n| from + n) else {
                return;
            };
            drop(document.splice(from..to, VALUES[dice.roll(VALUES.len())].bytes()));
        }
    }
}

#[test]
fn many_thousand_broken_documents_do_no_harm() {
    let (seeds, mut dice, mut came) =
        (seeds(), Dice(tsd_import::supervisor::Dice::seeded(20_260_612)), [0_usize; 3]);
    for round in 0..10_000 {
        let mut document = seeds[dice.roll(seeds.len())].clone();
        let other = dice.roll(seeds.len());
        for _ in 0..=dice.roll(3) {
            broken(&mut document, &seeds[other], &mut dice);
        }
        let begun = cost();
        came[feed(&document)] += 1;
        assert!(cost() - begun < DEADLINE, "round {round} cost {:?}", cost() - begun);
    }
    // If nearly all were refused at the first byte, the readers behind the parser would not have been tried.
    assert!(came[0] > 3000 && came[1] > 100 && came[2] > 2000, "{came:?}");
}

/// The most memory this process ever had, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
}

#[test]
fn bombs_are_refused_in_bounded_time_and_memory() {
    const MIB: usize = 1 << 20;
    let entities = (1..9).map(|n| format!("<!ENTITY a{n} \"{}\">", format!("&a{};", n - 1).repeat(10)));
    let entities = format!("<!DOCTYPE a [<!ENTITY a0 \"x\">{}]><a>&a8;</a>", entities.collect::<String>());
    let artifacts = |n: usize| {
        let rows = r#"<artifact limsid="2-1"/>"#.repeat(n);
        format!(r#"<a:artifacts xmlns:a="http://genologics.com/ri/artifact">{rows}</a:artifacts>"#)
    };
    // Name, body, what is said of it; nothing where it is an ordinary if large document.
    let bombs: Vec<(&str, String, &str)> = vec![
        ("entities", entities, "document type"),
        ("100,000 deep", "<a>".repeat(100_000), "deeper than"),
        ("100,000 deep and closed", "<a>".repeat(100_000) + &"</a>".repeat(100_000), "deeper than"),
        (
            "200,000 attributes",
            format!("<a{}/>", (0..200_000).fold(String::new(), |s, n| s + &format!(" k{n}=''"))),
            "attributes",
        ),
        ("50 MiB in one attribute", format!("<a k='{}'/>", "x".repeat(50 * MIB)), ""),
        ("2 MiB of references", format!("<a>{}</a>", "&amp;".repeat(2 * MIB / 5)), ""),
        ("50 MiB of empty elements", format!("<a>{}</a>", "<b/>".repeat(50 * MIB / 4)), "more than"),
        (
            "50 MiB of attributes",
            format!(
                "<a>{}</a>",
                format!("<b{}/>", (0..100).fold(String::new(), |s, n| s + &format!(" k{n}=''")))
                    .repeat(50 * MIB / 800)
            ),
            "more than",
        ),
        (
            "prefixes that nest",
            format!(
                "{}x",
                (0..60).fold(String::new(), |s, n| s + &format!("<a xmlns:p{n}='{}'>", "u".repeat(10_000)))
            ),
            "cut off",
        ),
        ("a tag that never ends", format!("<a {}", "x".repeat(20 * MIB)), "byte"),
        ("a comment that never ends", format!("<!--{}", "-".repeat(20 * MIB)), "byte"),
        ("an entity that never ends", format!("<a>&{}", "a".repeat(20 * MIB)), "byte"),
        ("50,000 rows", artifacts(50_000), ""),
    ];
    for (name, body, wanted) in bombs {
        let (before, begun) = (peak(), cost());
        let parsed = Element::parse(body.as_bytes());
        let (took, grown) = (cost() - begun, peak() - before);
        assert!(took < 4 * DEADLINE, "{name}: {took:?}");
        // The body itself counts once, what is kept of it must be of its order.
        assert!(grown < 700, "{name}: {grown} MiB for a body of {} MiB", body.len() / MIB);
        match parsed {
            Ok(_) => assert_eq!(wanted, "", "{name} was read"),
            Err(fault) => {
                let told = fault.to_string();
                assert!(!wanted.is_empty() && told.contains(wanted), "{name}: {told}");
                assert!(told.len() < 2000, "{name}: a message of {} bytes", told.len());
            }
        }
    }
}
