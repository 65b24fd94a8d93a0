//! What the process takes of its host, from the kernel's own account in memory (`/proc`).
use rustix::time::{ClockId, clock_gettime};

/// One moment of it; what the kernel does not tell is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Resident bytes.
    pub memory: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open files and sockets.
    pub fds: Option<u64>,
    /// The limit of these.
    pub max_fds: Option<u64>,
    /// Seconds of processor time.
    pub cpu: f64,
}

/// Of this process, now.
pub fn now() -> Process {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let fds = std::fs::read_dir("/proc/self/fd").ok().map(|open| open.count() as u64);
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    Process {
        // The directory itself is open while it is read.
        fds: fds.map(|n| n.saturating_sub(1)),
        max_fds: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
        cpu: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
        ..from_status(&status)
    }
}

fn from_status(text: &str) -> Process {
    let number = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let memory = number("VmRSS").map(|kib| kib.saturating_mul(1024));
    Process { memory, threads: number("Threads"), ..Process::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_account_is_read() {
        let read = from_status("Name:\tx\nVmRSS:\t   2048 kB\nThreads:\t7\nThreadsX:\t9\n");
        assert_eq!((read.memory, read.threads), (Some(2 << 20), Some(7)));
        assert_eq!(from_status("Name:\tx\n"), Process::default());
        let now = now();
        assert!(now.memory.unwrap() > 1 << 20 && now.threads.unwrap() >= 1 && now.fds.unwrap() >= 3);
        assert!(now.cpu > 0.0 && now.max_fds.is_none_or(|max| max > 3));
    }
}
