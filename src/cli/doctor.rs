//! `doctor`: what the store can do, in words and as configuration.
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::exit::say;
use super::{ConfArgs, Exit};
use crate::chain;
use crate::conf::{Complaints, Conf};
use crate::disk::Disks;
use crate::doctor::{Report, examine, judge::judge};
use crate::fs;
use crate::snapshot::Snapshot;

/// Options of `doctor`.
#[derive(Args, Debug, Clone)]
pub struct DoctorArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// For each of the measurements of throughput (1, 4 and 16 requests in flight); 0: none
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=60))]
    seconds: u64,
    /// Print facts and findings as JSON
    #[arg(long)]
    json: bool,
    /// Also write the configuration lines to this new file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Asks the store and says what was found.
pub fn doctor(args: &DoctorArgs) -> Result<(), Exit> {
    let conf = args.conf.load()?;
    if let Some(path) = args.write.as_ref().filter(|path| path.exists()) {
        return Err(Exit::config(format!(
            "{} is there already; name a new file with --write",
            path.display()
        )));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Exit::temporary(format!("could not start: {e}")))?;
    let disks = Disks::new(1, conf.work.disk_patience, Arc::new(|_, _, _| {}));
    let secrets = conf.store.header_files.values().next().and_then(|file| file.parent());
    let secrets = disks.at("secrets", secrets.unwrap_or(&conf.state_dir)).map_err(Exit::temporary)?;
    let facts = runtime.block_on(examine(&conf, secrets, args.seconds));
    let report = judge(facts.map_err(|e| Exit::config(chain(&e)))?);
    if args.json {
        let text = serde_json::to_string_pretty(&report);
        say(format_args!("{}", text.map_err(|e| Exit::no(format!("could not write JSON: {e}")))?))?;
    } else {
        print(&report)?;
    }
    if !args.json {
        channels(&conf)?;
    }
    if let Some(path) = &args.write {
        let text = format!("# Found by tsd-import doctor at {}.\n{}", conf.store.endpoint, toml(&report));
        fs::write_durably(path, text.as_bytes()).map_err(|e| Exit::no(chain(&e)))?;
    }
    let faults = report.findings.iter().filter(|finding| finding.mend).count();
    match report.exit {
        0 => Ok(()),
        75 => Err(Exit::temporary("the store could not be asked now; try again later")),
        _ => Err(Exit::config(format!("{faults} thing(s) must be mended: they are marked with !"))),
    }
}

/// How the channels are that tell people, and what they lack.
fn channels(conf: &Conf) -> Result<(), Exit> {
    let seen = Snapshot::read(&conf.state_dir);
    for channel in seen.iter().flat_map(|seen| &seen.channels) {
        let bad = if channel.why.is_some() { '!' } else { ' ' };
        say(format_args!("{bad}  channel {channel}"))?;
    }
    if let Err(Complaints(all)) = conf.tell.check_files() {
        for one in all {
            say(format_args!("!  {one}"))?;
        }
    }
    Ok(())
}

fn toml(report: &Report) -> String {
    let lines: String = report.lines.iter().map(|line| format!("{line}\n")).collect();
    format!("[store]\n{lines}")
}

fn print(report: &Report) -> Result<(), Exit> {
    for finding in &report.findings {
        let bad = if finding.mend { '!' } else { ' ' };
        say(format_args!("{bad}{} {}: {}", finding.mark.sign(), finding.what, finding.text))?;
    }
    if report.lines.is_empty() {
        return Ok(());
    }
    say(format_args!("\nfor the configuration of this side:\n\n{}", toml(report).trim_end()))
}
