//! Settings of the wire: what proves the bytes of a request, and how fast it may go at which time of day.
use std::fmt;
use std::str::FromStr;

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

/// "off" or bytes a second.
fn speed(text: &str) -> Result<Option<u64>, String> {
    match text {
        "off" => Ok(None),
        text => text.parse::<bytesize::ByteSize>().map(|b| Some(b.as_u64()).filter(|b| *b > 0)),
    }
}

pub(super) fn pace(r: &mut Reader) -> PaceConf {
    let limit = r.optional::<bytesize::ByteSize>("store.limit", "bytes a second such as \"400 MiB\"");
    let mut timetable = Vec::new();
    for (time, text) in r.map("store.timetable") {
        let minute =
            time.split_once(':').and_then(|(h, m)| Some((h.parse::<u16>().ok()?, m.parse::<u16>().ok()?)));
        match (minute.filter(|(h, m)| *h < 24 && *m < 60), speed(&text)) {
            (Some((h, m)), Ok(speed)) => timetable.push((h * 60 + m, speed)),
            (None, _) => {
                r.complain("store.timetable", format!("{time:?} is not a time of day such as \"07:30\""))
            }
            (_, Err(e)) => r.complain(
                &format!("store.timetable.{time}"),
                format!("expected bytes a second or \"off\": {e}"),
            ),
        }
    }
    timetable.sort_unstable();
    let zone = r.optional::<String>("store.timezone", "the name of a time zone");
    let zone = zone.map(|name| TimeZone::get(&name)).transpose().unwrap_or_else(|e| {
        r.complain("store.timezone", e);
        None
    });
    PaceConf {
        limit: limit.map(|b| b.as_u64()).filter(|b| *b > 0),
        timetable,
        zone: zone.unwrap_or_else(TimeZone::system),
    }
}
