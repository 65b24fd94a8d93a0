//! The command line: what an operator can ask for. Each command has a file of its own.
mod acts;
mod area;
mod ask;
mod bucket;
mod bundle;
mod clean;
mod config;
mod config_show;
mod control;
mod custody;
mod demo;
mod doctor;
mod drain;
mod exit;
mod journal;
mod list;
mod lookout;
mod manual;
mod owned;
mod pseudonym;
mod reconcile;
mod review;
mod run;
mod status;
mod supersede;
mod tell;
mod top;
mod verify;
mod why;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use exit::Exit;

use crate::conf::{Conf, Role, Settings};

/// Packages sequencing samples at the sequencing centre and brings them safely into the secure zone.
///
/// `run` is the daemon, `drain` stops it. `status` and `review` only read, and work whether it runs or not.
#[derive(Parser, Debug)]
#[command(name = "tsd-import", version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Where the configuration comes from.
#[derive(Args, Debug, Clone)]
pub struct ConfArgs {
    /// The site's configuration file
    #[arg(long, short, env = "TSD_IMPORT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which side this is; overrules the file: nsc (sequencing centre) or tsd (secure zone)
    #[arg(long, env = "TSD_IMPORT_ROLE")]
    pub role: Option<Role>,
}

impl ConfArgs {
    /// Reads and checks it; complaints come all at once.
    pub fn load(&self) -> Result<Conf, Exit> {
        self.check(&self.settings()?)
    }

    /// Reads it.
    pub fn settings(&self) -> Result<Settings, Exit> {
        if self.config.is_none() && std::env::vars().all(|(name, _)| !name.starts_with("TSD_IMPORT__")) {
            return Err(Exit::config(
                "no configuration was given: name a file with --config or in TSD_IMPORT_CONFIG",
            ));
        }
        Settings::read(self.config.as_deref(), std::env::vars()).map_err(Exit::config)
    }

    /// Checks it.
    pub fn check(&self, settings: &Settings) -> Result<Conf, Exit> {
        Conf::check(settings, self.role).map_err(Exit::config)
    }
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the daemon until SIGTERM, SIGINT or `drain` (finish what is in hand; a second signal: leave at once)
    ///
    /// SIGHUP reads the configuration again. Exit codes: 0 stopped in order; 69 a stop file forbids it; 75 gave up or was cut
    /// off, start it again; 78 configuration or state needs a person.
    Run(run::RunArgs),
    /// Show the whole way of a package here, on embedded parts: store, LIMS, both roles as processes
    Demo(demo::DemoArgs),
    /// What is going on: actors, packages by state, what moves, what waits and why
    ///
    /// Exit code 1: the daemon does not run, or hangs.
    Status(status::StatusArgs),
    /// Where is this package or sample, since when, what does it wait for, what is to be done; with its whole way
    ///
    /// Exit codes: 0 told; 1 nothing of that name is known here; 2 several may be meant, they are listed.
    Why(why::WhyArgs),
    /// Which packages are there, those whose state changed last first; by state, kind, priority, time, name
    List(list::ListArgs),
    /// The same on a screen of its own that lives: actors, packages, throughput, events; keys select, filter, tell why
    ///
    /// What it does is what `hold`, `release` and `retry` do. Exit codes: 0 you left it; 2 there is no terminal, `status --watch` needs none; 129 and 143 a signal ended it.
    Top(top::TopArgs),
    /// Have the daemon finish what is in hand and end, without a signal: also from another host that sees its state directory
    ///
    /// Exit codes: 0 it ended in order, or none was running; 1 it did not end in time; 75 it ended, but something was cut off.
    Drain(drain::DrainArgs),
    /// What happened, is it over, do I have to act: restarts, incidents, outages, packages delivered and stopped
    ///
    /// Exit codes: 0 nothing to do; 1 somebody is needed, or there is no answer; 78 there is nothing to read.
    Review(review::ReviewArgs),
    /// List what rests below transferred/ and is old, or remove exactly what such a list names (nsc)
    ///
    /// `clean --older-than 30d > FILE` lists and changes nothing. `clean --list FILE --confirm DIGEST --reason TEXT` removes what FILE
    /// names, if DIGEST (its last line) is that of FILE; what has changed since is left alone and named. Exit codes: 0 done; 1 not all
    /// of it, or no answer in time; 69 a stop file forbids it; 75 try again later; 78 configuration or list are wrong.
    Clean(clean::CleanArgs),
    /// Check a package directory against its SHA256SUMS and its documents, byte by byte
    Verify(verify::VerifyArgs),
    /// Who had this package, when, on which host, with which digests: from the delivery to READY, with the commands that check it
    ///
    /// It only reads: the journal, the package if it is still there, and at the receiver what the bucket still holds of it where no
    /// record keeps it. Exit codes: 0 told, nothing contradicts; 1 records contradict each other, it was not handed over, or there is
    /// no such package; 78 there is nothing to read.
    Custody(custody::CustodyArgs),
    /// Compare journal, bucket, disks and LIMS: every difference, what to do, and with --fix what can safely be done (role tsd)
    ///
    /// With --fix a lost journal of a receiver is rebuilt. Nothing is deleted or overwritten, and nothing lands that may have landed
    /// before. Exit codes: 0 nothing to do; 1 somebody is needed; 75 something did not answer, or a daemon runs (--fix); 78 configuration.
    Reconcile(reconcile::ReconcileArgs),
    /// Have nobody work on packages until they are released
    ///
    /// What is in hand is finished. Exit codes of this and the next eight: 0 done; 1 something was refused; 75 no answer; 78 configuration.
    Hold(acts::PackagesArgs),
    /// Take up again what is held or was stopped, at the step that must be repeated
    Release(acts::PackagesArgs),
    /// Try at once what failed, or take up what was stopped
    Retry(acts::RetryArgs),
    /// Change how soon packages are: urgent, high, normal
    Priority(acts::PriorityArgs),
    /// Send once more what was sent, as a new revision (nsc)
    Reexport(acts::PackagesArgs),
    /// Have an actor, or `uploads`, take nothing new
    Pause(acts::PauseArgs),
    /// Have it go on
    Resume(acts::PauseArgs),
    /// Another limit of bytes a second than the configured one, at once
    Bandwidth(acts::BandwidthArgs),
    /// Take the stop file away, so that a daemon may start again
    Undrain(acts::UndrainArgs),
    /// Have a stopped package land in place of one of its name that was handed over; tsd, the daemon must be stopped
    ///
    /// Only what was stopped as `supersedes`. Nothing is deleted: what still lies at the destination is moved aside with --set-aside. Who
    /// said so and why stand in the journal. Exit codes: 0 done; 1 refused; 75 a daemon runs, or a disk did not answer; 78 configuration.
    Supersede(supersede::SupersedeArgs),
    /// Ask the store what it can do: rights, checksums, limits, clock, throughput; print the configuration lines for it
    ///
    /// It puts small objects below `<prefix>/doctor/`. Exit codes: 0 good; 75 the store does not answer; 78 somebody must mend
    /// something.
    Doctor(doctor::DoctorArgs),
    /// Ask a running daemon, in raw form
    #[command(subcommand)]
    Control(ControlCommand),
    /// Say whom a pseudonym means, or what a name is called in messages; here alone, it asks the state directory's key
    ///
    /// Exit codes: 0 known; 1 nobody here is called so.
    Pseudonym(pseudonym::PseudonymArgs),
    /// Send a message through the configured channels, now, and say what became of it
    ///
    /// Exit codes: 0 all of them took it; 1 not all; 78 there is no such channel.
    Tell(tell::TellArgs),
    /// Pack logs, configuration, journal and facts into one file that may leave: ids are pseudonyms, secrets are gone
    ///
    /// The finished file is searched for every known name and secret; one hit, and it is not kept. Exit codes: 0 done; 1 not kept;
    /// 78 configuration, or the file is there already.
    SupportBundle(bundle::BundleArgs),
    /// Look at the journal
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write the manual pages of all commands into a directory
    Manual(manual::ManualArgs),
    /// Print what a shell needs to complete commands and options
    ///
    /// For bash: `tsd-import completions bash > ~/.local/share/bash-completion/completions/tsd-import`.
    Completions(manual::CompletionsArgs),
    /// Print the version
    Version,
}

#[derive(Subcommand, Debug)]
enum ControlCommand {
    /// Print what the daemon answers to PATH, over its control socket: for scripts, and for whoever helps from afar
    ///
    /// Exit codes: 0 answered; 1 the answer is no; 75 no daemon runs, it hangs, or it went away; 78 the socket is another user's.
    Get(control::GetArgs),
}

#[derive(Subcommand, Debug)]
enum JournalCommand {
    /// Prove that every line is as it was written: numbers, digests from line to line, legal moves, commits one after the other
    ///
    /// It only reads, also while a daemon writes. Exit codes: 0 whole; 1 damaged (each line is named); 78 there is no journal.
    Verify(journal::VerifyArgs),
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    /// Say everything that is wrong with it: unknown keys, values, missing files and directories
    ///
    /// Exit codes: 0 it is good; 75 the LIMS does not answer (with --against-lims); 78 somebody must mend something.
    Check(config::CheckArgs),
    /// What holds on this host and where it comes from: the settings that are not the defaults, with `--all` all of them
    ///
    /// Credentials and people's addresses are shown as ***. It is not judged here: that is `config check`.
    Show(config_show::ShowArgs),
    /// Every setting there is, with its default, its meaning and whether a reload or a restart makes it count
    Keys(config_show::KeysArgs),
}

impl Cli {
    /// Does what was asked for.
    pub fn perform(self) -> Result<(), Exit> {
        match self.command {
            Command::Run(args) => run::run(&args),
            Command::Demo(args) => demo::demo(&args),
            Command::Status(args) => status::status(&args),
            Command::Why(args) => why::why(&args),
            Command::List(args) => list::list(&args),
            Command::Top(args) => top::top(&args),
            Command::Drain(args) => drain::drain(&args),
            Command::Review(args) => review::review(&args),
            Command::Clean(args) => clean::clean(&args),
            Command::Verify(args) => verify::verify(&args),
            Command::Custody(args) => custody::custody(&args),
            Command::Reconcile(args) => reconcile::reconcile(&args),
            Command::Hold(args) => acts::hold(&args),
            Command::Release(args) => acts::release(&args),
            Command::Retry(args) => acts::retry(&args),
            Command::Priority(args) => acts::priority(&args),
            Command::Reexport(args) => acts::reexport(&args),
            Command::Pause(args) => acts::pause(&args),
            Command::Resume(args) => acts::resume(&args),
            Command::Bandwidth(args) => acts::bandwidth(&args),
            Command::Undrain(args) => acts::undrain(&args),
            Command::Supersede(args) => supersede::supersede(&args),
            Command::Control(ControlCommand::Get(args)) => control::get(&args),
            Command::Pseudonym(args) => pseudonym::pseudonym(&args),
            Command::Tell(args) => tell::tell(&args),
            Command::SupportBundle(args) => bundle::bundle(&args),
            Command::Journal(JournalCommand::Verify(args)) => journal::verify(&args),
            Command::Config(ConfigCommand::Check(args)) => config::check(&args),
            Command::Config(ConfigCommand::Show(args)) => config_show::show(&args),
            Command::Config(ConfigCommand::Keys(args)) => config_show::keys(&args),
            Command::Doctor(args) => doctor::doctor(&args),
            Command::Manual(args) => manual::manual(&args),
            Command::Completions(args) => manual::completions(&args),
            Command::Version => exit::say(format_args!("tsd-import {}", env!("CARGO_PKG_VERSION"))),
        }
    }
}
