//! Settings of the wire: what proves the bytes of a request, how long it may take, and how fast it may go at which time of day.
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::reader::Reader;

/// What proves the bytes of a request on the wire. The far side compares, so each costs it something too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// The signature covers the SHA-256 of the body: every store checks it.
    #[default]
    Signed,
    /// `x-amz-checksum-sha256`; the body is not signed.
    Sha256,
    /// `x-amz-checksum-crc64nvme`.
    Crc64Nvme,
    /// `x-amz-checksum-crc32c`.
    Crc32C,
    /// `x-amz-checksum-crc32`.
    Crc32,
    /// `Content-MD5`.
    Md5,
}

/// The words of the configuration.
pub const CHECKSUMS: [(&str, Checksum); 6] = [
    ("signed", Checksum::Signed),
    ("sha256", Checksum::Sha256),
    ("crc64nvme", Checksum::Crc64Nvme),
    ("crc32c", Checksum::Crc32C),
    ("crc32", Checksum::Crc32),
    ("md5", Checksum::Md5),
];

impl FromStr for Checksum {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = CHECKSUMS.iter().find(|(name, _)| *name == word).map(|(_, checksum)| *checksum);
        found.ok_or_else(|| format!("must be one of {}", CHECKSUMS.map(|(name, _)| name).join(", ")))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = CHECKSUMS.iter().find(|(_, checksum)| checksum == self).map_or("signed", |(name, _)| name);
        f.pad(word)
    }
}

/// How fast it may go, by the time of day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaceConf {
    /// Bytes a second while the timetable says nothing; none: no limit.
    pub limit: Option<u64>,
    /// From this minute of the day on; sorted. Before the first entry the last one holds.
    pub timetable: Vec<(u16, Option<u64>)>,
    /// Of the timetable.
    pub zone: TimeZone,
}

/// Over which the least rate (`store.min_rate`) is measured.
pub const RATE_WINDOW: Duration = Duration::from_secs(20);
/// What the pauses between the attempts of one request may come to, beyond what its attempts left of their time.
const PAUSES: Duration = Duration::from_secs(60);

/// How long one request may take: the one place where that is said, for who makes requests and for who checks a configuration.
///
/// What is not counted is the time in which we hold it back ourselves, by `store.limit` or because enough others are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endurance {
    /// Of one request.
    pub attempts: u32,
    /// Before the first byte of an attempt moves, and behind the last one of its body.
    pub answer: Duration,
    /// Bytes a second, at least, in between.
    pub min_rate: u64,
}

impl Endurance {
    /// The longest that an attempt to move so many bytes may take.
    pub fn attempt(&self, bytes: u64) -> Duration {
        if bytes == 0 {
            return self.answer;
        }
        let moving = Duration::from_secs(bytes.div_ceil(self.min_rate.max(1)));
        // One window before it is measured, and one before it is seen that nothing moves any more.
        self.answer.saturating_mul(2).saturating_add(moving).saturating_add(2 * RATE_WINDOW)
    }

    /// The longest that all attempts may take, with the pauses between them.
    pub fn whole(&self, bytes: u64) -> Duration {
        self.attempt(bytes).saturating_mul(self.attempts).saturating_add(PAUSES)
    }
}

/// The address of a proxy. It may hold a password, so it is shown without one.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy(String);

impl Proxy {
    /// All of it; not to be shown.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A text that may quote addresses, without what stands before the `@` of each; rather too much of a line than too little.
pub(super) fn without_passwords(text: &str) -> String {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("://") {
        shown.extend([before, "://"]);
        let line = after.lines().next().unwrap_or_default();
        rest = after;
        if let Some((secret, _)) = line.rsplit_once('@') {
            shown.push_str("***");
            rest = after.get(secret.len()..).unwrap_or_default();
        }
    }
    shown + rest
}

impl FromStr for Proxy {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A password may hold anything, also what looks like the end of an address.
        match self.0.rsplit_once('@') {
            Some((before, host)) => {
                let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
                write!(f, "\"{scheme}://***@{host}\"")
            }
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// Bytes a second; none: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Speed(Option<u64>);

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            // Nothing would ever move; and who writes it may as well mean the contrary.
            text => match text.parse::<bytesize::ByteSize>()?.as_u64() {
                0 => Err("nothing would move; use \"off\" for no limit".into()),
                bytes => Ok(Self(Some(bytes))),
            },
        }
    }
}

const SPEED: &str = "bytes a second such as \"400 MiB\", or \"off\"";

/// The minute of the day.
fn minute(time: &str) -> Option<u16> {
    let (hour, minute) = time.split_once(':')?;
    let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

pub(super) fn pace(r: &mut Reader) -> PaceConf {
    let limit = r.optional::<Speed>("store.limit", SPEED).and_then(|speed| speed.0);
    let mut timetable: Vec<(u16, Option<u64>)> = Vec::new();
    for time in r.names("store.timetable") {
        let speed = r.optional::<Speed>(&format!("store.timetable.{time}"), SPEED);
        match (minute(&time), speed) {
            (None, _) => {
                r.complain("store.timetable", format!("{time:?} is not a time of day such as \"07:30\""))
            }
            (Some(minute), _) if timetable.iter().any(|(other, _)| *other == minute) => r.complain(
                "store.timetable",
                format!("{time:?} is there twice, written differently; keep one"),
            ),
            (Some(minute), Some(Speed(speed))) => timetable.push((minute, speed)),
            (Some(_), None) => {} // empty, or complained about
        }
    }
    timetable.sort_unstable();
    let zone = r.optional::<String>("store.timezone", "the name of a time zone");
    let zone = zone.map(|name| TimeZone::get(&name)).transpose().unwrap_or_else(|e| {
        r.complain("store.timezone", e);
        None
    });
    PaceConf { limit, timetable, zone: zone.unwrap_or_else(TimeZone::system) }
}
