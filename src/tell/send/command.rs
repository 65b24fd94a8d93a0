//! A program of the site that gets a message on stdin. No shell, no environment of ours but the path; it and what it started end with
//! its deadline.
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::review::clip;

/// Of what it says on stderr.
const WORDS: usize = 300;

/// Kills the whole group of a program that is not waited for any more.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended by itself meanwhile.
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs it with `input` on stdin. Anything but exit code 0 is a failure.
pub(super) async fn run(program: &Path, args: &[String], input: Vec<u8>) -> Result<(), String> {
    let shown = program.display();
    let mut command = Command::new(program);
    let command = command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let kept = ["PATH", "HOME", "LANG", "USER", "TZ"];
    let environment = kept.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let command = command.env_clear().envs(environment).process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| format!("could not start {shown}: {e}"))?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let mut group = Group(pid);
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let write = async move {
        if let Some(mut stdin) = stdin {
            // One that needs no message may close its stdin or end at once: its exit code counts.
            let _written = stdin.write_all(&input).await;
        }
    };
    let read = async move {
        let (mut said, mut piece) = (Vec::new(), [0; 1024]);
        let Some(mut stderr) = stderr else { return said };
        while let Ok(n @ 1..) = stderr.read(&mut piece).await {
            if said.len() < 4 * WORDS {
                said.extend(piece.iter().take(n));
            }
        }
        said
    };
    let ((), said, ended) = tokio::join!(write, read, child.wait());
    let ended = ended.map_err(|e| format!("could not wait for {shown}: {e}"))?;
    group.0 = None;
    if ended.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    let said = if said.trim().is_empty() { String::new() } else { format!(": {}", clip(said.trim(), WORDS)) };
    Err(format!("{shown} ended with {ended}{said}"))
}
