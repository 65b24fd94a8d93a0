//! Which settings may change while the daemon runs. One table; a test holds it against `conf/default.toml`.
//!
//! Live is what no work in flight can trip over: how often, how long, how much at once, where new packages land. What
//! names a place, an account or an identity (state, store, LIMS, role, host) is decided once: half the work under one and
//! half under another is what nobody could review.

/// When a new value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// At once, by a reload.
    Live,
    /// At the next start.
    Restart,
}

/// `name.*` stands for all keys below `name`.
const TABLE: [(Class, &[&str]); 2] = [
    (
        Class::Live,
        &[
            "log.level",
            "supervisor.max_restarts",
            "supervisor.period",
            "supervisor.backoff",
            "supervisor.backoff_max",
            "supervisor.reset_after",
            "work.rhythm",
            "work.unit_stall",
            "work.max_failures",
            "work.retry_first",
            "work.retry_max",
            "work.outage_first",
            "work.outage_max",
            "work.packages_at_once",
            "work.large",
            "work.overtakes",
            "work.under_way",
            "work.under_way_urgent",
            "lims.interval",
            "transfer.scan",
            "transfer.settle",
            "watch.interval",
            "watch.whole",
            "disk.floor",
            "landing.*",
            "store.limit",
            "store.timezone",
            "store.timetable.*",
            "alarm.*",
            "tell.*",
        ],
    ),
    (
        Class::Restart,
        &[
            "role",
            "host",
            "state.*",
            "control.*",
            "metrics.*",
            "log.dir",
            "log.keep_days", // belongs to the open log file
            "supervisor.drain",
            "supervisor.stall",
            "work.pool_threads",
            "disk.patience",
            "store.endpoint",
            "store.region",
            "store.bucket",
            "store.prefix",
            "store.path_style",
            "store.access_key",
            "store.secret_key_file",
            "store.ca_file",
            "store.proxy",
            "store.checksum",
            "store.conditional",
            "store.part_size",
            "store.max_parts",
            "store.parts_in_flight",
            "store.memory",
            "store.range_size",
            "store.files_at_once",
            "store.attempts",
            "store.attempt_timeout",
            "store.connect_timeout",
            "store.min_rate",
            "store.hash_threads",
            "store.headers.*",
            "store.header_files.*",
            "orders.*",
            "lims.base",
            "lims.user",
            "lims.password_file", // the path; the file itself is read when the LIMS is asked
            "lims.ca_file",
            "lims.deadline",
            "lims.attempts",
            "lims.step_deadline",
            "lims.protocol",
            "lims.step",
            "lims.step_name",
            "lims.demultiplexing",
            "lims.sequencing",
            "lims.failed_step",
            "lims.failed_stage",
            "lims.reviewer",
            "lims.failure_field",
            "lims.key_field",
            "lims.fields.*",
            "lims.sample_fields.*",
            "lims.analysis_fields.*",
            "lims.relations.*",
            "lims.priorities.*",
            "delivery.*",
            "transfer.root",
            "transfer.kinds",
            "transfer.complete_marker",
            "signing.*",
            "cleaning.*",
            "watch.notifications",
            "receipts.*",
            "signers.*",
            "share.*",
        ],
    ),
];

fn covers(pattern: &str, key: &str) -> bool {
    match pattern.strip_suffix(".*") {
        Some(table) => key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.')),
        None => pattern == key,
    }
}

/// A key that the table does not know needs a restart: nothing changes under running work by oversight.
pub fn class(key: &str) -> Class {
    let live = TABLE.iter().any(|(class, keys)| *class == Class::Live && keys.iter().any(|p| covers(p, key)));
    if live { Class::Live } else { Class::Restart }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::Settings;

    #[test]
    fn every_key_is_in_exactly_one_class_and_no_row_is_about_nothing() {
        let settings = Settings::read(None, []).unwrap();
        let free = [
            "store.headers.x",
            "store.header_files.token",
            "store.timetable.07:30",
            "landing.samples.destination",
            "lims.sample_fields.x",
            "lims.analysis_fields.x",
        ];
        let keys: Vec<&str> = settings.keys().chain(free).collect();
        assert!(keys.len() > 70, "{}", keys.len());
        let rows: Vec<&str> = TABLE.iter().flat_map(|(_, rows)| rows.iter().copied()).collect();
        for key in &keys {
            let by: Vec<&&str> = rows.iter().filter(|row| covers(row, key)).collect();
            assert_eq!(by.len(), 1, "{key} is in the table {} times: {by:?}", by.len());
        }
        for row in rows {
            assert!(keys.iter().any(|key| covers(row, key)), "{row} is no key of conf/default.toml");
        }
    }

    #[test]
    fn what_names_a_place_or_an_identity_waits_for_a_restart() {
        for key in ["role", "host", "state.dir", "store.bucket", "store.headers.x", "transfer.root", "typo.x"]
        {
            assert_eq!(class(key), Class::Restart, "{key}");
        }
        for key in ["log.level", "landing.samples.ready", "alarm.seen", "work.rhythm"] {
            assert_eq!(class(key), Class::Live, "{key}");
        }
        assert_eq!(class("landings"), Class::Restart, "a pattern ends at its dot");
    }
}
