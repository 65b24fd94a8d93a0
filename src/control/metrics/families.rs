//! Which numbers there are. One table: what is not in it cannot be written, and the dashboard and the document are held against it.

/// How a number behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up while the process lives; its name ends in `_total`.
    Counter,
}

/// A number with all its labels; every one has `role` as well.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it says.
    pub help: &'static str,
    /// What tells its samples apart.
    pub labels: &'static [&'static str],
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, help, labels }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, help, labels }
}

const ACTOR: &[&str] = &["actor"];
const AREA: &[&str] = &["area"];
const PRIORITY: &[&str] = &["priority"];

/// All of them, in the order in which they are written.
pub const FAMILIES: &[Family] = &[
    gauge("tsd_import_build_info", &["version"], "The program; always 1"),
    gauge("tsd_import_start_time_seconds", &[], "When the daemon started, Unix time"),
    gauge(
        "tsd_import_written_time_seconds",
        &[],
        "When these numbers were taken, Unix time; a file that is not renewed stays behind",
    ),
    gauge("tsd_import_ready", &[], "1: all actors work and nobody wants to stop"),
    gauge("tsd_import_stopping", &[], "1: on the way out"),
    gauge(
        "tsd_import_main_thread_silent_seconds",
        &[],
        "Since the supervisor last answered; some 1 s while it lives",
    ),
    gauge("tsd_import_actor_up", ACTOR, "1: the actor runs"),
    gauge("tsd_import_actor_state", &["actor", "state"], "1 for the state that the supervisor has it in"),
    gauge("tsd_import_actor_in_hand", ACTOR, "Units that it works on"),
    gauge("tsd_import_actor_queue", ACTOR, "Units that wait for it"),
    counter("tsd_import_actor_done_total", ACTOR, "Units finished"),
    counter("tsd_import_actor_errors_total", ACTOR, "Attempts that failed"),
    gauge("tsd_import_actor_errors_in_a_row", ACTOR, "Attempts that failed since the last success"),
    counter("tsd_import_actor_restarts_total", ACTOR, "Restarts in place"),
    gauge(
        "tsd_import_actor_degraded_seconds",
        ACTOR,
        "For how long something outside keeps it from working; 0: nothing does",
    ),
    gauge(
        "tsd_import_actor_last_done_seconds",
        ACTOR,
        "Since its last finished unit; absent before the first",
    ),
    gauge("tsd_import_packages", &["state", "kind", "priority"], "Packages that the journal knows"),
    gauge("tsd_import_packages_quarantined", &["reason"], "Packages that the program stopped"),
    gauge("tsd_import_packages_failing", &[], "Packages under way whose last attempt failed"),
    gauge(
        "tsd_import_oldest_open_package_seconds",
        PRIORITY,
        "Age of the oldest package under way; 0: none is",
    ),
    gauge("tsd_import_orders_open", &[], "nsc: orders that are not at their end"),
    gauge("tsd_import_orders_for_a_person", &[], "nsc: orders that wait for a person"),
    gauge("tsd_import_doubts", &["reason"], "nsc: queued samples that cannot be exported as they are"),
    gauge("tsd_import_not_taken", &[], "What waits outside or was refused; status says what and why"),
    counter("tsd_import_moved_bytes_total", ACTOR, "Payload bytes that passed an actor, repeats included"),
    gauge("tsd_import_wire_bytes_per_second", &[], "To and from the store, over the last seconds"),
    gauge("tsd_import_wire_limit_bytes_per_second", &[], "The limit that holds now; absent: none"),
    gauge("tsd_import_wire_in_flight", &[], "Requests with bytes under way"),
    gauge("tsd_import_wire_window", &[], "How many may be under way, as found at present"),
    gauge("tsd_import_wire_waiting", PRIORITY, "Requests that wait for their turn"),
    counter("tsd_import_wire_repeats_total", &[], "Requests to the store that were asked again"),
    gauge("tsd_import_journal_lines", &[], "Lines of the journal"),
    counter("tsd_import_journal_written_lines_total", &[], "Lines written by this process"),
    counter("tsd_import_journal_syncs_total", &[], "fsyncs of the journal"),
    counter(
        "tsd_import_journal_sync_seconds_total",
        &[],
        "Time spent writing the journal and waiting for its disk",
    ),
    gauge(
        "tsd_import_alarm",
        &["alarm"],
        "1: that did not happen for too long ([alarm] in the configuration)",
    ),
    gauge("tsd_import_alarms_open", &[], "Open alarms"),
    gauge(
        "tsd_import_senders_missing_commits",
        &[],
        "tsd: commits that senders gave out and that are not here",
    ),
    gauge("tsd_import_area_free_bytes", AREA, "Room on the disk of a place, for an ordinary user"),
    gauge(
        "tsd_import_area_free_inodes",
        AREA,
        "The same for files; absent where the file system has no such limit",
    ),
    gauge("tsd_import_area_answers", AREA, "0: the disk of this place does not answer, or there is an error"),
    gauge("tsd_import_process_resident_memory_bytes", &[], "Memory"),
    gauge("tsd_import_process_threads", &[], "Threads"),
    gauge("tsd_import_process_open_fds", &[], "Open files and sockets"),
    gauge("tsd_import_process_max_fds", &[], "How many there may be; absent: any number"),
    counter("tsd_import_process_cpu_seconds_total", &[], "Processor time"),
    gauge("tsd_import_control_connections", &[], "Who is connected to the control socket or port"),
    counter("tsd_import_control_requests_total", &[], "Requests there, refused ones included"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_tell_their_kind() {
        let names: std::collections::BTreeSet<&str> = FAMILIES.iter().map(|f| f.name).collect();
        assert_eq!(names.len(), FAMILIES.len());
        for family in FAMILIES {
            assert_eq!(family.name.ends_with("_total"), family.kind == Kind::Counter, "{}", family.name);
            assert!(family.name.starts_with("tsd_import_") && !family.help.is_empty());
            let allowed = ["actor", "state", "kind", "priority", "reason", "version", "alarm", "area"];
            assert!(family.labels.iter().all(|label| allowed.contains(label)), "{}", family.name);
        }
    }
}
