//! What is configured, as types. What each key means stands in `conf/default.toml`.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::control::ControlConf;
use super::tell::TellConf;
use super::wire::{Checksum, Endurance, PaceConf, Proxy};
use super::zone::TsdConf;
use crate::package::{Kind, Name, Priority, Window};
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
    /// How long a process may work without having renewed its ownership of the state directory.
    pub lease: Duration,
    /// Logging.
    pub log: LogConf,
    /// How it is asked while it runs.
    pub control: ControlConf,
    /// The supervisor.
    pub supervisor: SupervisorConf,
    /// All actors.
    pub work: WorkConf,
    /// When silence is an alarm.
    pub alarm: AlarmConf,
    /// Who is told of what.
    pub tell: TellConf,
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

/// For how long something may not happen before it is an alarm; none: no alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlarmConf {
    /// nsc: the LIMS queue was read.
    pub polled: Option<Duration>,
    /// nsc: a package was committed, while packages wait to be sent.
    pub committed: Option<Duration>,
    /// tsd: the bucket was listed.
    pub listed: Option<Duration>,
    /// tsd: a new package, or a sign of life of a sender.
    pub seen: Option<Duration>,
    /// tsd: a commit is missing that its sender has given out.
    pub whole: Option<Duration>,
    /// tsd: a sign of life of a sender.
    pub heartbeat: Option<Duration>,
    /// tsd: a package came of a sender that says that packages wait there.
    pub backlog: Option<Duration>,
    /// tsd: a package became `READY`, while packages wait.
    pub ready: Option<Duration>,
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
    /// Threads of each disk, which also compute the digests of what they read.
    pub pool_threads: usize,
    /// A call on a disk that does not come back for this long: the disk does not answer.
    pub disk_patience: Duration,
    /// Packages per actor.
    pub packages_at_once: usize,
    /// From this many bytes a package is large.
    pub large: u64,
    /// So often in a row the package that waits longest may be overtaken.
    pub overtakes: u32,
    /// How many packages may be under way.
    pub window: Window,
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
    /// PEM of who may vouch for the endpoint; none: the system's.
    pub ca_file: Option<PathBuf>,
    /// `http://HOST:PORT`.
    pub proxy: Option<Proxy>,
    /// What proves the bytes of a request on the wire.
    pub checksum: Checksum,
    /// Whether the endpoint refuses to replace an object when asked to.
    pub conditional: bool,
    /// Bytes.
    pub part_size: u64,
    /// The endpoint's limit.
    pub max_parts: usize,
    /// At most, over all packages.
    pub parts_in_flight: usize,
    /// Bytes for parts, over all packages.
    pub memory: u64,
    /// Bytes of one request when a file is received.
    pub range_size: u64,
    /// Of one package.
    pub files_at_once: usize,
    /// Of one request.
    pub attempts: u32,
    /// For an answer, once the request is sent.
    pub attempt_timeout: Duration,
    /// Of a connection.
    pub connect_timeout: Duration,
    /// Bytes a second below which a transfer is cut off.
    pub min_rate: u64,
    /// How fast it may go.
    pub pace: PaceConf,
    /// That compute digests.
    pub hash_threads: usize,
    /// Sent as they are.
    pub headers: BTreeMap<String, String>,
    /// Read afresh for each request.
    pub header_files: BTreeMap<String, PathBuf>,
}

impl StoreConf {
    /// How long a request may take.
    pub fn endurance(&self) -> Endurance {
        Endurance { attempts: self.attempts, answer: self.attempt_timeout, min_rate: self.min_rate }
    }
}

/// The sequencing centre.
#[derive(Clone, Debug)]
pub struct NscConf {
    /// What is exported, and what becomes of it.
    pub orders: OrdersConf,
    /// The LIMS.
    pub lims: LimsConf,
    /// Delivered FASTQ.
    pub delivery_root: PathBuf,
    /// SNP-ID results, if they are sent.
    pub taqman: Option<PathBuf>,
    /// The transfer tree.
    pub transfer: TransferConf,
    /// Private key; none: unsigned.
    pub signing_key: Option<PathBuf>,
    /// What may leave `transferred/`.
    pub cleaning: CleaningConf,
}

/// What may leave `transferred/` by itself.
#[derive(Clone, Debug, Default)]
pub struct CleaningConf {
    /// So long after its commit; none: never.
    pub after: Option<Duration>,
    /// Where receipts arrive; none: nothing leaves without a person.
    pub receipts: Option<PathBuf>,
    /// Who may sign receipts; none: unsigned ones are believed.
    pub allowed_signers: Option<PathBuf>,
}

/// Where orders come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderSource {
    /// The LIMS.
    Clarity,
    /// A directory of JSON work orders.
    Directory(PathBuf),
}

/// A choice among words.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$word_doc])* $variant,)* }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(format!("one of: {}", [$($word),*].join(", "))),
                }
            }
        }
    };
}
pub(super) use choice;

choice! {
    /// When the source is told that a sample is exported.
    CompleteAfter {
        /// Committed: the receiver can have it.
        Commit = "commit",
        /// Packed.
        Packing = "packing",
    }
}
choice! {
    /// What becomes of claimed samples that were not delivered.
    OnFailure {
        /// As if they had never been claimed.
        Delete = "delete",
        /// On to the step for failed exports.
        FailedStep = "failed-step",
        /// A person is asked in the step.
        Review = "review",
    }
}
choice! {
    /// What becomes of queued samples that cannot be exported as they are.
    OnInvalid {
        /// They stay.
        Leave = "leave",
        /// Out of the queue.
        Route = "route",
    }
}
choice! {
    /// A sample is queued again with other content.
    Again {
        /// It waits for a person.
        Ask = "ask",
        /// It becomes a new revision.
        Revise = "revise",
    }
}
choice! {
    /// How FASTQ is checked while it is sent.
    ReadsCheck {
        /// Decompressed and read.
        Full = "full",
        /// md5 and size.
        Digest = "digest",
    }
}

/// What is exported, and what becomes of it.
#[derive(Clone, Debug)]
pub struct OrdersConf {
    /// Where orders come from.
    pub source: OrderSource,
    /// When a sample is called exported.
    pub complete_after: CompleteAfter,
    /// Claimed and not delivered.
    pub on_failure: OnFailure,
    /// Queued and impossible.
    pub on_invalid: OnInvalid,
    /// Looks that find a sample impossible before it is put out of the queue.
    pub doubts: u32,
    /// Queued again with other content.
    pub again: Again,
    /// Samples read in full at one look.
    pub read_at_once: usize,
    /// Between two looks at the steps that we opened.
    pub check_every: Duration,
    /// Whether a sample outside of a trio gets an analysis.
    pub single_analysis: bool,
    /// How FASTQ is checked.
    pub reads: ReadsCheck,
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
    /// Step number for failed exports, if the export step leads there.
    pub failed_step: Option<u32>,
    /// Workflow and stage for what is put out of the queue.
    pub failed_stage: Option<(u32, u32)>,
    /// Researcher who is asked about failed exports.
    pub reviewer: Option<u32>,
    /// Field of the queued artifact that takes the reason of a failure.
    pub failure_field: Option<String>,
    /// Field of the export step that takes the order's name.
    pub key_field: Option<String>,
    /// What the site's LIMS calls things.
    pub fields: BTreeMap<String, String>,
    /// More fields of `.sample`: name → LIMS field, with `project:` or `output:` before it if it is not the sample's.
    pub sample_fields: BTreeMap<String, String>,
    /// More fields of `.analysis` below `params`: name → LIMS field of the (proband's) sample.
    pub analysis_fields: BTreeMap<String, String>,
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
