//! What the demonstration tells: deliver, start both roles, watch, sum up.
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Options;
use super::daemon::Daemon;
use super::progress::{Progress, View};
use super::site::{Order, Reads, Site, SiteOptions};
use crate::conf::Role;
use crate::package::{PackageId, Priority, State};
use crate::review::size;

/// What should become of everything.
struct Plan {
    arrive: BTreeSet<String>,
    stop: BTreeSet<String>,
}

/// Runs the demonstration from beginning to end.
pub async fn tell(options: &Options) -> Result<(), String> {
    if std::fs::read_dir(&options.dir).is_ok_and(|mut d| d.next().is_some()) {
        return Err(format!(
            "{} is not empty; name another place with --dir, or remove it",
            options.dir.display()
        ));
    }
    for path in options.reads.iter().flatten() {
        gzipped(path)?;
    }
    say(&format!("making a site in {} …", options.dir.display()));
    let mut site = Site::open(&options.dir, &SiteOptions::default()).await?;
    site.keep_tokens_fresh(Duration::from_secs(6));
    let plan = deliver(&mut site, options)?;
    let program = std::env::current_exe().map_err(|e| format!("could not find this program: {e}"))?;
    let begun = Instant::now();
    let mut daemons = Vec::new();
    for role in [Role::Nsc, Role::Tsd] {
        let daemon = Daemon::start(&program, role, &site.conf(role), &[], &[])?;
        say(&format!(
            "started  run --role {role} --config {}  (process {})",
            site.conf(role).display(),
            daemon.pid().unwrap_or(0)
        ));
        daemons.push((role, daemon));
    }
    let mut progress = Progress::new();
    let limit = Duration::from_secs(options.patience);
    let missing = loop {
        let views = progress.show(&site);
        let missing = plan.missing(&views, &site);
        if missing.is_empty() || begun.elapsed() > limit {
            break missing;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(250)) => {}
            () = told_to_stop() => {
                progress.end();
                return Err(format!("interrupted; both roles were stopped. What was made lies in {}", options.dir.display()));
            }
        }
        restart_if_gone(&mut daemons, &program, &site)?;
    };
    progress.end();
    let took = begun.elapsed();
    let views = progress.show(&site);
    let bytes: u64 = views.values().filter(|v| v.there == Some(State::Ready)).map(|v| v.bytes).sum();
    let ready = views.values().filter(|v| v.there == Some(State::Ready)).count();
    say("");
    say(&format!(
        "{ready} packages ({}) are in place, each byte read back and compared, in {:.1} s",
        size(bytes),
        took.as_secs_f64()
    ));
    for (id, view) in views.iter().filter(|(_, v)| v.stopped.is_some()) {
        say(&format!("stopped as it should be: {id}\n    {}", view.stopped.as_deref().unwrap_or_default()));
    }
    what_next(&site, &program, options.stay);
    if options.stay && missing.is_empty() {
        say("\nboth roles go on; kill one with -9 and see it come back. Ctrl-C ends everything");
        stay(&mut daemons, &program, &site).await?;
    }
    for (role, daemon) in daemons {
        let status = daemon.stop(Duration::from_secs(60)).await?;
        if !status.success() {
            return Err(format!(
                "role {role} ended with {status}; see {}",
                site.dir.join(role.as_str()).join("log").display()
            ));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("after {limit:?} these are not where they should be:\n  {}", missing.join("\n  ")))
}

/// Ctrl-C, SIGTERM, or the terminal is gone.
async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await, // then it ends us the hard way, and the roles with us
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}

/// Real reads are gzipped FASTQ; anything else is noticed before a site is made for it.
fn gzipped(path: &Path) -> Result<(), String> {
    let file = std::fs::File::open(path).map_err(|e| format!("could not read {}: {e}", path.display()))?;
    let mut first = [0; 1];
    let read = std::io::Read::read(&mut flate2::read::MultiGzDecoder::new(file), &mut first);
    match read {
        Ok(1) if first == *b"@" => Ok(()),
        _ => Err(format!("{} is no gzipped FASTQ", path.display())),
    }
}

fn say(line: &str) {
    // A reader that went away is no reason to stop the daemons half-way.
    let _gone = writeln!(std::io::stdout(), "{line}");
}

/// Keeps both roles alive, as a service manager would.
fn restart_if_gone(daemons: &mut [(Role, Daemon)], program: &Path, site: &Site) -> Result<(), String> {
    for (role, daemon) in daemons {
        if let Some(status) = daemon.ended() {
            say(&format!("role {role} ended ({status}); starting it again"));
            *daemon = Daemon::start(program, *role, &site.conf(*role), &[], &[])?;
        }
    }
    Ok(())
}

async fn stay(daemons: &mut [(Role, Daemon)], program: &Path, site: &Site) -> Result<(), String> {
    let mut told = std::pin::pin!(told_to_stop());
    loop {
        tokio::select! {
            () = &mut told => {
                say("stopping both roles");
                return Ok(());
            }
            () = tokio::time::sleep(Duration::from_millis(500)) => restart_if_gone(daemons, program, site)?,
        }
    }
}

fn deliver(site: &mut Site, options: &Options) -> Result<Plan, String> {
    let real = options.reads.as_deref().and_then(|r| Some((r.first()?.clone(), r.get(1)?.clone())));
    let mut plan = Plan { arrive: BTreeSet::new(), stop: BTreeSet::new() };
    let mut queue = Vec::new();
    let last = options.samples - 1;
    for n in 0..options.samples {
        let dna = format!("HG{:08}", 10_000_001 + n);
        let family =
            ["proband", "father", "mother"].get(n as usize).map(|relation| ("F1001".to_owned(), *relation));
        let priority = Priority::ALL[(n % 3) as usize];
        let priority = if family.is_some() { Priority::High } else { priority };
        let size = options.size.as_u64().max(1 << 10);
        let bytes = size / 2 + u64::from(n) * size / u64::from(options.samples); // a half to one and a half
        let reads = real.clone().map_or(Reads::Made(bytes), |(r1, r2)| Reads::Real(r1, r2));
        if options.samples >= 8 && n % (options.samples / 4) == 0 {
            say(&format!("  reads of sample {} of {} …", n + 1, options.samples));
        }
        let sample = site.sequence(&Order { dna: dna.clone(), priority, family, reads })?;
        queue.push((sample, dna.clone()));
        let into = if n == last { &mut plan.stop } else { &mut plan.arrive };
        let _new = into.insert(format!("samples/{}-{dna}/r1", super::site::PROJECT));
    }
    let _new = plan.arrive.insert(format!("analyses/{}-HG10000001-TRIO/r1", super::site::PROJECT));
    site.sums()?;
    if let Some((_, dna)) = queue.last() {
        site.damage(dna)?;
    }
    for (sample, _) in &queue {
        site.lims.enqueue(&sample.root_artifact).map_err(|e| e.to_string())?;
    }
    drop_results(site, &mut plan)?;
    let each = size(options.size.as_u64());
    let reads = if real.is_some() { "real reads".to_owned() } else { format!("FASTQ files of about {each}") };
    say(&format!(
        "{} samples are queued in the LIMS ({reads}); another pipeline dropped 2 packages of results",
        options.samples
    ));
    Ok(plan)
}

/// What the backup pipelines leave: results for the archive, and a package for ELLA.
fn drop_results(site: &Site, plan: &mut Plan) -> Result<(), String> {
    let name = "Diag-wgs0-HG20000001";
    let vcf = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n".to_owned()
        + &(1..20_000).map(|n| format!("1\t{}\t.\tA\tG\t50\tPASS\t.\n", n * 137)).collect::<String>();
    let results = [
        ("data/variantcalling/final.vcf", vcf.clone().into_bytes()),
        ("data/qc/qc_result.json", b"{\"pass\": true}\n".to_vec()),
        ("logs/.command.log", b"done\n".to_vec()),
        ("empty.flag", Vec::new()),
    ];
    drop(site.drop_in("analyses-results/singles", name, Priority::Normal, &results)?);
    let analysis = json!({"name": name, "genepanel_name": "Nett", "genepanel_version": "v01", "priority": 3,
        "data": [{"vcf": format!("{name}.vcf"), "technology": "HTS"}]});
    let (doc, data) = (format!("{name}.analysis"), format!("{name}.vcf"));
    let ella = [(doc.as_str(), analysis.to_string().into_bytes()), (data.as_str(), vcf.into_bytes())];
    drop(site.drop_in("ella-incoming", name, Priority::Urgent, &ella)?);
    let _new = plan.arrive.insert(format!("analyses-results/singles/{name}/r1"));
    let _new = plan.arrive.insert(format!("ella-incoming/{name}/r1"));
    Ok(())
}

impl Plan {
    /// What is not where it should be (yet), in words.
    fn missing(&self, views: &std::collections::BTreeMap<PackageId, View>, site: &Site) -> Vec<String> {
        let mut missing = Vec::new();
        let state = |id: &str| views.iter().find(|(known, _)| known.to_string() == id).map(|(_, v)| v);
        for id in &self.arrive {
            match state(id) {
                Some(View { here: Some(State::Transferred), there: Some(State::Ready), .. }) => {}
                view => missing.push(format!("{id}: {view:?}")),
            }
        }
        for id in &self.stop {
            match state(id) {
                Some(View { here: Some(State::Quarantined), there: None, .. }) => {}
                view => missing.push(format!("{id} should be quarantined: {view:?}")),
            }
        }
        // The LIMS must have heard of it: one sample is queued again, all other steps are completed.
        let open =
            site.lims.steps().into_iter().filter(|s| s.state != super::lims::StepState::Completed).count();
        if open > 0 {
            missing.push(format!("{open} LIMS step(s) are still open"));
        }
        missing
    }
}

fn what_next(site: &Site, program: &Path, stays: bool) {
    let (dir, program) = (site.dir.display(), program.display());
    say(&format!(
        "\nlook around:
  {program} status --config {dir}/conf/nsc.toml      what is going on at the sequencing centre
  {program} review --config {dir}/conf/tsd.toml      what happened in the secure zone
  {dir}/tsd/archive/samples      the samples that arrived; each proves itself:
      cd {dir}/tsd/archive/samples/{project}-HG10000001 && sha256sum -c --strict SHA256SUMS
  {dir}/nsc/transfer/production      the transfer tree, FASTQ hard-linked to {dir}/nsc/delivery
  {dir}/nsc/state/journal.jsonl      the journal: every move, hash-chained",
        project = super::site::PROJECT
    ));
    if !stays {
        say("try --stay, then kill one of the two with -9 and see");
    }
}
