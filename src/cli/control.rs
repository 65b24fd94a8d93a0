//! `control get`: the raw answer of a running daemon, for scripts and for whoever helps from afar.
use std::io::Write;

use clap::Args;

use super::ConfArgs;
use super::exit::Exit;
use crate::control::client::{Answer, Client, Trouble, ask};

/// Options of `control get`.
#[derive(Args, Debug, Clone)]
pub struct GetArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// What is asked for, such as /metrics or /v1/snapshot; /v1/openapi.json lists all
    path: String,
    /// Print a stream as it comes, until it ends or you do; for /v1/events
    #[arg(long)]
    sse: bool,
    /// With --sse: begin behind this line of the journal; 0 for everything that is kept
    #[arg(long, value_name = "LINE", requires = "sse")]
    after: Option<u64>,
}

/// Prints an answer.
pub fn get(args: &GetArgs) -> Result<(), Exit> {
    if !args.path.starts_with('/') {
        return Err(Exit::no(format!(
            "{:?} is no path; it begins with a slash, such as /v1/snapshot",
            args.path
        )));
    }
    let (socket, path) = (args.conf.load()?.control.socket, args.path.clone());
    if args.sse {
        return follow(&Client::new(&socket), &path, args.after);
    }
    let answer: Answer = ask(&socket, async move |client| client.get(&path).await).map_err(exit)?;
    let mut out = std::io::stdout().lock();
    written(out.write_all(&answer.body).and_then(|()| out.flush()))?;
    if answer.body.last().is_some_and(|last| *last != b'\n') {
        written(out.write_all(b"\n"))?;
    }
    if answer.is_good() { Ok(()) } else { Err(Exit::no(format!("{} answered {}", args.path, answer.status))) }
}

fn exit(trouble: Trouble) -> Exit {
    match trouble {
        Trouble::Denied { .. } | Trouble::Stranger { .. } => Exit::config(trouble),
        Trouble::Refused { .. } | Trouble::Odd { .. } | Trouble::Version { .. } => Exit::no(trouble),
        Trouble::NoDaemon { .. } | Trouble::Hangs { .. } | Trouble::CutOff { .. } => Exit::temporary(trouble),
    }
}

/// A reader that went away (`| head`) is not an error of ours.
fn written(done: std::io::Result<()>) -> Result<bool, Exit> {
    match done {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Exit::no(format!("could not write to stdout: {e}"))),
    }
}

fn follow(client: &Client, path: &str, after: Option<u64>) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Exit::temporary(format!("could not start a runtime: {e}")))?;
    runtime.block_on(async {
        let mut stream = client.stream(path, after).await.map_err(exit)?;
        let (mut out, good) = (std::io::stdout(), stream.status.is_success());
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|why| {
                Exit::temporary(format!("the daemon went away in the middle of {path} ({why}): it ended or was killed; see `tsd-import status`"))
            })?;
            if !written(out.write_all(&piece).and_then(|()| out.flush()))? {
                return Ok(());
            }
        }
        match good {
            // An event stream has no end but the daemon's.
            true => Err(Exit::temporary(format!("the daemon closed {path}: it ended, or you read too slowly; see `tsd-import status`"))),
            false => Err(Exit::no(format!("{path} answered {}", stream.status))),
        }
    })
}
