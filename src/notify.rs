//! What the service manager is told: ready, reloading, stopping, a line of status, and a sign of life.
//!
//! The protocol of sd_notify(3): one datagram of `KEY=value` lines to the socket named in `NOTIFY_SOCKET`. Written here
//! because `sd-notify` 0.5 cannot reach abstract sockets (`@…`, which containers use) and sends without a limit of time.
//! Nothing here may fail the daemon: a service manager that is not there is a warning.
use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// A service manager that does not read is not waited for longer than this.
const PATIENCE: Duration = Duration::from_millis(100);

/// The way to the service manager, if there is one.
pub struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
    complained: AtomicBool,
}

impl Notifier {
    /// As the environment says.
    pub fn from_environment() -> Self {
        let text = |name| std::env::var(name).ok();
        Self::new(std::env::var_os("NOTIFY_SOCKET").as_deref(), text("WATCHDOG_USEC"), text("WATCHDOG_PID"))
    }

    /// As given: the socket's name, and after how many microseconds without a sign of life which process is ended.
    pub fn new(socket: Option<&OsStr>, watchdog_usec: Option<String>, watchdog_pid: Option<String>) -> Self {
        let to = socket.filter(|s| !s.is_empty()).and_then(|name| match open(name) {
            Ok(to) => Some(to),
            Err(error) => {
                tracing::warn!(?name, %error, "NOTIFY_SOCKET cannot be used, so the service manager is told nothing");
                None
            }
        });
        let for_us =
            watchdog_pid.is_none_or(|pid| pid.parse().is_ok_and(|pid: u32| pid == std::process::id()));
        let usec = watchdog_usec.filter(|_| for_us).and_then(|t| t.parse().ok()).filter(|usec| *usec > 0);
        let watchdog = usec.map(Duration::from_micros).filter(|_| to.is_some());
        Self { to, watchdog, complained: AtomicBool::new(false) }
    }

    /// After this long without [`alive`](Self::alive) the service manager ends us; none: it does not watch.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// All is up. This one word must arrive (without it a start or a reload counts as failed), so it is repeated.
    pub fn ready(&self) {
        let _one_arrived = (0..3).any(|_| self.send("READY=1\n"));
    }

    /// What goes on, in one line without anything that names a sample.
    pub fn status(&self, line: &str) {
        let _shown = self.send(&format!("STATUS={}\n", line.replace('\n', " ")));
    }

    /// The supervisor has just answered.
    pub fn alive(&self) {
        if self.watchdog.is_some() {
            let _the_next_one_comes_soon = self.send("WATCHDOG=1\n");
        }
    }

    /// The configuration is being read again; [`ready`](Self::ready) follows, however it went.
    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let usec = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        let _told = self.send(&format!("RELOADING=1\nMONOTONIC_USEC={usec}\n"));
    }

    /// On the way out.
    pub fn stopping(&self) {
        let _told = self.send("STOPPING=1\n");
    }

    /// Still on the way out: this much more time is needed, whatever `TimeoutStopSec` says.
    pub fn extend(&self, by: Duration) {
        let _told = self.send(&format!("EXTEND_TIMEOUT_USEC={}\n", by.as_micros()));
    }

    /// Whether it arrived; a failure is said once, until one arrives again.
    fn send(&self, text: &str) -> bool {
        let Some((socket, to)) = &self.to else { return true };
        let sent = socket.send_to_addr(text.as_bytes(), to);
        match &sent {
            Ok(_) => self.complained.store(false, Relaxed),
            Err(error) if !self.complained.swap(true, Relaxed) => {
                tracing::warn!(%error, text, "could not tell the service manager");
            }
            Err(_) => {}
        }
        sent.is_ok()
    }
}

fn open(name: &OsStr) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let to = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(std::io::Error::other("neither a path nor an abstract name (@...)")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok((socket, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn received(socket: &UnixDatagram) -> String {
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut buffer = [0; 4096];
        let n = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    }

    #[test]
    fn paths_and_abstract_names_are_reached() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("@tsd-import-test-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let abstract_addr = SocketAddr::from_abstract_name(name.trim_start_matches('@')).unwrap();
        let by_name = UnixDatagram::bind_addr(&abstract_addr).unwrap();
        for (socket, name) in [(by_path, path.as_os_str()), (by_name, OsStr::new(&name))] {
            let notifier = Notifier::new(Some(name), Some("2000000".into()), None);
            assert_eq!(notifier.watchdog(), Some(Duration::from_secs(2)));
            notifier.ready();
            assert_eq!(received(&socket), "READY=1\n");
            notifier.status("one\ntwo");
            assert_eq!(received(&socket), "STATUS=one two\n");
            notifier.alive();
            assert_eq!(received(&socket), "WATCHDOG=1\n");
            notifier.reloading();
            let said = received(&socket);
            let usec = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end();
            assert!(usec.parse::<u64>().unwrap() > 0, "{said}");
        }
    }

    #[test]
    fn a_watchdog_for_another_process_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let _open = UnixDatagram::bind(&path).unwrap();
        let with = |usec: &str, pid: Option<u32>| {
            Notifier::new(Some(path.as_os_str()), Some(usec.into()), pid.map(|p| p.to_string())).watchdog()
        };
        assert_eq!(with("1000000", Some(std::process::id())), Some(Duration::from_secs(1)));
        assert_eq!(with("1000000", Some(1)), None);
        assert_eq!((with("0", None), with("soon", None)), (None, None));
        assert_eq!(Notifier::new(None, Some("1000000".into()), None).watchdog(), None);
    }

    #[test]
    fn a_service_manager_that_is_gone_or_deaf_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        Notifier::new(Some(OsStr::new("relative")), None, None).ready();
        Notifier::new(Some(dir.path().join("nobody").as_os_str()), None, None).ready();
        let path = dir.path().join("deaf");
        let _never_read = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(Some(path.as_os_str()), None, None);
        let begun = Instant::now();
        (0..20).for_each(|_| notifier.stopping()); // its queue holds a few datagrams
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
