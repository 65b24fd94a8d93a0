//! `config show`: what holds here and where it comes from; `config keys`: every setting there is.
use clap::Args;
use serde_json::json;

use super::exit::say;
use super::{ConfArgs, Exit};
use crate::conf::DEFAULTS;
use crate::conf::reference::{self, Section};

/// Options of `config show`.
#[derive(Args, Debug, Clone)]
pub struct ShowArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// Also the settings that are the defaults
    #[arg(long)]
    all: bool,
    /// For programs: one JSON object
    #[arg(long)]
    json: bool,
}

/// Options of `config keys`.
#[derive(Args, Debug, Clone)]
pub struct KeysArgs {
    /// Only those that hold this text: in the key or in its meaning
    #[arg(value_name = "TEXT", conflicts_with = "markdown")]
    text: Option<String>,
    /// The page docs/configuration.md
    #[arg(long)]
    markdown: bool,
}

/// What stands where no layer but the defaults has the setting.
const DEFAULT: &str = "default";

/// Prints key, value and origin.
pub fn show(args: &ShowArgs) -> Result<(), Exit> {
    let settings = args.conf.settings()?;
    let from = |key: &str| settings.origin(key).unwrap_or(DEFAULT);
    let mut shown: Vec<(&str, String)> = settings.shown().into_iter().collect();
    shown.retain(|(key, _)| args.all || from(key) != DEFAULT);
    if args.json {
        let values: serde_json::Map<String, serde_json::Value> = shown
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!({"value": value, "from": from(key)})))
            .collect();
        return say(format_args!("{:#}", serde_json::Value::Object(values)));
    }
    let widest = shown.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    for (key, value) in shown {
        say(format_args!("{key:<widest$} = {value:?}  # {}", from(key)))?;
    }
    Ok(())
}

/// Prints the settings there are.
pub fn keys(args: &KeysArgs) -> Result<(), Exit> {
    let sections =
        reference::sections(DEFAULTS).map_err(|e| Exit::no(format!("the built-in defaults: {e}")))?;
    if args.markdown {
        // `say` ends the last line itself.
        return say(format_args!("{}", reference::page(&sections).trim_end()));
    }
    let wanted = args.text.as_deref().unwrap_or_default().to_lowercase();
    let mut found = false;
    for setting in sections.iter().flat_map(|section: &Section| &section.settings) {
        let reference::Setting { key, default, meaning } = setting;
        if key.to_lowercase().contains(&wanted) || meaning.to_lowercase().contains(&wanted) {
            found = true;
            say(format_args!("{key} = {default}  ({})", reference::counts(key)))?;
            if !meaning.is_empty() {
                say(format_args!("    {meaning}"))?;
            }
        }
    }
    match found {
        true => Ok(()),
        false => Err(Exit::no(format!("no setting holds {wanted:?}; without a text all are shown"))),
    }
}

#[cfg(test)]
mod tests {
    use crate::conf::Settings;

    #[test]
    fn each_layer_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("site.toml");
        crate::fs::write_durably(&file, b"store.bucket = \"b\"\nlims.user = \"somebody\"\n").unwrap();
        let env = [("TSD_IMPORT__STORE__REGION".to_owned(), "eu".to_owned())];
        let settings = Settings::read(Some(&file), env).unwrap();
        assert_eq!(settings.origin("store.bucket"), Some(file.to_str().unwrap()));
        assert_eq!(settings.origin("store.region"), Some("the environment"));
        assert_eq!(settings.origin("store.prefix"), None);
        assert_eq!(settings.shown()["lims.user"], "***");
    }
}
