//! The configuration: read once, checked whole, then trusted by its types. Actors get only their part.
mod reader;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reader::Reader;
pub use reader::{Complaints, DEFAULTS};

use crate::package::{Kind, Name, Priority};
use crate::supervisor::{Backoff, Limits};

/// Which side this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// At the sequencing centre.
    Nsc,
    /// In the secure zone.
    Tsd,
}

impl Role {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nsc => "nsc",
            Self::Tsd => "tsd",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Nsc, Self::Tsd]
            .into_iter()
            .find(|r| r.as_str() == text)
            .ok_or("it is neither nsc nor tsd".into())
    }
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Conf {
    /// Which side.
    pub role: Role,
    /// This host's name in journal and commits.
    pub host: Name,
    /// Journal, upload progress, status.
    pub state_dir: PathBuf,
    /// Logging.
    pub log: LogConf,
    /// The supervisor.
    pub supervisor: SupervisorConf,
    /// All actors.
    pub work: WorkConf,
    /// The object store.
    pub store: StoreConf,
    /// What only this side needs.
    pub side: Side,
}

/// What only one side needs.
#[derive(Clone, Debug)]
pub enum Side {
    /// The sequencing centre.
    Nsc(Box<NscConf>),
    /// The secure zone.
    Tsd(Box<TsdConf>),
}

/// Logging.
#[derive(Clone, Debug)]
pub struct LogConf {
    /// One file a day.
    pub dir: PathBuf,
    /// Level or filter.
    pub level: String,
    /// Days.
    pub keep_days: usize,
}

/// The supervisor.
#[derive(Clone, Copy, Debug)]
pub struct SupervisorConf {
    /// How much failing is too much.
    pub limits: Limits,
    /// How long an actor may finish what is in hand.
    pub drain: Duration,
    /// No pulse for this long: hung.
    pub stall: Duration,
}

/// All actors.
#[derive(Clone, Copy, Debug)]
pub struct WorkConf {
    /// Own timer of every actor.
    pub rhythm: Duration,
    /// No progress for this long: cut off.
    pub unit_stall: Duration,
    /// Before quarantine.
    pub max_failures: u32,
    /// Between attempts of one package's step.
    pub retry: Backoff,
    /// Between probes during an outage.
    pub outage: Backoff,
    /// Threads for digests and disk.
    pub pool_threads: usize,
    /// Packages per actor.
    pub packages_at_once: usize,
}

/// The object store.
#[derive(Clone, Debug)]
pub struct StoreConf {
    /// Base address.
    pub endpoint: String,
    /// For the signature.
    pub region: String,
    /// Bucket.
    pub bucket: String,
    /// Keys begin with this.
    pub prefix: String,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    pub path_style: bool,
    /// Access key id.
    pub access_key: String,
    /// File with the secret key.
    pub secret_key_file: PathBuf,
    /// Bytes.
    pub part_size: u64,
    /// The endpoint's limit.
    pub max_parts: usize,
    /// Over all packages.
    pub parts_in_flight: usize,
    /// Of one package.
    pub files_at_once: usize,
    /// Of one request.
    pub attempts: u32,
    /// Of one attempt.
    pub attempt_timeout: Duration,
    /// Of a connection.
    pub connect_timeout: Duration,
    /// Sent as they are.
    pub headers: BTreeMap<String, String>,
    /// Read afresh for each request.
    pub header_files: BTreeMap<String, PathBuf>,
}

/// The sequencing centre.
#[derive(Clone, Debug)]
pub struct NscConf {
    /// The LIMS.
    pub lims: LimsConf,
    /// Delivered FASTQ.
    pub delivery_root: PathBuf,
    /// The transfer tree.
    pub transfer: TransferConf,
    /// Private key; none: unsigned.
    pub signing_key: Option<PathBuf>,
}

/// The LIMS.
#[derive(Clone, Debug)]
pub struct LimsConf {
    /// `https://HOST/api/v2`.
    pub base: String,
    /// Account.
    pub user: String,
    /// File with its password.
    pub password_file: PathBuf,
    /// PEM.
    pub ca_file: Option<PathBuf>,
    /// Between two looks at the queue.
    pub interval: Duration,
    /// Of one request.
    pub deadline: Duration,
    /// Of one reading request.
    pub attempts: u32,
    /// For a step to leave a state.
    pub step_deadline: Duration,
    /// Protocol number.
    pub protocol: u32,
    /// Step number.
    pub step: u32,
    /// Expected name of the step.
    pub step_name: String,
    /// Process type.
    pub demultiplexing: String,
    /// Process type.
    pub sequencing: String,
    /// What the site's LIMS calls things.
    pub fields: BTreeMap<String, String>,
    /// proband, father, mother → the LIMS's words.
    pub relations: BTreeMap<String, String>,
    /// The LIMS's words, lower case → priority.
    pub priorities: BTreeMap<String, Priority>,
}

/// The transfer tree.
#[derive(Clone, Debug)]
pub struct TransferConf {
    /// Its root.
    pub root: PathBuf,
    /// Kinds that are sent.
    pub kinds: Vec<Kind>,
    /// File that says that a dropped package is whole.
    pub complete_marker: String,
    /// Or: unchanged for this long.
    pub settle: Option<Duration>,
    /// Between two looks.
    pub scan: Duration,
}

/// The secure zone.
#[derive(Clone, Debug)]
pub struct TsdConf {
    /// Between two looks at the bucket.
    pub interval: Duration,
    /// Who may sign; none: unsigned is accepted.
    pub allowed_signers: Option<PathBuf>,
    /// Bytes that stay free.
    pub disk_floor: u64,
    /// Where each kind lands.
    pub landing: BTreeMap<Kind, LandingConf>,
}

/// Where a kind lands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LandingConf {
    /// Holds one directory per package.
    pub destination: PathBuf,
    /// Whether `READY` is written.
    pub ready: bool,
    /// Of directories; none: as the umask says.
    pub dir_mode: Option<u32>,
    /// Of files; none: as the umask says.
    pub file_mode: Option<u32>,
}

/// The names of LIMS fields that the program needs, so that a missing one is a complaint at start.
pub const LIMS_FIELDS: [&str; 17] = [
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
];

impl Conf {
    /// Reads defaults, the file and the environment. `role` overrules the file's. Says everything that is wrong at once.
    pub fn load(file: Option<&Path>, role: Option<Role>) -> Result<Self, Complaints> {
        Self::load_with(file, role, std::env::vars())
    }

    /// The same with a given environment.
    pub fn load_with(
        file: Option<&Path>,
        role: Option<Role>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Complaints> {
        let ours =
            environment.into_iter().filter(|(k, _)| k.to_ascii_uppercase().starts_with("TSD_IMPORT__"));
        let mut r = Reader::open(file, ours)?;
        let from_file: Option<Role> = r.optional("role", "nsc or tsd");
        let role = role.or(from_file);
        if role.is_none() {
            r.complain("role", "must be set here or with --role");
        }
        let host = r.optional("host", "a host name").or_else(|| system_host().parse().ok());
        let state_dir = r.path("state.dir");
        let log = LogConf {
            dir: r.path("log.dir"),
            level: r.get("log.level", "a level").unwrap_or_default(),
            keep_days: r.number("log.keep_days", 1),
        };
        let supervisor = read_supervisor(&mut r);
        let work = read_work(&mut r);
        let store = read_store(&mut r);
        r.required(role == Some(Role::Nsc));
        let nsc = read_nsc(&mut r);
        r.required(role == Some(Role::Tsd));
        let tsd = read_tsd(&mut r, role == Some(Role::Tsd));
        r.finish(|| {
            let side = match role? {
                Role::Nsc => Side::Nsc(Box::new(nsc)),
                Role::Tsd => Side::Tsd(Box::new(tsd)),
            };
            Some(Self {
                role: role?,
                host: host?,
                state_dir,
                log,
                supervisor: supervisor?,
                work: work?,
                store,
                side,
            })
        })
    }

    /// Complains about every file and directory that must exist before work begins.
    pub fn check_files(&self) -> Result<(), Complaints> {
        let mut missing = Vec::new();
        let mut file = |key: &str, path: &Path| {
            if let Err(e) = std::fs::File::open(path) {
                missing.push(format!("{key}: cannot read {}: {e}", path.display()));
            }
        };
        file("store.secret_key_file", &self.store.secret_key_file);
        for (name, path) in &self.store.header_files {
            file(&format!("store.header_files.{name}"), path);
        }
        let mut dirs: Vec<(String, &Path)> = Vec::new();
        match &self.side {
            Side::Nsc(nsc) => {
                file("lims.password_file", &nsc.lims.password_file);
                nsc.lims.ca_file.iter().for_each(|p| file("lims.ca_file", p));
                nsc.signing_key.iter().for_each(|p| file("signing.key_file", p));
                dirs.push(("delivery.root".into(), &nsc.delivery_root));
                dirs.push(("transfer.root".into(), &nsc.transfer.root));
            }
            Side::Tsd(tsd) => {
                tsd.allowed_signers.iter().for_each(|p| file("signers.allowed_file", p));
                for (kind, landing) in &tsd.landing {
                    dirs.push((format!("landing.{kind}.destination"), &landing.destination));
                }
            }
        }
        for (key, dir) in dirs.into_iter().filter(|(_, dir)| !dir.is_dir()) {
            missing.push(format!(
                "{key}: {} is not a directory; create it or correct the setting",
                dir.display()
            ));
        }
        if missing.is_empty() { Ok(()) } else { Err(Complaints(missing)) }
    }
}

fn system_host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    name.split('.').next().unwrap_or_default().to_owned()
}

fn read_backoff(r: &mut Reader, first: &str, max: &str) -> Option<Backoff> {
    let (base, most) = (r.duration(first), r.duration(max));
    Backoff::try_new(base, most).map_err(|e| r.complain(first, e)).ok()
}

fn read_supervisor(r: &mut Reader) -> Option<SupervisorConf> {
    let (max_restarts, period) = (r.number("supervisor.max_restarts", 0), r.duration("supervisor.period"));
    let backoff = read_backoff(r, "supervisor.backoff", "supervisor.backoff_max");
    let reset_after = r.duration("supervisor.reset_after");
    let (drain, stall) = (r.duration("supervisor.drain"), r.duration("supervisor.stall"));
    Some(SupervisorConf {
        limits: Limits { max_restarts, period, backoff: backoff?, reset_after },
        drain,
        stall,
    })
}

fn read_work(r: &mut Reader) -> Option<WorkConf> {
    let (rhythm, unit_stall) = (r.duration("work.rhythm"), r.duration("work.unit_stall"));
    let max_failures = u32::try_from(r.number("work.max_failures", 1)).unwrap_or(u32::MAX);
    let retry = read_backoff(r, "work.retry_first", "work.retry_max");
    let outage = read_backoff(r, "work.outage_first", "work.outage_max");
    let (pool_threads, packages_at_once) =
        (r.number("work.pool_threads", 1), r.number("work.packages_at_once", 1));
    Some(WorkConf {
        rhythm,
        unit_stall,
        max_failures,
        retry: retry?,
        outage: outage?,
        pool_threads,
        packages_at_once,
    })
}

fn read_store(r: &mut Reader) -> StoreConf {
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
    StoreConf {
        endpoint,
        region,
        bucket,
        prefix,
        path_style: r.flag("store.path_style"),
        access_key,
        secret_key_file: r.path("store.secret_key_file"),
        part_size,
        max_parts: r.number("store.max_parts", 1),
        parts_in_flight: r.number("store.parts_in_flight", 1),
        files_at_once: r.number("store.files_at_once", 1),
        attempts: u32::try_from(r.number("store.attempts", 1)).unwrap_or(u32::MAX),
        attempt_timeout: r.duration("store.attempt_timeout"),
        connect_timeout: r.duration("store.connect_timeout"),
        headers: r.map("store.headers"),
        header_files,
    }
}

fn read_nsc(r: &mut Reader) -> NscConf {
    let mut text = |key: &str| r.get::<String>(key, "text").unwrap_or_default();
    let (base, user, step_name) = (text("lims.base"), text("lims.user"), text("lims.step_name"));
    let (demultiplexing, sequencing) = (text("lims.demultiplexing"), text("lims.sequencing"));
    let mut id = |key: &str| u32::try_from(r.number(key, 0)).unwrap_or(u32::MAX);
    let (protocol, step, attempts) = (id("lims.protocol"), id("lims.step"), id("lims.attempts").max(1));
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
    let settle = r.optional::<jiff::SignedDuration>("transfer.settle", "a length of time");
    NscConf {
        lims: LimsConf {
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
            fields,
            relations,
            priorities,
        },
        delivery_root: r.path("delivery.root"),
        transfer: TransferConf {
            root: r.path("transfer.root"),
            kinds: r.list("transfer.kinds", "a kind such as analyses-results/trios"),
            complete_marker: r.get("transfer.complete_marker", "a file name").unwrap_or_default(),
            settle: settle.and_then(|d| Duration::try_from(d).ok()),
            scan: r.duration("transfer.scan"),
        },
        signing_key: r.optional_path("signing.key_file"),
    }
}

fn read_tsd(r: &mut Reader, wanted: bool) -> TsdConf {
    let interval = r.duration("watch.interval");
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
        };
        match name.parse::<Kind>() {
            Ok(kind) => drop(landing.insert(kind, place)),
            Err(e) => r.complain(&format!("landing.{name}"), e),
        }
    }
    if wanted && landing.is_empty() {
        r.complain("landing", "must name at least one kind and its destination");
    }
    TsdConf { interval, allowed_signers, disk_floor, landing }
}

#[cfg(test)]
mod tests;
