//! What was found, without a judgement.
use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use crate::conf::{Checksum, Conf, Role, Side};

/// What came of a question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answered {
    /// It works.
    Yes,
    /// It does not, and what was said.
    No(String),
    /// It could not be found out, and why.
    Unknown(String),
    /// Nobody asked.
    #[default]
    NotAsked,
}

impl Answered {
    /// Whether it works for sure.
    pub fn is_yes(&self) -> bool {
        *self == Self::Yes
    }
}

/// What the store makes of bytes that do not fit what proves them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Noticed {
    /// They are refused.
    Refused,
    /// They are stored.
    Believed,
    /// Right bytes are refused as well, with these words: this kind cannot be used.
    NotTaken(String),
    /// It could not be found out, and why.
    Unknown(String),
}

/// What was found about one kind of proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Of a whole object.
    pub put: Noticed,
    /// Of a part.
    pub part: Noticed,
    /// Whether the answer repeats it.
    pub echoed: bool,
}

impl Checked {
    /// Whether no changed byte is believed, wherever it is sent.
    pub fn proves(&self) -> bool {
        self.put == Noticed::Refused && self.part == Noticed::Refused
    }

    /// Whether somewhere changed bytes are surely believed, or right ones surely refused.
    pub fn fails(&self) -> bool {
        let surely = |noticed: &Noticed| matches!(noticed, Noticed::Believed | Noticed::NotTaken(_));
        surely(&self.put) || surely(&self.part)
    }
}

/// Who can reach the bytes between here and there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wire {
    /// Nobody.
    Tls,
    /// This host alone.
    Loopback,
    /// Everybody on the way.
    Plain,
}

impl Wire {
    /// Of an address, read as the client that goes there reads it; through a proxy also what is meant for this host leaves it. What
    /// cannot be read is trusted least.
    pub fn of(endpoint: &str, proxied: bool) -> Self {
        let Ok(url) = reqwest::Url::parse(endpoint) else { return Self::Plain };
        let host = url.host_str().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // A name that only begins like an address of this host may lead anywhere.
        let here = bare.parse::<IpAddr>().map_or(bare == "localhost", |ip| ip.to_canonical().is_loopback());
        match url.scheme() {
            "https" => Self::Tls,
            _ if here && !proxied => Self::Loopback,
            _ => Self::Plain,
        }
    }
}

/// What a key can be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// To put an object.
    Put,
    /// To begin an upload and send parts.
    Multipart,
    /// To give an upload up.
    Abort,
    /// To list.
    List,
    /// To look at one object.
    Head,
    /// To read one.
    Get,
    /// To remove one.
    Delete,
}

impl Right {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Multipart => "multipart upload",
            Self::Abort => "abort",
            Self::List => "list",
            Self::Head => "head",
            Self::Get => "get",
            Self::Delete => "delete",
        }
    }
}

/// Why nothing more was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// In the words of the daemon.
    pub why: String,
    /// Whether it may be otherwise later, without anybody's doing.
    pub passing: bool,
}

/// What is configured now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Configured {
    /// Which side.
    #[serde(serialize_with = "as_text")]
    pub role: Role,
    /// Base address.
    pub endpoint: String,
    /// The bucket's name.
    pub bucket: String,
    /// Whether the bucket stands in the path and not in the host's name.
    pub path_style: bool,
    /// Whether requests go through a proxy.
    pub proxied: bool,
    /// What proves bytes on the wire.
    #[serde(serialize_with = "as_text")]
    pub checksum: Checksum,
    /// Whether puts are conditional.
    pub conditional: bool,
    /// Whether packages are claimed.
    pub claims: bool,
    /// Bytes.
    pub part_size: u64,
    /// The limit.
    pub max_parts: usize,
}

fn as_text<T: std::fmt::Display, S: serde::Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// All that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    /// What is configured now.
    pub configured: Configured,
    /// Who can reach the bytes on the way.
    pub wire: Wire,
    /// Why nothing more was asked.
    pub trouble: Option<Trouble>,
    /// The value of `store.path_style` with which the bucket is found, if it is the other one.
    pub found_with_path_style: Option<bool>,
    /// By how many seconds the store's clock is ahead of ours.
    pub ahead: Option<i64>,
    /// How the server names itself.
    pub server: Option<String>,
    /// What this key may.
    pub rights: BTreeMap<Right, Answered>,
    /// By the word of the configuration.
    pub checks: BTreeMap<&'static str, Checked>,
    /// The highest number that a part may have.
    pub most_parts: Option<u32>,
    /// Why it was not found.
    pub unclear_number: Option<String>,
    /// The largest part that was accepted, up to the configured size.
    pub largest_part: Option<u64>,
    /// Why larger ones were not.
    pub too_large: Option<String>,
    /// Why neither was found.
    pub unclear_part: Option<String>,
    /// Whether an upload with a small part before its last one is completed.
    pub small_parts: Answered,
    /// Whether the parts of an upload can be listed.
    pub list_parts: Answered,
    /// Whether an upload can be completed, in an answer that is understood.
    pub completed: Answered,
    /// Whether a completion can be repeated.
    pub completed_again: Answered,
    /// Whether `If-None-Match: *` on an existing key is refused, with the one status that a sender takes for that (412).
    pub only_new: Answered,
    /// The same of an object that was completed of parts: the kind of which a sender asks it.
    pub only_new_completed: Answered,
    /// Of eight such writers of one new key at once, how many were told that they wrote it.
    pub winners: Option<usize>,
    /// Whether it holds the conditions on which claims rely; for the receiving side.
    pub sharing: Answered,
    /// Whether ranges of an object are honoured.
    pub ranges: Answered,
    /// Whether it tells of new objects.
    pub notifications: Answered,
    /// Whether a key of 500 bytes below the prefix works.
    pub long_key: Answered,
    /// Whether a key of all characters that we use works.
    pub odd_key: Answered,
    /// Requests in flight, and bytes a second.
    pub up: Vec<(usize, u64)>,
    /// The same for reading.
    pub down: Vec<(usize, u64)>,
    /// Keys that stay in the bucket.
    pub left: Vec<String>,
}

impl Facts {
    /// Nothing is known yet.
    pub fn unknown(conf: &Conf) -> Self {
        let store = &conf.store;
        Self::of(Configured {
            role: conf.role,
            endpoint: store.endpoint.clone(),
            bucket: store.bucket.clone(),
            path_style: store.path_style,
            proxied: store.proxy.is_some(),
            checksum: store.checksum,
            conditional: store.conditional,
            claims: matches!(&conf.side, Side::Tsd(tsd) if tsd.share.claims),
            part_size: store.part_size,
            max_parts: store.max_parts,
        })
    }

    /// The same for tests.
    pub(super) fn of(configured: Configured) -> Self {
        Self {
            wire: Wire::of(&configured.endpoint, configured.proxied),
            configured,
            trouble: None,
            found_with_path_style: None,
            ahead: None,
            server: None,
            rights: BTreeMap::new(),
            checks: BTreeMap::new(),
            most_parts: None,
            unclear_number: None,
            largest_part: None,
            too_large: None,
            unclear_part: None,
            small_parts: Answered::NotAsked,
            list_parts: Answered::NotAsked,
            completed: Answered::NotAsked,
            completed_again: Answered::NotAsked,
            only_new: Answered::NotAsked,
            only_new_completed: Answered::NotAsked,
            winners: None,
            sharing: Answered::NotAsked,
            ranges: Answered::NotAsked,
            notifications: Answered::NotAsked,
            long_key: Answered::NotAsked,
            odd_key: Answered::NotAsked,
            up: Vec::new(),
            down: Vec::new(),
            left: Vec::new(),
        }
    }
}
