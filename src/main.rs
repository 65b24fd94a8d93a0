//! Arguments → command → exit code.
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use tsd_import::cli::Cli;

fn main() -> ExitCode {
    let _failpoints = tsd_import::failpoints();
    match Cli::parse().perform() {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            if !exit.why.is_empty() {
                // Not `eprintln!`: it panics where nobody can be told any more, such as on a terminal that has gone.
                drop(writeln!(std::io::stderr(), "tsd-import: {}", exit.why));
            }
            // Not `return`: a thread that is blocked must not hold the process back.
            std::process::exit(exit.code.into());
        }
    }
}
