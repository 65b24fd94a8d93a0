//! One role as a child process.
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};

use crate::conf::Role;

/// A running daemon. Dropping it kills it, so that nothing outlives a demonstration or a test.
pub struct Daemon {
    child: Child,
    /// Open as long as we live. (`Child::wait` would close it if it were still in there, and so end the daemon twice.)
    _lifeline: Option<ChildStdin>,
    /// Its stderr goes here.
    pub stderr: PathBuf,
}

impl Daemon {
    /// Starts `PROGRAM run --role ROLE --config CONF` with the given environment on top of ours.
    pub fn start(
        program: &Path,
        role: Role,
        conf: &Path,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Result<Self, String> {
        let stderr = conf.with_file_name(format!("{role}.stderr"));
        let log = File::options().create(true).append(true).open(&stderr);
        let log = log.map_err(|e| format!("could not write {}: {e}", stderr.display()))?;
        let mut command = Command::new(program);
        // It stops when its stdin ends, so that it never outlives us, not even our kill -9.
        let command =
            command.args(["run", "--until-eof", "--role", role.as_str(), "--config"]).arg(conf).args(args);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        // A signal from the keyboard is for the demonstration, which passes it on in order.
        let command = command.process_group(0).envs(env.iter().copied());
        let mut child = command.spawn().map_err(|e| format!("could not start {}: {e}", program.display()))?;
        let lifeline = child.stdin.take();
        Ok(Self { child, _lifeline: lifeline, stderr })
    }

    /// Its process id; none when it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// kill -9.
    pub async fn kill(mut self) -> Result<(), String> {
        self.child.kill().await.map_err(|e| format!("could not kill a daemon: {e}"))
    }

    /// SIGTERM, then waits; kill -9 when the time is over, which is an error.
    pub async fn stop(mut self, limit: Duration) -> Result<ExitStatus, String> {
        if let Some(pid) =
            self.pid().and_then(|p| i32::try_from(p).ok()).and_then(rustix::process::Pid::from_raw)
        {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)
                .map_err(|e| format!("could not send SIGTERM: {e}"))?;
        }
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => status.map_err(|e| format!("could not wait for a daemon: {e}")),
            Err(_) => Err(format!("a daemon did not stop within {limit:?}; see {}", self.stderr.display())),
        }
    }
}
