//! From settings to types, section by section; every complaint is noted and reading goes on.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use super::types::{
    Again, AlarmConf, CleaningConf, CompleteAfter, LimsConf, NscConf, OnFailure, OnInvalid, OrderSource,
    OrdersConf, ReadsCheck, StoreConf, SupervisorConf, TransferConf, WorkConf,
};
use super::wire::{Proxy, pace};
use super::zone::{LandingConf, Members, Notifications, ReceiptsConf, Revisions, ShareConf, TsdConf};
use crate::lease;
use crate::package::{Kind, Name, Priority, Window};
use crate::supervisor::{Backoff, Limits};

/// The names of LIMS fields that the program needs, so that a missing one is a complaint at start.
pub const LIMS_FIELDS: [&str; 18] = [
    "run_id",
    "sheet_id",
    "sheet_position",
    "read_passes",
    "ora",
    "reads",
    "q30",
    "quality",
    "perfect_index",
    "one_mismatch",
    "gene_panel",
    "kit",
    "analysis_type",
    "family",
    "relation",
    "priority",
    "registered",
    "reanalysis",
];

pub(super) fn system_host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    name.split('.').next().unwrap_or_default().to_owned()
}

fn backoff(r: &mut Reader, first: &str, max: &str) -> Option<Backoff> {
    let (base, most) = (r.duration(first), r.duration(max));
    Backoff::try_new(base, most).map_err(|e| r.complain(first, e)).ok()
}

pub(super) fn supervisor(r: &mut Reader) -> Option<SupervisorConf> {
    let (max_restarts, period) = (r.number("supervisor.max_restarts", 0), r.duration("supervisor.period"));
    let backoff = backoff(r, "supervisor.backoff", "supervisor.backoff_max");
    let reset_after = r.duration("supervisor.reset_after");
    let (drain, stall) = (r.duration("supervisor.drain"), r.duration("supervisor.stall"));
    let limits = Limits { max_restarts, period, backoff: backoff?, reset_after };
    if let Err(e) = limits.check() {
        r.complain("supervisor.max_restarts", e);
    }
    Some(SupervisorConf { limits, drain, stall })
}

pub(super) fn work(r: &mut Reader) -> Option<WorkConf> {
    let (rhythm, unit_stall) = (r.duration("work.rhythm"), r.duration("work.unit_stall"));
    let max_failures = u32::try_from(r.number("work.max_failures", 1)).unwrap_or(u32::MAX);
    let retry = backoff(r, "work.retry_first", "work.retry_max");
    let outage = backoff(r, "work.outage_first", "work.outage_max");
    let (pool_threads, packages_at_once) =
        (r.number("work.pool_threads", 1), r.number("work.packages_at_once", 1));
    let disk_patience = r.duration("disk.patience");
    if disk_patience >= unit_stall {
        let why = format!(
            "{disk_patience:?} must be shorter than work.unit_stall ({unit_stall:?}), or a disk that hangs would be blamed on packages"
        );
        r.complain("disk.patience", why);
    }
    Some(WorkConf {
        rhythm,
        unit_stall,
        max_failures,
        retry: retry?,
        outage: outage?,
        pool_threads,
        disk_patience,
        packages_at_once,
        large: r.bytes("work.large"),
        overtakes: u32::try_from(r.number("work.overtakes", 1)).unwrap_or(u32::MAX),
        window: Window { limit: r.number("work.under_way", 1), urgent: r.number("work.under_way_urgent", 0) },
    })
}

pub(super) fn alarm(r: &mut Reader) -> AlarmConf {
    AlarmConf {
        polled: r.optional_duration("alarm.polled"),
        committed: r.optional_duration("alarm.committed"),
        listed: r.optional_duration("alarm.listed"),
        seen: r.optional_duration("alarm.seen"),
        whole: r.optional_duration("alarm.whole"),
        heartbeat: r.optional_duration("alarm.heartbeat"),
        backlog: r.optional_duration("alarm.backlog"),
        ready: r.optional_duration("alarm.ready"),
    }
}

pub(super) fn store(r: &mut Reader) -> StoreConf {
    let mut text = |key: &str| r.get::<String>(key, "text").unwrap_or_default();
    let (endpoint, region, bucket) = (text("store.endpoint"), text("store.region"), text("store.bucket"));
    let (prefix, access_key) = (text("store.prefix"), text("store.access_key"));
    if !endpoint.is_empty() && !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        r.complain("store.endpoint", "must begin with http:// or https://");
    }
    if prefix.split('/').any(|level| level.parse::<Name>().is_err()) && !prefix.is_empty() {
        r.complain("store.prefix", "must be plain names joined by '/', without one at the end");
    }
    let header_files = r.map("store.header_files").into_iter().map(|(k, v)| (k, PathBuf::from(v))).collect();
    let part_size = r.bytes("store.part_size");
    if part_size < 5 << 20 {
        r.complain("store.part_size", "S3 wants parts of at least 5 MiB");
    }
    let proxy = r.optional::<Proxy>("store.proxy", "http://HOST:PORT");
    if proxy
        .as_ref()
        .is_some_and(|proxy| !["http://", "https://"].iter().any(|p| proxy.expose().starts_with(p)))
    {
        r.complain("store.proxy", "must begin with http:// or https://");
    }
    let range_size = r.bytes("store.range_size");
    if range_size < 64 << 10 {
        r.complain("store.range_size", "must be at least 64 KiB");
    }
    StoreConf {
        endpoint,
        region,
        bucket,
        prefix,
        path_style: r.flag("store.path_style"),
        access_key,
        secret_key_file: r.path("store.secret_key_file"),
        ca_file: r.optional_path("store.ca_file"),
        proxy,
        checksum: r.get("store.checksum", "a kind of checksum").unwrap_or_default(),
        conditional: r.flag("store.conditional"),
        part_size,
        max_parts: r.number("store.max_parts", 1),
        parts_in_flight: r.number("store.parts_in_flight", 1),
        memory: r.bytes("store.memory"),
        range_size,
        files_at_once: r.number("store.files_at_once", 1),
        attempts: u32::try_from(r.number("store.attempts", 1)).unwrap_or(u32::MAX),
        attempt_timeout: r.duration("store.attempt_timeout"),
        connect_timeout: r.duration("store.connect_timeout"),
        min_rate: r.bytes("store.min_rate"),
        pace: pace(r),
        hash_threads: r.number("store.hash_threads", 0),
        headers: r.map("store.headers"),
        header_files,
    }
}

fn orders(r: &mut Reader) -> OrdersConf {
    let source = match r.get::<String>("orders.source", "clarity or directory").as_deref() {
        Some("directory") => OrderSource::Directory(r.path("orders.directory")),
        other => {
            if other.is_some_and(|word| word != "clarity") {
                r.complain("orders.source", "must be \"clarity\" or \"directory\"");
            }
            drop(r.optional_path("orders.directory"));
            OrderSource::Clarity
        }
    };
    OrdersConf {
        source,
        complete_after: r.get("orders.complete_after", "commit or packing").unwrap_or(CompleteAfter::Commit),
        on_failure: r.get("orders.on_failure", "delete, failed-step or review").unwrap_or(OnFailure::Delete),
        on_invalid: r.get("orders.on_invalid", "leave or route").unwrap_or(OnInvalid::Leave),
        doubts: u32::try_from(r.number("orders.doubts", 1)).unwrap_or(u32::MAX),
        again: r.get("orders.again", "ask or revise").unwrap_or(Again::Ask),
        read_at_once: r.number("orders.read_at_once", 3),
        check_every: r.duration("orders.check_every"),
        single_analysis: r.flag("orders.single_analysis"),
        reads: r.get("orders.reads", "full or digest").unwrap_or(ReadsCheck::Full),
    }
}

/// `WORKFLOW/STAGE`.
fn failed_stage(r: &mut Reader) -> Option<(u32, u32)> {
    let text: String = r.optional("lims.failed_stage", "WORKFLOW/STAGE, two numbers")?;
    let numbers = text.split_once('/').and_then(|(w, s)| Some((w.parse().ok()?, s.parse().ok()?)));
    if numbers.is_none() {
        r.complain("lims.failed_stage", format!("{text:?} is not WORKFLOW/STAGE, two numbers"));
    }
    numbers
}

/// `wanted`: this is the configured role, so what is missing is a complaint.
pub(super) fn nsc(r: &mut Reader, wanted: bool) -> NscConf {
    r.required(wanted);
    let orders = orders(r);
    let lims = lims(r, &orders, wanted);
    r.required(wanted);
    let settle = r.optional::<jiff::SignedDuration>("transfer.settle", "a length of time");
    NscConf {
        orders,
        lims,
        delivery_root: r.path("delivery.root"),
        taqman: r.optional_path("delivery.taqman"),
        transfer: TransferConf {
            root: r.path("transfer.root"),
            kinds: r.list("transfer.kinds", "a kind such as analyses-results/trios"),
            complete_marker: r.get("transfer.complete_marker", "a file name").unwrap_or_default(),
            settle: settle.and_then(|d| Duration::try_from(d).ok()),
            scan: r.duration("transfer.scan"),
        },
        signing_key: r.optional_path("signing.key_file"),
        cleaning: cleaning(r),
    }
}

fn cleaning(r: &mut Reader) -> CleaningConf {
    let (after, receipts) = (r.optional_duration("cleaning.after"), r.optional_path("cleaning.receipts"));
    let allowed_signers = r.optional_path("cleaning.allowed_file");
    for (key, set) in
        [("cleaning.after", after.is_some()), ("cleaning.allowed_file", allowed_signers.is_some())]
    {
        if set && receipts.is_none() {
            let why = "needs cleaning.receipts: without receipts nothing is removed but by a person (`tsd-import clean`)";
            r.complain(key, why);
        }
    }
    CleaningConf { after, receipts, allowed_signers }
}

/// Of a site whose orders come from elsewhere nothing is asked about a LIMS but what the defaults say anyway.
fn lims(r: &mut Reader, orders: &OrdersConf, wanted: bool) -> LimsConf {
    let clarity = orders.source == OrderSource::Clarity;
    r.required(wanted && clarity);
    let mut text = |key: &str| r.get::<String>(key, "text").unwrap_or_default();
    let (base, user, step_name) = (text("lims.base"), text("lims.user"), text("lims.step_name"));
    let (demultiplexing, sequencing) = (text("lims.demultiplexing"), text("lims.sequencing"));
    let mut id = |key: &str| u32::try_from(r.number(key, 0)).unwrap_or(u32::MAX);
    let (protocol, step, attempts) = (id("lims.protocol"), id("lims.step"), id("lims.attempts").max(1));
    let failed_step = id("lims.failed_step");
    let failed_stage = failed_stage(r);
    let reviewer = r.optional("lims.reviewer", "the number of a researcher in the LIMS");
    if clarity && orders.on_failure == OnFailure::FailedStep && failed_step == 0 && failed_stage.is_none() {
        r.complain("orders.on_failure", "\"failed-step\" needs lims.failed_step or lims.failed_stage");
    }
    if clarity && orders.on_failure == OnFailure::Review && reviewer.is_none() {
        r.complain("orders.on_failure", "\"review\" needs lims.reviewer");
    }
    if clarity && orders.on_invalid == OnInvalid::Route && failed_stage.is_none() {
        r.complain("orders.on_invalid", "\"route\" needs lims.failed_stage");
    }
    let fields = LIMS_FIELDS
        .into_iter()
        .filter_map(|name| {
            Some((name.to_owned(), r.get(&format!("lims.fields.{name}"), "the name of a LIMS field")?))
        })
        .collect();
    let relations = ["proband", "father", "mother"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), r.get(&format!("lims.relations.{name}"), "text")?)))
        .collect();
    let mut priorities = BTreeMap::new();
    for word in r.names("lims.priorities") {
        let key = format!("lims.priorities.{word}");
        if let Some(priority) = r.get::<Priority>(&key, "urgent, high or normal") {
            let _earlier = priorities.insert(word.to_lowercase(), priority);
        }
    }
    LimsConf {
        base,
        user,
        password_file: r.path("lims.password_file"),
        ca_file: r.optional_path("lims.ca_file"),
        interval: r.duration("lims.interval"),
        deadline: r.duration("lims.deadline"),
        attempts,
        step_deadline: r.duration("lims.step_deadline"),
        protocol,
        step,
        step_name,
        demultiplexing,
        sequencing,
        failed_step: Some(failed_step).filter(|n| *n > 0),
        failed_stage,
        reviewer,
        failure_field: r.optional("lims.failure_field", "the name of a LIMS field"),
        key_field: r.optional("lims.key_field", "the name of a LIMS field"),
        fields,
        sample_fields: r.map("lims.sample_fields"),
        analysis_fields: r.map("lims.analysis_fields"),
        relations,
        priorities,
    }
}

/// Of one package, where nothing else is configured: several times the largest there is.
const MAX_BYTES: u64 = 4 << 40;
const MAX_FILES: u64 = 1_000_000;

pub(super) fn tsd(r: &mut Reader, wanted: bool) -> TsdConf {
    let (interval, whole) = (r.duration("watch.interval"), r.duration("watch.whole"));
    let allowed_signers = r.optional_path("signers.allowed_file");
    let disk_floor = r.bytes("disk.floor");
    let mut landing = BTreeMap::new();
    for name in r.names("landing") {
        let key = |field: &str| format!("landing.{name}.{field}");
        let place = LandingConf {
            destination: r.path(&key("destination")),
            ready: r.flag(&key("ready")),
            dir_mode: r.mode(&key("dir_mode")),
            file_mode: r.mode(&key("file_mode")),
            group: r.optional(&key("group"), "a group that this host knows"),
            max_bytes: r
                .optional(&key("max_bytes"), "a size such as 4 TiB")
                .map_or(MAX_BYTES, |size: bytesize::ByteSize| size.0),
            max_files: r.optional(&key("max_files"), "a number").unwrap_or(MAX_FILES),
            members: r.optional(&key("members"), "any or landed").unwrap_or(Members::Any),
            revisions: r.optional(&key("revisions"), "ask or land").unwrap_or(Revisions::Ask),
        };
        match name.parse::<Kind>() {
            Ok(kind) => drop(landing.insert(kind, place)),
            Err(e) => r.complain(&format!("landing.{name}"), e),
        }
    }
    if wanted && landing.is_empty() {
        r.complain("landing", "must name at least one kind and its destination");
    }
    let (dir, key_file) = (r.optional_path("receipts.dir"), r.optional_path("receipts.key_file"));
    if dir.is_none() && key_file.is_some() {
        r.complain("receipts.key_file", "needs receipts.dir");
    }
    let receipts = dir.map(|dir| ReceiptsConf { dir, key_file });
    let notifications = r.get("watch.notifications", "auto or off").unwrap_or(Notifications::Off);
    let share = share(r);
    TsdConf { interval, whole, allowed_signers, disk_floor, receipts, notifications, landing, share }
}

fn share(r: &mut Reader) -> ShareConf {
    let (claims, lease) = (r.flag("share.claims"), r.duration("share.lease"));
    if !(lease::SHORTEST..=lease::LONGEST).contains(&lease) {
        let why = format!("{lease:?} is not between {:?} and {:?}", lease::SHORTEST, lease::LONGEST);
        r.complain("share.lease", why);
    }
    let prefix: String = r.get("share.prefix", "plain names joined by '/'").unwrap_or_default();
    if prefix.split('/').any(|level| level.parse::<Name>().is_err()) {
        r.complain("share.prefix", "must be plain names joined by '/', without one at the end");
    }
    ShareConf { claims, begin: r.flag("share.begin"), prefix, lease }
}
