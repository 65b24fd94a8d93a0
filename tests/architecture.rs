//! The tree tells the story, and dependencies point one way: what lies lower knows nothing of what lies higher.
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions

use std::path::{Path, PathBuf};

fn sources(below: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = walkdir::WalkDir::new(root.join(below)).into_iter().map(|e| e.unwrap().into_path());
    let files = files.filter(|p| p.extension().is_some_and(|e| e == "rs"));
    files.map(|p| (p.strip_prefix(&root).unwrap().to_owned(), std::fs::read_to_string(&p).unwrap())).collect()
}

/// What stands in code; comments may speak of anything.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|l| l.split("//").next().unwrap_or_default())
}

#[test]
fn dependencies_point_one_way() {
    let rules: [(&str, &[&str]); 9] = [
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
        ("nsc", &["crate::tsd", "crate::role", "crate::cli", "crate::demo"]),
        ("tsd", &["crate::nsc", "crate::role", "crate::cli", "crate::demo", "crate::clarity"]),
        ("demo/lims", &["crate::clarity", "crate::nsc"]),
    ];
    for (room, banned) in rules {
        let files = sources(room);
        assert!(!files.is_empty(), "{room} is empty: has it moved?");
        for (path, text) in files {
            for (n, line) in code(&text).enumerate() {
                for word in banned {
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

#[test]
fn no_file_has_outgrown_its_room() {
    let long: Vec<String> = sources("")
        .into_iter()
        .filter(|(path, text)| text.lines().count() > 480 && !path.to_string_lossy().contains("tests"))
        .map(|(path, text)| format!("{} has {} lines", path.display(), text.lines().count()))
        .collect();
    assert!(long.is_empty(), "{long:?}");
}
