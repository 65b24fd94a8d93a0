//! The documents tell the truth: vectors hold, tables are complete, commands exist.
use tsd_import::control::metrics::families::{FAMILIES, Kind};
use tsd_import::package::{Commit, Manifest, Reason, Sha256Hex};

fn doc(path: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .expect("the document is there")
}

/// The fenced block that begins with this word.
fn block<'a>(text: &'a str, begins: &str) -> &'a str {
    let fence =
        text.split("```").find(|b| b.split_once('\n').is_some_and(|(_, rest)| rest.starts_with(begins)));
    fence.and_then(|b| b.split_once('\n')).map(|(_, rest)| rest).expect("the block is there")
}

#[test]
fn the_vectors_of_the_format_hold() {
    let text = doc("docs/format.md");
    let sums = block(&text, "ba7816bf");
    let manifest = Manifest::parse(sums.as_bytes()).unwrap();
    assert_eq!((manifest.len(), sums.len()), (2, 146));
    assert_eq!(manifest.to_text(), sums);
    assert!(text.contains(&format!("{} bytes", sums.len())));
    let place = "analyses-results/singles/Diag-1/r1".parse().unwrap();
    let commit = Commit::parse(block(&text, "{\n  \"version\"").as_bytes(), &place).unwrap();
    assert_eq!(commit.manifest_sha256, Sha256Hex::of(sums.as_bytes()));
    assert_eq!(commit.to_text(), block(&text, "{\n  \"version\""));
}

#[test]
fn every_reason_is_in_the_operators_table_with_its_remedy() {
    let text = doc("docs/operations.md");
    for reason in Reason::ALL {
        let row = text.lines().find(|l| l.starts_with(&format!("| `{}` |", reason.code())));
        let row = row.unwrap_or_else(|| panic!("{reason} is not in docs/operations.md"));
        assert!(row.contains(reason.remedy()), "{reason}: another remedy in the document");
    }
}

#[test]
fn the_commands_of_the_readme_exist() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_tsd-import")).arg("--help").output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let readme = doc("README.md");
    for command in [
        "run",
        "drain",
        "demo",
        "status",
        "why",
        "list",
        "top",
        "review",
        "clean",
        "verify",
        "doctor",
        "custody",
        "reconcile",
        "supersede",
        "hold",
        "release",
        "retry",
        "priority",
        "reexport",
        "pause",
        "resume",
        "bandwidth",
        "undrain",
        "control",
        "pseudonym",
        "tell",
        "support-bundle",
        "journal",
        "config",
        "manual",
        "completions",
        "version",
    ] {
        assert!(help.lines().any(|l| l.trim_start().starts_with(command)), "{command} in {help}");
    }
    for line in readme.lines().filter(|l| l.contains("tsd-import run ")) {
        assert!(line.contains("--role") && line.contains("--config"), "{line}");
    }
    for file in [
        "docs/format.md",
        "docs/operations.md",
        "docs/configuration.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "conf/default.toml",
        "scripts/check",
    ] {
        assert!(readme.contains(file) && !doc(file).is_empty(), "{file}");
    }
}

#[test]
fn the_page_of_all_settings_is_what_the_program_says() {
    let said = String::from_utf8(ours(&["config", "keys", "--markdown"]).stdout).unwrap();
    assert!(
        said == doc("docs/configuration.md"),
        "docs/configuration.md is not what conf/default.toml says: tsd-import config keys --markdown > docs/configuration.md"
    );
    let one = String::from_utf8(ours(&["config", "keys", "part_size"]).stdout).unwrap();
    assert!(one.starts_with("store.part_size = ") && one.contains("of a multipart upload"), "{one}");
    assert_eq!(ours(&["config", "keys", "no such thing"]).status.code(), Some(1));
}

fn ours(args: &[&str]) -> std::process::Output {
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_tsd-import")).args(args).output();
    done.expect("the program starts")
}

#[test]
fn every_command_has_a_manual_page_that_names_its_options() {
    let dir = tempfile::tempdir().unwrap();
    let written = ours(&["manual", dir.path().to_str().unwrap()]);
    assert!(written.status.success(), "{written:?}");
    let page = |name: &str| std::fs::read_to_string(dir.path().join(format!("{name}.1"))).unwrap();
    let whole = page("tsd-import");
    let help = String::from_utf8(ours(&["--help"]).stdout).unwrap();
    let (_, commands) = help.split_once("Commands:").unwrap();
    let (commands, _) = commands.split_once("Options:").unwrap();
    let names =
        commands.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let names: Vec<&str> = names.filter_map(|line| line.split(' ').next()).filter(|n| *n != "help").collect();
    assert!(names.len() > 12, "{names:?}");
    for name in names {
        assert!(
            whole.contains(&format!("tsd-import-{name}(1)").replace('-', "\\-")),
            "{name} is not in the page of all"
        );
        let options = String::from_utf8(ours(&[name, "--help"]).stdout).unwrap();
        let text = page(&format!("tsd-import-{name}"));
        for word in options.split_whitespace().filter(|w| w.starts_with("--") && w.len() > 4) {
            let option: String =
                word.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            assert!(text.contains(&option.replace('-', "\\-")), "{option} is not in the page of {name}");
        }
    }
    assert!(page("tsd-import-journal-verify").contains("damaged"));
    let nowhere = ours(&["manual", "/nonexistent/dir"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&nowhere.stderr).contains("/nonexistent/dir/tsd-import.1"),
        "{nowhere:?}"
    );
}

#[test]
fn the_completions_are_scripts_that_a_shell_reads() {
    use std::io::Write;
    let script = ours(&["completions", "bash"]);
    assert!(script.status.success());
    let mut bash = std::process::Command::new("bash")
        .arg("-s")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = bash.stdin.take().unwrap();
    stdin.write_all(&script.stdout).unwrap();
    let asked = b"\nCOMP_WORDS=(tsd-import rec); COMP_CWORD=1; _tsd__import tsd-import rec tsd-import; echo \"${COMPREPLY[@]}\"\n";
    stdin.write_all(asked).unwrap();
    drop(stdin);
    let said = bash.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "reconcile", "{said:?}");
    for shell in ["zsh", "fish"] {
        assert!(String::from_utf8(ours(&["completions", shell]).stdout).unwrap().contains("supersede"));
    }
}

/// The example is a work order that would be taken: the program's own reader judges it.
#[test]
fn the_example_of_a_work_order_is_one() {
    let text = doc("docs/work-orders.md");
    let example = block(&text, "{\n  \"version\"");
    let root = std::path::Path::new("/delivery");
    let packages = tsd_import::nsc::directory::judge(example.as_bytes(), root, 7).unwrap();
    assert_eq!(packages, ["samples/Diag-wgs1-HG12345677/r1", "analyses/Diag-wgs1-HG12345677-SINGLE/r1"]);
}

/// Every expression of the dashboard asks for numbers that there are, with labels that they have.
#[test]
fn the_dashboard_asks_for_numbers_that_there_are() {
    let dashboard: serde_json::Value = serde_json::from_str(&doc("docs/grafana.json")).unwrap();
    let mut expressions = Vec::new();
    fn walk(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                for (key, value) in fields {
                    match value.as_str() {
                        Some(text) if ["expr", "query"].contains(&key.as_str()) => {
                            found.push(text.to_owned())
                        }
                        _ => walk(value, found),
                    }
                }
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            _ => {}
        }
    }
    walk(&dashboard, &mut expressions);
    let (mut used, is_word) =
        (std::collections::BTreeSet::new(), |c: char| c.is_ascii_alphanumeric() || c == '_');
    for expression in &expressions {
        for (at, _) in expression.match_indices("tsd_import_") {
            let rest = expression.split_at(at).1;
            let name: String = rest.chars().take_while(|c| is_word(*c)).collect();
            let family = FAMILIES.iter().find(|family| family.name == name);
            let family = family.unwrap_or_else(|| panic!("{name} of {expression} is no number"));
            if let Some(selector) = rest.strip_prefix(&name).and_then(|rest| rest.strip_prefix('{')) {
                let selector = selector.split_once('}').expect("it has an end").0;
                for part in selector.split(',') {
                    let label: String = part.chars().take_while(|c| is_word(*c)).collect();
                    // `instance` comes from Prometheus.
                    let known = ["role", "instance"].contains(&label.as_str())
                        || family.labels.contains(&label.as_str());
                    assert!(known, "{name} has no label {label}: {expression}");
                }
            }
            let counts = family.kind == Kind::Counter;
            let rated = expression.contains("rate(") || expression.contains("increase(");
            assert!(!counts || rated, "a counter alone says nothing: {expression}");
            let _new = used.insert(name);
        }
    }
    assert!(expressions.len() > 20 && used.len() > 20, "{used:?}");
}

#[test]
fn the_document_of_the_control_socket_lists_every_path_and_every_number() {
    let text = doc("docs/control.md");
    for family in FAMILIES {
        let kind = if family.kind == Kind::Counter { "counter" } else { "gauge" };
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let row = format!("| `{}` | {kind} | {} | {} |", family.name, labels.join(", "), family.help);
        assert!(text.lines().any(|line| line == row), "{row}");
    }
    let rows = text.lines().filter(|line| line.starts_with("| `tsd_import_")).count();
    assert_eq!(rows, FAMILIES.len(), "a number that is no more");
    let description = tsd_import::control::document();
    for path in description["paths"].as_object().unwrap().keys() {
        assert!(text.lines().any(|line| line.starts_with(&format!("| `{path}` |"))), "{path}");
    }
}
