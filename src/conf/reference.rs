//! Every setting with its default, its meaning and when a new value counts: taken from `conf/default.toml` itself, comments included, so
//! that what is read about a setting is what stands beside it.
use std::ops::Range;

use toml_edit::{Document, Item, Table, TomlError};

use super::live::{self, Class};

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Such as `store.endpoint`.
    pub key: String,
    /// As it stands in the file: TOML.
    pub default: String,
    /// In words; empty where the key says it.
    pub meaning: String,
}

/// A table of settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Such as `store.timetable`; empty for what stands above all tables.
    pub name: String,
    /// What the line above the tables says: whose they are.
    pub side: String,
    /// What stands behind the table's name, and in paragraphs about it.
    pub about: Vec<String>,
    /// In the file's order.
    pub settings: Vec<Setting>,
}

/// What is found while the file is walked through, with its place in it.
enum Found<'a> {
    Table(String),
    Setting(String, &'a str),
}

/// All of them, in the file's order.
pub fn sections(text: &str) -> Result<Vec<Section>, TomlError> {
    let document = Document::parse(text)?;
    let mut found = Vec::new();
    walk(text, "", document.as_table(), &mut found);
    found.sort_by_key(|(range, _)| range.start);
    let mut sections = vec![Section::default()];
    let (mut side, mut paragraphs) = (String::new(), Vec::new());
    let ends: Vec<usize> = found.iter().skip(1).map(|(range, _)| range.start).chain([text.len()]).collect();
    for ((range, what), end) in found.into_iter().zip(ends) {
        let comments = Comments::read(text.get(range.end..end).unwrap_or_default());
        match what {
            Found::Table(name) => {
                let about = comments.behind.into_iter().collect();
                sections.push(Section { name, side: side.clone(), about, settings: Vec::new() });
            }
            Found::Setting(key, default) => {
                let (default, meaning) = (default.to_owned(), comments.behind.unwrap_or_default());
                let setting = Setting { key, default, meaning };
                sections.last_mut().into_iter().for_each(|s| s.settings.push(setting.clone()));
            }
        }
        side = comments.side.unwrap_or(side);
        paragraphs.extend(comments.paragraphs);
    }
    for paragraph in paragraphs {
        // `[landing."KIND"]: ...` is about the tables below `landing`.
        let name = paragraph.trim_start_matches('[').split(['.', ']']).next().unwrap_or_default();
        sections.iter_mut().filter(|s| s.name == name).for_each(|s| s.about.push(paragraph.clone()));
    }
    Ok(sections)
}

fn walk<'a>(text: &'a str, above: &str, table: &Table, found: &mut Vec<(Range<usize>, Found<'a>)>) {
    for (name, item) in table.iter() {
        let key = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
        match item {
            Item::Table(inner) => {
                found.extend(inner.span().map(|span| (span, Found::Table(key.clone()))));
                walk(text, &key, inner, found);
            }
            _ => {
                let value = item.span().and_then(|span| Some((span.clone(), text.get(span)?)));
                found.extend(value.map(|(span, value)| (span, Found::Setting(key, value))));
            }
        }
    }
}

/// What stands between two entries of the file.
#[derive(Default)]
struct Comments {
    /// On the entry's line and the indented ones below it.
    behind: Option<String>,
    /// Of lines that begin with `#`, each paragraph in one line.
    paragraphs: Vec<String>,
    /// Of a line `# --- role nsc ---`.
    side: Option<String>,
}

impl Comments {
    fn read(between: &str) -> Self {
        let mut all = Self::default();
        let mut open = false;
        for (n, line) in between.lines().enumerate() {
            let Some((before, comment)) = line.split_once('#') else {
                open = false;
                continue;
            };
            let comment = comment.trim();
            if n == 0 || (!before.is_empty() && all.behind.is_some()) {
                let behind = all.behind.get_or_insert_default();
                join(behind, comment);
            } else if comment.starts_with("---") {
                all.side = Some(comment.trim_matches('-').trim().to_owned());
            } else if open && !comment.contains(": to =") && !starts_anew(comment) {
                all.paragraphs.last_mut().into_iter().for_each(|p| join(p, comment));
            } else {
                all.paragraphs.push(comment.to_owned());
                open = true;
            }
        }
        all
    }
}

/// `kind = "mail": ...` and `All: ...` are alternatives of one paragraph; only a table's name begins another.
fn starts_anew(comment: &str) -> bool {
    comment.starts_with('[')
}

fn join(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

/// When a new value counts, in a word.
pub fn counts(key: &str) -> &'static str {
    match live::class(key) {
        Class::Live => "reload",
        Class::Restart => "restart",
    }
}

/// All of them as the page `docs/configuration.md`.
pub fn page(sections: &[Section]) -> String {
    let mut page = String::from(HEAD);
    let mut side = "";
    for section in sections.iter().filter(|s| !s.settings.is_empty() || !s.about.is_empty()) {
        if section.side != side {
            side = &section.side;
            page.push_str(&format!("\n# Of {side}\n"));
        }
        match section.name.as_str() {
            "" => page.push_str("\n## Above all tables\n"),
            name => page.push_str(&format!("\n## `[{name}]`\n")),
        }
        section.about.iter().for_each(|text| page.push_str(&format!("\n{}\n", cell(text))));
        if !section.settings.is_empty() {
            page.push_str("\n| setting | default | counts | meaning |\n|---|---|---|---|\n");
        }
        for Setting { key, default, meaning } in &section.settings {
            let (counts, meaning) = (counts(key), cell(meaning));
            page.push_str(&format!("| `{key}` | `{}` | {counts} | {meaning} |\n", cell(default)));
        }
    }
    page
}

const HEAD: &str = "# Configuration

Written by `tsd-import config keys --markdown` from `conf/default.toml`; a test compares the two. What holds on a host, and why:
`tsd-import config show`. Whether it is good: `tsd-import config check`.

A site's file overrides the defaults, the environment overrides both: `TSD_IMPORT__STORE__ENDPOINT` sets `store.endpoint`. Unknown keys
are refused. Empty text means \"not set\". Times: `90 s`, `10 min`, `1 h`. Sizes: `64 MiB`. Paths are absolute. A setting that counts by
`reload` is taken at SIGHUP, the others at the next start.
";

/// A line of a table of Markdown.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::{DEFAULTS, Settings};

    #[test]
    fn every_setting_is_there_once_with_the_default_that_is_read() {
        let sections = sections(DEFAULTS).unwrap();
        let rows: Vec<&Setting> = sections.iter().flat_map(|s| &s.settings).collect();
        let settings = Settings::read(None, []).unwrap();
        let mut keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
        keys.sort_unstable();
        let mut known: Vec<String> = settings.keys().map(str::to_owned).collect();
        known.sort_unstable();
        // The settings that are read are in small letters.
        let keys: Vec<String> = keys.iter().map(|key| key.to_lowercase()).collect();
        let known: Vec<String> = known.iter().map(|key| key.to_lowercase()).collect();
        assert_eq!(keys, known);
        let row = |key: &str| rows.iter().find(|row| row.key == key).unwrap();
        assert_eq!(row("store.part_size").default, "\"16 MiB\"");
        assert_eq!(row("store.max_parts").default, "10000");
        assert_eq!(counts("store.part_size"), "restart");
    }

    #[test]
    fn a_meaning_goes_on_over_lines_and_ends_where_another_begins() {
        let sections = sections(DEFAULTS).unwrap();
        let setting = |key: &str| sections.iter().flat_map(|s| &s.settings).find(|s| s.key == key).unwrap();
        let lease = &setting("state.lease").meaning;
        assert!(lease.starts_with("a process that was") && lease.ends_with("for two such times"), "{lease}");
        assert_eq!(
            setting("store.timezone").meaning,
            "of the timetable, such as \"Europe/Oslo\"; empty: the system's"
        );
        let section = |name: &str| sections.iter().find(|s| s.name == name).unwrap();
        assert_eq!(section("share").side, "role tsd");
        assert_eq!(section("orders").side, "role nsc");
        assert_eq!(section("store").side, "");
        let about = &section("tell").about;
        assert!(about.iter().any(|text| text.contains("quiet = \"22:00-06:00\"")), "{about:?}");
        let about = &section("landing").about;
        assert!(about.iter().any(|text| text.contains("lie READY at the place of samples")), "{about:?}");
        assert!(section("store.headers").about[0].starts_with("sent with every request"));
    }

    #[test]
    fn a_page_shows_what_would_break_its_tables_as_text() {
        let text = "[a]\nkey = \"x|y\" # 1 < 2 | 3\n";
        let page = page(&sections(text).unwrap());
        assert!(page.contains("| `a.key` | `\"x\\|y\"` | restart | 1 &lt; 2 \\| 3 |"), "{page}");
        assert!(sections("a = ").is_err());
    }
}
