//! What lies in the bucket, in S3's order and in S3's pages.
//!
//! [`walk`] reads as much of the directory tree as a page needs, [`page`] cuts it out of the sorted result: keys by their bytes, at most
//! `max` entries, a common prefix counted once and never split over two pages. A page is named by the last entry of the
//! one before it, so entries that appear between two requests neither shift nor repeat the others.
//!
//! A marker that points into a common prefix skips the rest of that prefix, as Ceph does.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::SystemTime;

/// One object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) key: String,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
}

/// One page's question.
#[derive(Debug, Clone, Default)]
pub(super) struct Ask {
    pub(super) prefix: String,
    pub(super) delimiter: Option<String>,
    /// Only entries after this one.
    pub(super) after: String,
    pub(super) max: usize,
}

/// One page's answer; `next` is the `after` of the following page, if there is one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) objects: Vec<Found>,
    pub(super) prefixes: Vec<String>,
    pub(super) next: Option<String>,
}

/// The objects below `bucket` that a page is cut from, sorted by key: those that `ask` is about, and of a common prefix one.
/// Ends when there are enough for the page and one more, so that a page costs no more than the directories it lies in. Names that
/// are not UTF-8 and anything that is neither file nor directory are passed over; so is what vanishes while we look.
pub(super) fn walk(bucket: &Path, ask: &Ask) -> io::Result<Vec<Found>> {
    // Only the directory the prefix points into has to be read.
    let start = ask.prefix.rsplit_once('/').map_or("", |(directory, _)| directory);
    if !start.is_empty() && start.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let _enough = below(bucket, start, ask, &mut found)?;
    Ok(found)
}

/// One directory, in the order of the keys: a directory sorts as if its name ended in `/`. True: there are enough.
fn below(bucket: &Path, directory: &str, ask: &Ask, found: &mut Vec<Found>) -> io::Result<bool> {
    let shallow = ask.delimiter.as_deref() == Some("/");
    // With another delimiter several objects may be one entry.
    let most = if shallow || ask.delimiter.is_none() { ask.max.saturating_add(1) } else { usize::MAX };
    for (key, is_dir) in children(bucket, directory)? {
        let before = found.len();
        if is_dir {
            let of_prefix = key.starts_with(&ask.prefix) || ask.prefix.starts_with(&key);
            let is_common = shallow && key.len() > ask.prefix.len();
            let is_behind =
                if is_common { key <= ask.after } else { key < ask.after && !ask.after.starts_with(&key) };
            if !of_prefix || is_behind {
                continue;
            }
            let one = Ask { max: 0, delimiter: None, ..ask.clone() };
            let inner = if is_common { &one } else { ask };
            let enough = below(bucket, key.strip_suffix('/').unwrap_or(&key), inner, found)?;
            if enough && !is_common {
                return Ok(true);
            }
        } else if key.starts_with(&ask.prefix) && key > ask.after {
            match fs::metadata(bucket.join(&key)) {
                Ok(about) => found.push(Found { key, size: about.len(), modified: about.modified()? }),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if found.len() > before && found.len() >= most {
            return Ok(true);
        }
    }
    Ok(false)
}

fn children(bucket: &Path, directory: &str) -> io::Result<Vec<(String, bool)>> {
    let entries = match fs::read_dir(bucket.join(directory)) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut children = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let key = if directory.is_empty() { name } else { format!("{directory}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            children.push((format!("{key}/"), true));
        } else if kind.is_file() {
            children.push((key, false));
        }
    }
    children.sort_unstable();
    Ok(children)
}

/// Cuts a page out of `found`, which is sorted by key.
pub(super) fn page(found: &[Found], ask: &Ask) -> Page {
    let mut page = Page { objects: Vec::new(), prefixes: Vec::new(), next: None };
    let mut last: Option<&str> = None;
    if ask.max == 0 {
        return page;
    }
    for object in found {
        let Some(rest) = object.key.strip_prefix(&ask.prefix) else { continue };
        let common = ask
            .delimiter
            .as_deref()
            .filter(|delimiter| !delimiter.is_empty())
            .and_then(|delimiter| rest.find(delimiter).map(|at| at + delimiter.len()))
            .and_then(|end| object.key.get(..ask.prefix.len() + end));
        let name = common.unwrap_or(&object.key);
        let behind = object.key <= ask.after || common.is_some_and(|common| ask.after.starts_with(common));
        if behind || last == Some(name) && common.is_some() {
            continue;
        }
        if page.objects.len() + page.prefixes.len() == ask.max {
            page.next = last.map(str::to_owned);
            break;
        }
        match common {
            Some(common) => page.prefixes.push(common.to_owned()),
            None => page.objects.push(object.clone()),
        }
        last = Some(name);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn shelf(keys: &[&str]) -> Vec<Found> {
        let mut found: Vec<Found> = keys
            .iter()
            .map(|key| Found { key: (*key).to_owned(), size: 1, modified: SystemTime::UNIX_EPOCH })
            .collect();
        found.sort_by(|a, b| a.key.cmp(&b.key));
        found
    }

    /// All pages one after another, each as its entries in order.
    fn pages(found: &[Found], mut ask: Ask) -> Vec<Vec<String>> {
        let mut pages = Vec::new();
        loop {
            let page = page(found, &ask);
            let mut names: Vec<String> = page.objects.into_iter().map(|object| object.key).collect();
            names.extend(page.prefixes);
            names.sort();
            pages.push(names);
            match page.next {
                Some(next) => ask.after = next,
                None => return pages,
            }
        }
    }

    #[test]
    fn pages_neither_lose_nor_repeat() {
        let found = shelf(&["a", "a/b", "a/c", "a-b", "b/1", "b/2", "c"]);
        let ask = Ask { max: 3, ..Ask::default() };
        let expected: Vec<Vec<&str>> = vec![vec!["a", "a-b", "a/b"], vec!["a/c", "b/1", "b/2"], vec!["c"]];
        assert_eq!(pages(&found, ask), expected);
    }

    #[test]
    fn a_full_last_page_has_no_next() {
        let found = shelf(&["a", "b", "c", "d"]);
        assert_eq!(page(&found, &Ask { max: 4, ..Ask::default() }).next, None);
        assert_eq!(page(&found, &Ask { max: 3, ..Ask::default() }).next.as_deref(), Some("c"));
        assert_eq!(page(&found, &Ask::default()), Page { objects: vec![], prefixes: vec![], next: None });
    }

    #[test]
    fn a_common_prefix_is_one_entry_and_never_split() {
        let found = shelf(&["x/a/1", "x/a/2", "x/a/3", "x/b", "x/c/1", "y"]);
        for max in 1..5 {
            let ask = Ask { prefix: "x/".into(), delimiter: Some("/".into()), max, ..Ask::default() };
            assert_eq!(pages(&found, ask).concat(), ["x/a/", "x/b", "x/c/"], "max {max}");
        }
        let inside = Ask { delimiter: Some("/".into()), after: "x/a/2".into(), max: 9, ..Ask::default() };
        assert_eq!(page(&found, &inside).prefixes, [] as [String; 0]);
        assert_eq!(page(&found, &inside).objects, shelf(&["y"]));
    }

    #[test]
    fn walk_reads_only_below_the_prefix() {
        let dir = tempfile::tempdir().unwrap();
        for key in ["p/samples/x/COMMIT", "p/samples/xy/COMMIT", "p/samplesheet", "p/other/x", "top"] {
            let path = dir.path().join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::File::create(path).unwrap().write_all(key.as_bytes()).unwrap();
        }
        let all = |prefix: &str| Ask { prefix: prefix.into(), max: 100, ..Ask::default() };
        let keys = |prefix: &str| -> Vec<String> {
            walk(dir.path(), &all(prefix)).unwrap().into_iter().map(|found| found.key).collect()
        };
        assert_eq!(keys("p/samples/x"), ["p/samples/x/COMMIT", "p/samples/xy/COMMIT"]);
        assert_eq!(keys("p/samples"), ["p/samples/x/COMMIT", "p/samples/xy/COMMIT", "p/samplesheet"]);
        assert_eq!(keys("").len(), 5);
        for nothing in ["nowhere/", "../", "top/x", "/p", "p//"] {
            assert_eq!(keys(nothing), [] as [String; 0], "{nothing}");
        }
        assert_eq!(walk(dir.path(), &all("top")).unwrap()[0].size, 3);
    }

    #[test]
    fn a_page_of_what_was_walked_is_a_page_of_everything() {
        let dir = tempfile::tempdir().unwrap();
        let mut keys = Vec::new();
        for name in ["a", "a-b", "a.b", "a0", "b"] {
            for file in ["r1/COMMIT", "r1/x/y", "r1/z", "r2/COMMIT"] {
                keys.push(format!("p/samples/{name}/{file}"));
            }
        }
        keys.extend(["p/samples/loose".to_owned(), "p/other".to_owned()]);
        for key in &keys {
            let path = dir.path().join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::File::create(path).unwrap().write_all(b"1").unwrap();
        }
        let everything = shelf(&keys.iter().map(String::as_str).collect::<Vec<_>>());
        let mut asked = 0;
        for prefix in ["", "p/", "p/samples/", "p/samples/a", "p/samples/a/", "p/samples/a/r1/C", "q/"] {
            for delimiter in [None, Some("/"), Some("-")] {
                for max in [1, 2, 3, 7, 100] {
                    let afters = ["", "p/samples/a", "p/samples/a/", "p/samples/a/r1/x", "p/samples/a0", "z"];
                    for after in afters {
                        let (prefix, after) = (prefix.to_owned(), after.to_owned());
                        let ask = Ask { prefix, delimiter: delimiter.map(str::to_owned), after, max };
                        let (names, walked) = (
                            |page: Page| {
                                let objects: Vec<String> = page.objects.into_iter().map(|o| o.key).collect();
                                (objects, page.prefixes, page.next)
                            },
                            walk(dir.path(), &ask).unwrap(),
                        );
                        assert!(walked.len() <= max + 1 || delimiter == Some("-"), "{ask:?}");
                        assert_eq!(names(page(&walked, &ask)), names(page(&everything, &ask)), "{ask:?}");
                        asked += 1;
                    }
                }
            }
        }
        assert_eq!(asked, 7 * 3 * 5 * 6);
    }
}
