//! The settings as they were read, flat and unchecked: what a reload compares key by key.
//!
//! Layers, later ones win: the built-in `conf/default.toml`, the site's file, the environment
//! (`TSD_IMPORT__STORE__ENDPOINT` sets `store.endpoint`). Secrets are never in here: settings name files.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use config::{Config, Environment, File, FileFormat, Source, Value, ValueKind};

use super::live::{self, Class};
use super::reader::Complaints;
use super::wire::without_passwords;

/// The defaults, with a comment for every key.
pub const DEFAULTS: &str = include_str!("../../conf/default.toml");
/// As the library calls it.
const ENVIRONMENT: &str = "the environment";
pub(super) const DEFAULTS_NAME: &str = "the built-in defaults";

/// Key → value, such as `store.endpoint` → `https://…`.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(super) values: BTreeMap<String, Value>,
    /// Where complaints point to.
    pub(super) file: String,
}

impl Settings {
    /// Puts the layers on top of each other. Fails only if the file cannot be read or is not TOML.
    pub fn read(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Complaints> {
        let mut layers = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(path) = file {
            if let Err(e) = std::fs::read(path) {
                let what = format!("{}: cannot be read ({e}); name another with --config", path.display());
                return Err(Complaints(vec![what]));
            }
            layers = layers.add_source(File::from(path).format(FileFormat::Toml));
        }
        let ours =
            environment.into_iter().filter(|(k, _)| k.to_ascii_uppercase().starts_with("TSD_IMPORT__"));
        let env = Environment::with_prefix("TSD_IMPORT").separator("__").source(Some(ours.collect()));
        let name = file.map_or(DEFAULTS_NAME.to_owned(), |p| p.display().to_string());
        let built = layers.add_source(env).build().and_then(|c| c.collect());
        // An error of syntax shows its line, whatever stands in it.
        let tree = built.map_err(|e| Complaints(vec![without_passwords(&e.to_string())]))?;
        let mut values = BTreeMap::new();
        for (key, value) in tree {
            flatten(key, value, &mut values);
        }
        Ok(Self { values, file: name })
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    fn text(&self, key: &str) -> Option<String> {
        self.values.get(key).map(text)
    }

    /// Every key with its value, as it may be shown to anybody: without what may be a credential, and without people's addresses.
    pub fn shown(&self) -> BTreeMap<&str, String> {
        let shown = |(key, value): (&String, &Value)| match is_private(key) {
            true if text(value).is_empty() => String::new(),
            true => "***".to_owned(),
            false => without_passwords(&text(value).replace('\u{1f}', ", ")),
        };
        self.values.iter().map(|pair| (pair.0.as_str(), shown(pair))).collect()
    }

    /// None: it is as in the built-in defaults. Otherwise where it comes from: the file's path, or `the environment`.
    pub fn origin(&self, key: &str) -> Option<&str> {
        let origin = self.values.get(key)?.origin()?;
        // A file's is relative to the current directory, which helps nobody.
        Some(if origin == ENVIRONMENT { ENVIRONMENT } else { &self.file })
    }

    /// Values that may be credentials and stand in the settings themselves.
    pub fn secret_values(&self) -> Vec<String> {
        let of_headers = self.values.iter().filter(|(key, _)| key.starts_with("store.headers."));
        let proxy = self.text("store.proxy").filter(|proxy| proxy.contains('@')).into_iter();
        let proxy = proxy.filter_map(|proxy| Some(proxy.rsplit_once('@')?.0.rsplit_once(':')?.1.to_owned()));
        // A header such as the name of a project is short and no secret; a token in one is long.
        of_headers.map(|(_, value)| text(value)).filter(|value| value.len() >= 16).chain(proxy).collect()
    }

    /// Keys that are new, gone or have another value in `new`.
    pub fn differing(&self, new: &Self) -> Vec<String> {
        let keys: BTreeSet<&str> = self.keys().chain(new.keys()).collect();
        keys.into_iter().filter(|k| self.text(k) != new.text(k)).map(str::to_owned).collect()
    }

    /// These settings with the new values of all keys that may change while the daemon runs.
    pub fn with_live_of(&self, new: &Self) -> Self {
        let kept = self.values.iter().filter(|(k, _)| live::class(k) == Class::Restart);
        let taken = new.values.iter().filter(|(k, _)| live::class(k) == Class::Live);
        let values = kept.chain(taken).map(|(k, v)| (k.clone(), v.clone())).collect();
        Self { values, file: new.file.clone() }
    }
}

/// What may be a credential or says who somebody is. A path to a secret is none.
fn is_private(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key);
    key.starts_with("store.headers.")
        || ["store.access_key", "lims.user", "lims.reviewer"].contains(&key)
        || (key.starts_with("tell.channel.") && ["to", "from", "user", "args"].contains(&last))
}

/// A value for comparison. The separator cannot stand in a TOML value of ours, so two lists never look alike by accident.
fn text(value: &Value) -> String {
    match &value.kind {
        ValueKind::Array(items) => items.iter().map(text).collect::<Vec<_>>().join("\u{1f}"),
        _ => value.clone().into_string().unwrap_or_default(),
    }
}

fn flatten(key: String, value: Value, into: &mut BTreeMap<String, Value>) {
    match value.kind {
        ValueKind::Table(table) => {
            for (name, value) in table {
                flatten(format!("{key}.{name}"), value, into);
            }
        }
        _ => drop(into.insert(key, value)),
    }
}
