//! Who is told of what, and by which way.
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::reader::{Complaints, Reader, length_of_time};
use crate::chain;
use crate::secret::Secret;

/// What messages call packages and samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// `P-7f3a-k2m9`: only who has the state directory knows whom that means.
    #[default]
    Pseudonym,
    /// As they are.
    Plain,
}

impl FromStr for Names {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "pseudonym" => Ok(Self::Pseudonym),
            "plain" => Ok(Self::Plain),
            _ => Err("must be pseudonym or plain".into()),
        }
    }
}

/// From which level on a channel is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Everything.
    Notice,
    /// What a person has to see to.
    Alarm,
    /// Nothing but what the channel asks for otherwise: escalations, a digest.
    None,
}

impl FromStr for From {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "notice" => Ok(Self::Notice),
            "alarm" => Ok(Self::Alarm),
            "none" => Ok(Self::None),
            _ => Err("must be notice, alarm or none".into()),
        }
    }
}

/// How a webhook wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `{"text": …}`, which Mattermost takes too.
    Slack,
    /// An adaptive card in a message.
    Teams,
    /// All fields, as `docs/operations.md` describes them.
    Json,
}

impl FromStr for Format {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "slack" => Ok(Self::Slack),
            "teams" => Ok(Self::Teams),
            "json" => Ok(Self::Json),
            _ => Err("must be slack, teams or json".into()),
        }
    }
}

/// What protects a mail on its way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// TLS from the first byte.
    Whole,
    /// Begun in the conversation; a server that does not offer it gets no mail.
    StartTls,
    /// Nothing.
    None,
}

impl FromStr for Tls {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "tls" => Ok(Self::Whole),
            "starttls" => Ok(Self::StartTls),
            "none" => Ok(Self::None),
            _ => Err("must be starttls, tls or none".into()),
        }
    }
}

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl FromStr for Server {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
        let port = port.parse().map_err(|_| format!("{port:?} is no port"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(format!("{host:?} is no host"));
        }
        Ok(Self { host, port })
    }
}

impl Server {
    fn is_here(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// A mail address: one `@`, no blanks, nothing that could begin another header or option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(pub String);

impl FromStr for Address {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<lettre::Address>().map_err(|e| e.to_string())?;
        if text.starts_with('-') {
            return Err("it would be taken for an option".into());
        }
        Ok(Self(text.to_owned()))
    }
}

/// How mails leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Through {
    /// A server.
    Smtp {
        /// Which.
        server: Server,
        /// What protects the conversation.
        tls: Tls,
        /// PEM of who may vouch for the server; none: the system's.
        ca_file: Option<PathBuf>,
        /// Who we are there.
        login: Option<(String, PathBuf)>,
    },
    /// A program of this host that takes `-i -f FROM -- TO…` and the mail on stdin.
    Sendmail(PathBuf),
}

/// By which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// By mail.
    Mail {
        /// How it leaves.
        through: Through,
        /// Sender.
        from: Address,
        /// Recipients.
        to: Vec<Address>,
    },
    /// By a POST.
    Webhook {
        /// Its one line is the address, which is a secret.
        url_file: PathBuf,
        /// `Authorization: Bearer`, if there is a token.
        token_file: Option<PathBuf>,
        /// PEM of who may vouch for it.
        ca_file: Option<PathBuf>,
        /// How it wants it.
        format: Format,
    },
    /// By a program, which gets JSON on stdin.
    Command {
        /// Which.
        program: PathBuf,
        /// What it is called with.
        args: Vec<String>,
    },
}

impl Via {
    /// The word of the configuration.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Mail { .. } => "mail",
            Self::Webhook { .. } => "webhook",
            Self::Command { .. } => "command",
        }
    }
}

/// Minutes of the day, UTC: from, until; over midnight if the second is not behind the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first minute.
    pub from: u16,
    /// The first one that is not in it.
    pub until: u16,
}

impl Span {
    /// Whether this minute of the day is in it.
    pub fn holds(self, minute: u16) -> bool {
        if self.from < self.until {
            (self.from..self.until).contains(&minute)
        } else {
            minute >= self.from || minute < self.until
        }
    }
}

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (from, until) = text.split_once('-').ok_or("must be FROM-UNTIL")?;
        let span = Self { from: from.parse::<OfDay>()?.0, until: until.parse::<OfDay>()?.0 };
        if span.from == span.until { Err("it is empty".into()) } else { Ok(span) }
    }
}

/// A minute of the day, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfDay(pub u16);

impl FromStr for OfDay {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.trim().split_once(':').and_then(|(h, m)| Some((h.parse().ok()?, m.parse().ok()?)));
        match parts {
            Some((h @ 0..24, m @ 0..60)) => Ok(Self(h * 60 + m)),
            _ => Err(format!("{text:?} is not a time of day such as 07:00")),
        }
    }
}

impl fmt::Display for OfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// One channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelConf {
    /// What it is called.
    pub name: String,
    /// By which way.
    pub via: Via,
    /// From which level on.
    pub from_level: From,
    /// Whether it is told of what stays open.
    pub escalate: bool,
    /// When it gets a summary of the day.
    pub digest: Option<OfDay>,
    /// When it gets nothing but escalations.
    pub quiet: Option<Span>,
    /// Messages in an hour.
    pub per_hour: usize,
    /// For one attempt.
    pub deadline: Duration,
}

/// Who is told of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TellConf {
    /// What packages are called.
    pub names: Names,
    /// An actor that cannot work for this long is an alarm.
    pub degraded: Duration,
    /// What is open for so long is told again.
    pub escalate: Vec<Duration>,
    /// News of this time go together.
    pub gather: Duration,
    /// What is gone for so long is over.
    pub calm: Duration,
    /// What could not be sent for so long is counted and dropped.
    pub give_up: Duration,
    /// By name.
    pub channels: Vec<ChannelConf>,
}

pub(super) fn tell(r: &mut Reader) -> TellConf {
    let names = r.get("tell.names", "pseudonym or plain").unwrap_or_default();
    let may_leave = r.flag("tell.names_may_leave");
    let escalate = r.list::<Long>("tell.escalate", "a length of time such as \"30 min\"");
    let escalate: Vec<Duration> = escalate.into_iter().map(|Long(length)| length).collect();
    if !escalate.is_sorted_by(|a, b| a < b) {
        r.complain("tell.escalate", "each must be longer than the one before it");
    }
    if escalate.len() > 10 {
        r.complain("tell.escalate", "more than ten steps help nobody");
    }
    let channels: Vec<ChannelConf> =
        r.names("tell.channel").into_iter().filter_map(|name| channel(r, name)).collect();
    let leaves = |c: &&ChannelConf| !matches!(c.via, Via::Command { .. });
    if names == Names::Plain
        && !may_leave
        && let Some(leaving) = channels.iter().find(leaves)
    {
        let why = format!(
            "\"plain\" would send names of samples by {} (tell.channel.{}): use \"pseudonym\", or say tell.names_may_leave = true \
             if the site allows it",
            leaving.via.word(),
            leaving.name
        );
        r.complain("tell.names", why);
    }
    TellConf {
        names,
        degraded: r.duration("tell.degraded"),
        escalate,
        gather: r.duration("tell.gather"),
        calm: r.duration("tell.calm"),
        give_up: r.duration("tell.give_up"),
        channels,
    }
}

struct Long(Duration);

impl FromStr for Long {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        length_of_time(text).map(Self)
    }
}

fn channel(r: &mut Reader, name: String) -> Option<ChannelConf> {
    let base = format!("tell.channel.{name}");
    let key = |field: &str| format!("{base}.{field}");
    if name.len() > 40 || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
        r.complain(&base, "a channel's name may hold letters, digits, - and _, at most 40");
    }
    let list = |r: &mut Reader, field: &str| r.names(&base).iter().any(|n| n == field).then(|| key(field));
    let kind: Option<String> = r.get(&key("kind"), "mail, webhook or command");
    let via = match kind.as_deref() {
        Some("mail") => {
            let to = list(r, "to").map(|to| r.list::<Address>(&to, "a mail address")).unwrap_or_default();
            if to.is_empty() {
                r.complain(&key("to"), "must name at least one mail address: to = [\"duty@example.org\"]");
            }
            let from = r.get(&key("from"), "a mail address");
            through(r, &key).zip(from).map(|(through, from)| Via::Mail { through, from, to })
        }
        Some("webhook") => Some(Via::Webhook {
            url_file: r.path(&key("url_file")),
            token_file: r.optional_path(&key("token_file")),
            ca_file: r.optional_path(&key("ca_file")),
            format: r.optional(&key("format"), "slack, teams or json").unwrap_or(Format::Json),
        }),
        Some("command") => {
            let args = list(r, "args").map(|args| r.list::<String>(&args, "text")).unwrap_or_default();
            Some(Via::Command { program: r.path(&key("program")), args })
        }
        other => {
            if let Some(odd) = other {
                r.complain(&key("kind"), format!("{odd:?} is neither mail, webhook nor command"));
            }
            None
        }
    };
    let per_hour = r.optional(&key("per_hour"), "a number").unwrap_or(20usize);
    if !(1..=1000).contains(&per_hour) {
        r.complain(&key("per_hour"), "must be between 1 and 1000");
    }
    let deadline = r.optional_duration(&key("deadline")).unwrap_or(Duration::from_secs(30));
    if deadline > Duration::from_secs(600) {
        r.complain(&key("deadline"), "must not be longer than 10 min");
    }
    let conf = ChannelConf {
        from_level: r.optional(&key("from_level"), "notice, alarm or none").unwrap_or(From::Alarm),
        escalate: r.optional(&key("escalate"), "true or false").unwrap_or(false),
        digest: r.optional(&key("digest"), "a time of day (UTC) such as \"07:00\""),
        quiet: r.optional(&key("quiet"), "times of day (UTC) such as \"22:00-06:00\""),
        per_hour,
        deadline,
        via: via?,
        name,
    };
    if conf.from_level == From::None && !conf.escalate && conf.digest.is_none() {
        r.complain(&base, "would never be told anything: set from_level, escalate or digest");
    }
    Some(conf)
}

fn through(r: &mut Reader, key: &impl Fn(&str) -> String) -> Option<Through> {
    if let Some(program) = r.optional_path(&key("sendmail")) {
        return Some(Through::Sendmail(program));
    }
    let server: Option<Server> = r.get(&key("server"), "HOST:PORT, such as \"smtp.example.org:587\"");
    let tls = r.optional(&key("security"), "starttls, tls or none").unwrap_or(Tls::StartTls);
    let (user, password) =
        (r.optional::<String>(&key("user"), "text"), r.optional_path(&key("password_file")));
    if user.is_some() != password.is_some() {
        r.complain(&key("user"), "user and password_file go together");
    }
    let login = user.zip(password);
    if login.is_some() && tls == Tls::None && server.as_ref().is_some_and(|server| !server.is_here()) {
        r.complain(
            &key("security"),
            "\"none\" would send the password in the clear: use \"starttls\" or \"tls\"",
        );
    }
    Some(Through::Smtp { server: server?, tls, ca_file: r.optional_path(&key("ca_file")), login })
}

impl TellConf {
    /// Complains about files that channels need: packages are delivered without them too, so they are no reason not to start.
    pub fn check_files(&self) -> Result<(), Complaints> {
        let mut missing = Vec::new();
        for channel in &self.channels {
            let mut bad =
                |key: &str, why: String| missing.push(format!("tell.channel.{}.{key}: {why}", channel.name));
            let mut secret = |key: &str, path: &Path| {
                if let Err(e) = Secret::from_file(path) {
                    bad(key, chain(&e));
                }
            };
            let (mut ca, mut program) = (None, None);
            match &channel.via {
                Via::Mail { through: Through::Smtp { ca_file, login, .. }, .. } => {
                    login.iter().for_each(|(_, file)| secret("password_file", file));
                    ca = ca_file.as_deref();
                }
                Via::Mail { through: Through::Sendmail(path), .. } => program = Some(("sendmail", path)),
                Via::Webhook { url_file, token_file, ca_file, .. } => {
                    secret("url_file", url_file);
                    token_file.iter().for_each(|file| secret("token_file", file));
                    ca = ca_file.as_deref();
                }
                Via::Command { program: path, .. } => program = Some(("program", path)),
            }
            if let Some(Err(e)) = ca.map(std::fs::File::open) {
                bad("ca_file", format!("cannot be read: {e}"));
            }
            if let Some((key, path)) = program
                && let Err(e) = rustix::fs::access(path, rustix::fs::Access::EXEC_OK)
            {
                bad(key, format!("{} cannot be run: {e}", path.display()));
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(Complaints(missing)) }
    }
}

#[cfg(test)]
#[path = "tell_tests.rs"]
mod tests;
