//! `manual` and `completions`: what the command line says of itself, for `man` and for shells.
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;
use super::exit::{Exit, say};
use crate::fs;

/// Options of `manual`.
#[derive(Args, Debug, Clone)]
pub struct ManualArgs {
    /// The directory for the pages; it must be there. `man -l DIR/tsd-import-status.1` shows one
    #[arg(value_name = "DIR")]
    out: PathBuf,
}

/// Options of `completions`.
#[derive(Args, Debug, Clone)]
pub struct CompletionsArgs {
    /// For which shell
    shell: Shell,
}

/// Writes a page for the program and one for each command, also those below others.
pub fn manual(args: &ManualArgs) -> Result<(), Exit> {
    let mut program = Cli::command();
    program.build();
    let mut written = Vec::new();
    pages(&program, "tsd-import", &args.out, &mut written)?;
    say(format_args!("{} pages written to {}", written.len(), args.out.display()))
}

/// Pages are replaced, not merged: those of an older version go.
fn pages(command: &clap::Command, name: &str, out: &Path, written: &mut Vec<PathBuf>) -> Result<(), Exit> {
    let path = out.join(format!("{name}.1"));
    let failed = |e: &dyn std::fmt::Display| Exit::no(format!("could not write {}: {e}", path.display()));
    let mut text = Vec::new();
    let man = Man::new(command.clone()).title(name).manual("tsd-import").source(env!("CARGO_PKG_VERSION"));
    man.render(&mut text).map_err(|e| failed(&e))?;
    fs::write_volatile(&path, &text).map_err(|e| failed(&crate::chain(&e)))?;
    written.push(path);
    for below in command.get_subcommands().filter(|c| c.get_name() != "help") {
        pages(below, &format!("{name}-{}", below.get_name()), out, written)?;
    }
    Ok(())
}

/// Prints the script that a shell reads.
pub fn completions(args: &CompletionsArgs) -> Result<(), Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tsd-import", &mut script);
    let script = String::from_utf8(script).map_err(|e| Exit::no(format!("the script is not text: {e}")))?;
    say(format_args!("{}", script.trim_end()))
}
