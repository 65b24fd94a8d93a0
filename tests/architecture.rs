//! The tree tells the story, and dependencies point one way: what lies lower knows nothing of what lies higher.
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions

use std::path::{Path, PathBuf};

fn sources(below: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = walkdir::WalkDir::new(root.join(below)).into_iter().map(|e| e.unwrap().into_path());
    let files = files.filter(|p| p.extension().is_some_and(|e| e == "rs"));
    files.map(|p| (p.strip_prefix(&root).unwrap().to_owned(), std::fs::read_to_string(&p).unwrap())).collect()
}

/// Tests of a module, in files of their own: they may use the simulated world, and files of their own.
fn is_of_tests(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.to_string_lossy().ends_with("_tests.rs")
}

/// What stands in code; comments may speak of anything.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|l| l.split("//").next().unwrap_or_default())
}

/// For those who only look on.
const NOBODY_WHO_WORKS: &[&str] = &[
    "actix",
    "crate::nsc",
    "crate::tsd",
    "crate::store",
    "crate::clarity",
    "crate::role",
    "crate::daemon",
    "crate::control",
    "crate::cli",
    "crate::demo",
];

#[test]
fn dependencies_point_one_way() {
    let rules: [(&str, &[&str]); 17] = [
        (
            "package",
            &[
                "actix",
                "crate::journal",
                "crate::store",
                "crate::clarity",
                "crate::supervisor",
                "crate::nsc",
                "crate::tsd",
                "crate::conf",
            ],
        ),
        (
            "supervisor",
            &[
                "crate::package",
                "crate::journal",
                "crate::nsc",
                "crate::tsd",
                "crate::store",
                "crate::clarity",
                "crate::conf",
            ],
        ),
        (
            "journal",
            &[
                "actix",
                "crate::nsc",
                "crate::tsd",
                "crate::store",
                "crate::clarity",
                "crate::supervisor",
                "crate::conf",
            ],
        ),
        (
            "lease",
            &[
                "actix",
                "crate::fs",
                "crate::package",
                "crate::journal",
                "crate::store",
                "crate::clarity",
                "crate::supervisor",
                "crate::nsc",
                "crate::tsd",
                "crate::conf",
            ],
        ),
        ("disk", &["actix", "crate::nsc", "crate::tsd", "crate::journal", "crate::store", "crate::package"]),
        ("store", &["actix", "crate::nsc", "crate::tsd", "crate::journal", "crate::clarity"]),
        (
            "clarity",
            &[
                "actix",
                "crate::nsc",
                "crate::tsd",
                "crate::journal",
                "crate::store",
                "crate::supervisor",
                "crate::conf",
                "crate::package",
            ],
        ),
        (
            "doctor",
            &[
                "actix",
                "crate::nsc",
                "crate::tsd",
                "crate::journal",
                "crate::role",
                "crate::cli",
                "crate::demo",
            ],
        ),
        (
            "custody",
            &[
                "actix",
                "crate::nsc",
                "crate::tsd",
                "crate::store",
                "crate::conf",
                "crate::role",
                "crate::cli",
            ],
        ),
        ("reconcile", &["actix", "crate::store", "crate::role", "crate::cli", "crate::demo"]),
        ("nsc", &["crate::tsd", "crate::role", "crate::cli", "crate::demo"]),
        ("tsd", &["crate::nsc", "crate::role", "crate::cli", "crate::demo", "crate::clarity"]),
        ("demo/lims", &["crate::clarity", "crate::nsc"]),
        (
            "present",
            &["actix", "crate::store", "crate::role", "crate::cli", "crate::control", "crate::daemon"],
        ),
        ("acts", &["actix", "crate::nsc", "crate::tsd", "crate::cli", "crate::control", "crate::daemon"]),
        ("tell", NOBODY_WHO_WORKS),
        ("bundle", NOBODY_WHO_WORKS),
    ];
    for (room, banned) in rules {
        let files = sources(room);
        assert!(!files.is_empty(), "{room} is empty: has it moved?");
        for (path, text) in files {
            for (n, line) in code(&text).enumerate() {
                for word in banned {
                    if *word == "crate::demo" && is_of_tests(&path) {
                        continue;
                    }
                    assert!(!line.contains(word), "src/{}:{} may not know {word}", path.display(), n + 1);
                }
            }
        }
    }
}

/// What the actors change on a disk they change through `fs`, which asks the lease first.
#[test]
fn nobody_changes_a_file_without_a_permit() {
    let banned = [
        "std::fs::hard_link",
        "std::fs::remove_file",
        "std::fs::set_permissions",
        "std::fs::create_dir",
        "std::fs::copy",
        "File::create",
        "OpenOptions",
        "File::options",
        ".set_len(",
    ];
    for room in ["nsc", "tsd", "store", "clarity"] {
        for (path, text) in sources(room) {
            let program = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (n, line) in code(program).enumerate() {
                for word in banned {
                    assert!(
                        !line.contains(word),
                        "src/{}:{}: {word} asks no lease; use crate::fs",
                        path.display(),
                        n + 1
                    );
                }
            }
        }
    }
}

#[test]
fn only_role_rs_knows_who_feeds_whom() {
    for (path, text) in sources("nsc").into_iter().chain(sources("tsd")) {
        assert!(
            !code(&text).any(|l| l.contains("Recipient<")),
            "{} holds an address of a neighbour",
            path.display()
        );
    }
}

/// The signature of the function that stands around each line: from its `fn` to its `{`.
fn with_signatures(text: &str) -> Vec<(usize, String, String)> {
    let (mut signature, mut open, mut lines) = (String::new(), false, Vec::new());
    for (n, line) in code(text).enumerate() {
        if line.trim_start().starts_with("mod tests") {
            break; // tests stand last in a file
        }
        let begins = |l: &str| l.starts_with("fn ") || l.contains(" fn ");
        if begins(line.trim_start()) {
            (signature, open) = (String::new(), true);
        }
        if open {
            signature.push_str(line);
            open = !line.trim_end().ends_with('{') && !line.trim_end().ends_with(';');
        }
        lines.push((n + 1, signature.clone(), line.to_owned()));
    }
    lines
}

/// A call on a hung mount never comes back: on an actor's or a tokio thread it would end the process. So what calls the file
/// system takes `&OnDisk`, which only a job on a disk's own thread is given, and is not async.
#[test]
fn only_a_disks_own_threads_touch_files() {
    const CALLS: [&str; 18] = [
        "Fingerprint::of(",
        "Free::at(",
        "File::",
        "OpenOptions::",
        "WalkDir",
        "rustix::fs::",
        "tokio::fs",
        ".metadata(",
        ".symlink_metadata(",
        ".is_dir()",
        ".is_file()",
        ".exists()",
        ".canonicalize(",
        ".read_dir(",
        ".try_exists(",
        ".sync_all()",
        "Secret::from_file",
        "Signer::from_file",
    ];
    // Read once, before any actor lives.
    let at_start = [
        ("nsc/exporter.rs", "Secret::from_file"),
        ("store/connect.rs", "Secret::from_file"),
        ("store/carrier.rs", "std::fs::read"),
    ];
    let lower = |line: &str| {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("fs::") {
            let whole_word = !before.ends_with(|c: char| c.is_ascii_alphanumeric());
            if whole_word && after.starts_with(|c: char| c.is_ascii_lowercase()) {
                return true;
            }
            rest = after;
        }
        false
    };
    let mut seen = 0;
    for room in ["nsc", "tsd", "store"] {
        for (path, text) in sources(room).into_iter().filter(|(p, _)| !is_of_tests(p)) {
            for (n, signature, line) in with_signatures(&text) {
                let calls = CALLS.iter().any(|c| line.contains(c)) || lower(&line);
                let here = path.to_string_lossy();
                let excused = line.starts_with("use ")
                    || at_start.iter().any(|(file, call)| here == *file && line.contains(call));
                if !calls || excused {
                    continue;
                }
                seen += 1;
                assert!(
                    signature.contains(": &OnDisk") && !signature.contains("async fn"),
                    "src/{here}:{n} touches the disk outside a disk's thread: {}",
                    line.trim()
                );
            }
        }
    }
    assert!(seen > 50, "only {seen} calls were found: does this test still see anything?");
}

/// The way around the rule above is for whoever runs alone.
#[test]
fn only_the_start_and_commands_are_alone_with_the_disk() {
    for (path, text) in sources("") {
        let here = path.to_string_lossy().into_owned();
        let test = here.ends_with("_tests.rs");
        let may = test || ["role.rs", "disk/lane.rs"].contains(&here.as_str()) || here.starts_with("cli/");
        let found = with_signatures(&text).into_iter().find(|(_, _, line)| line.contains("OnDisk::alone"));
        if let Some((n, ..)) = found.filter(|_| !may) {
            panic!("src/{here}:{n} takes the disk on its own thread");
        }
    }
}

/// Who only answers questions reaches no actor, and nobody is reached through it.
#[test]
fn the_control_socket_knows_nobody_who_works() {
    let files = sources("control");
    assert!(files.len() > 10, "it is empty: has it moved?");
    for (path, text) in files {
        for (n, line) in code(&text).enumerate() {
            for word in [
                "actix",
                "crate::nsc",
                "crate::clarity",
                "crate::role",
                "crate::daemon",
                "crate::cli",
                "crate::demo",
            ] {
                assert!(!line.contains(word), "src/{}:{} may not know {word}", path.display(), n + 1);
            }
        }
    }
}

#[test]
fn no_file_has_outgrown_its_room() {
    let long: Vec<String> = sources("")
        .into_iter()
        .filter(|(path, text)| text.lines().count() > 480 && !path.to_string_lossy().contains("tests"))
        .map(|(path, text)| format!("{} has {} lines", path.display(), text.lines().count()))
        .collect();
    assert!(long.is_empty(), "{long:?}");
}
