//! Facts of the host that matter to somebody who cannot see it.
use std::path::Path;

use serde_json::{Value, json};

use crate::fs::Free;

fn first_line(path: &str, begins: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find(|line| line.starts_with(begins)).map(|line| line.trim().to_owned())
}

/// What `df` says of a place.
fn free(path: &Path) -> Value {
    match Free::at(path) {
        Ok(free) => json!(format!("{free:?}")),
        Err(e) => json!(crate::chain(&e)),
    }
}

/// System, memory, load, limits, and how full the disks of state and log are. What a host does not tell is null.
pub(super) fn facts(state: &Path, log: &Path) -> Value {
    let system = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    json!({
        "system": text(system.sysname()),
        "release": text(system.release()),
        "machine": text(system.machine()),
        "distribution": first_line("/etc/os-release", "PRETTY_NAME="),
        "cores": std::thread::available_parallelism().ok().map(std::num::NonZero::get),
        "memory": first_line("/proc/meminfo", "MemTotal:"),
        "memory_available": first_line("/proc/meminfo", "MemAvailable:"),
        "load": first_line("/proc/loadavg", ""),
        "open_files": first_line("/proc/self/limits", "Max open files"),
        "seconds_since_boot": crate::clock::since_boot().as_secs(),
        "state_disk": free(state),
        "log_disk": free(log),
    })
}
