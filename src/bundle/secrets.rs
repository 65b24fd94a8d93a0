//! What is secret here: the contents of every file that the configuration names as one, and what looks like a credential anywhere.
use std::path::Path;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};

use crate::conf::{Conf, Settings, Side, Through, Via};
use crate::secret::Secret;

/// Shorter ones would be found in half of all words.
const SHORTEST: usize = 4;
/// What stands where a secret stood.
pub(super) const GONE: &str = "***";

/// The secrets that are known.
pub struct Secrets {
    known: Option<AhoCorasick>,
    /// Those that could not be read or searched for, in words.
    pub unknown: Vec<String>,
}

impl Secrets {
    /// Of a configuration.
    pub fn of(conf: &Conf, settings: &Settings) -> Result<Self, String> {
        let (mut values, mut unknown) = (Vec::new(), Vec::new());
        let mut take = |key: String, path: &Path, pem: bool| {
            let read = if pem { Secret::pem_from_file(path) } else { Secret::from_file(path) };
            // A token may be readable for others: it is asked for as it is.
            let text = read.map(|secret| secret.expose().to_owned());
            match text.or_else(|_| std::fs::read_to_string(path)) {
                Ok(text) => values.extend(text.lines().map(|line| line.trim().to_owned())),
                Err(e) => {
                    unknown.push(format!("{key}: could not be read, so it could not be searched for: {e}"))
                }
            }
        };
        take("store.secret_key_file".into(), &conf.store.secret_key_file, false);
        for (name, path) in &conf.store.header_files {
            take(format!("store.header_files.{name}"), path, false);
        }
        match &conf.side {
            Side::Nsc(nsc) => {
                if nsc.orders.source == crate::conf::OrderSource::Clarity {
                    take("lims.password_file".into(), &nsc.lims.password_file, false);
                }
                nsc.signing_key.iter().for_each(|path| take("signing.key_file".into(), path, true));
            }
            Side::Tsd(tsd) => {
                let key = tsd.receipts.as_ref().and_then(|receipts| receipts.key_file.as_deref());
                key.into_iter().for_each(|path| take("receipts.key_file".into(), path, true));
            }
        }
        conf.control.token_file.iter().for_each(|path| take("control.token_file".into(), path, false));
        for channel in &conf.tell.channels {
            let key = |field: &str| format!("tell.channel.{}.{field}", channel.name);
            match &channel.via {
                Via::Mail { through: Through::Smtp { login: Some((_, path)), .. }, .. } => {
                    take(key("password_file"), path, false);
                }
                Via::Webhook { url_file, token_file, .. } => {
                    take(key("url_file"), url_file, false);
                    token_file.iter().for_each(|path| take(key("token_file"), path, false));
                }
                Via::Mail { .. } | Via::Command { .. } => {}
            }
        }
        values.extend(settings.secret_values());
        // Of a private key the frame is in every other one too.
        values.retain(|value| value.len() >= SHORTEST && !value.starts_with("-----"));
        values.sort_unstable();
        values.dedup();
        Self::new(&values, unknown)
    }

    pub(super) fn new(values: &[String], unknown: Vec<String>) -> Result<Self, String> {
        let built = AhoCorasickBuilder::new().match_kind(MatchKind::LeftmostLongest).build(values);
        let built = built.map_err(|e| format!("could not prepare to search for secrets: {e}"))?;
        Ok(Self { known: Some(built).filter(|built| built.patterns_len() > 0), unknown })
    }

    /// The text without them.
    pub fn clean(&self, text: &str) -> String {
        let Some(known) = &self.known else { return without_credentials(text) };
        let mut without = String::with_capacity(text.len());
        known.replace_all_with(text, &mut without, |_, _, without| {
            without.push_str(GONE);
            true
        });
        without_credentials(&without)
    }

    /// Whether one stands in it.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.known.as_ref().is_some_and(|known| known.is_match(text)) || without_credentials(text) != text
    }
}

/// Where credentials begin, whoever's they are, and which characters they are made of.
const MARKS: [&str; 7] = [
    "Bearer ",
    "Basic ",
    "X-Amz-Signature=",
    "X-Amz-Credential=",
    "X-Amz-Security-Token=",
    "Signature=",
    "eyJ",
];

/// Without tokens, signatures and the passwords in addresses.
fn without_credentials(text: &str) -> String {
    let mut text = text.to_owned();
    for mark in MARKS {
        let mut from = 0;
        while let Some(at) = text.get(from..).and_then(|rest| rest.find(mark)).map(|at| from + at) {
            // Of a JSON web token its beginning is part of it.
            let begin = if mark == "eyJ" { at } else { at + mark.len() };
            let rest = text.get(begin..).unwrap_or_default();
            let part = |c: char| c.is_ascii_alphanumeric() || "-_.+/=%~".contains(c);
            let end = begin + rest.find(|c| !part(c)).unwrap_or(rest.len());
            if end - begin >= 16 {
                text.replace_range(begin..end, GONE);
                from = begin + GONE.len();
            } else {
                from = at + mark.len();
            }
        }
    }
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("://")).map(|at| from + at + 3) {
        let rest = text.get(at..).unwrap_or_default();
        let host = rest.split(['/', '?', '#', ' ', '"', '\'', '<', '>']).next().unwrap_or_default();
        from = at;
        if let Some((user, _)) = host.rsplit_once('@')
            && user != GONE
        {
            text.replace_range(at..at + user.len(), GONE);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_so_does_what_looks_like_one() {
        let secrets = Secrets::new(&["hush hush".to_owned(), "hush".to_owned()], vec![]).unwrap();
        let cases = [
            ("it is hush hush, you", "it is ***, you"),
            ("Authorization: Bearer abcdefghijklmnop.x", "Authorization: Bearer ***"),
            ("http://u:p@h/x and ftp://me@h", "http://***@h/x and ftp://***@h"),
            ("token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc;", "token=***;"),
            ("?X-Amz-Signature=0123456789abcdef0&x=1", "?X-Amz-Signature=***&x=1"),
            ("Basic facts, eyJ, http://h:80/a@b", "Basic facts, eyJ, http://h:80/a@b"),
        ];
        for (text, wanted) in cases {
            let cleaned = secrets.clean(text);
            assert_eq!(cleaned, wanted);
            assert!(!secrets.is_in(&cleaned), "{cleaned}");
            assert_eq!(secrets.is_in(text), text != wanted);
        }
    }
}
