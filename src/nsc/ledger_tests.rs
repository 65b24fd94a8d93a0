//! Whose lines count, and what becomes of torn, bad and foreign ones.
use super::*;
use crate::package::{HashState, Sha256Hex};
use crate::store::{Begun, Landed};

const PLACE: &str = "here";

fn append(ledger: &Ledger, bytes: &[u8]) {
    fs::open(&ledger.path, Mode::Append).unwrap().write_all(bytes).unwrap();
}

#[test]
fn uploads_are_known_until_they_are_over_and_their_doubts_longer() {
    let on = &OnDisk::alone();
    let dir = tempfile::tempdir().unwrap();
    let id: PackageId = "samples/a/r1".parse().unwrap();
    let x: RelPath = "d/x".parse().unwrap();
    let source = Fingerprint { size: 30, mtime_ns: 5, inode: 7 };
    let begun = |upload: &str| {
        let (upload, key, checksum, mark) = (upload.into(), "k/d/x".into(), "signed".into(), "m".into());
        let place = PLACE.into();
        Note::Begun(Begun { upload, key, source, part_length: 10, checksum, place, mark })
    };
    let part = |number: i32| {
        let part = Landed { number, etag: Some("e".into()), sum: "s".into() };
        let mut state = HashState::new(true);
        state.update(&vec![0; 10 * usize::try_from(number).unwrap()]);
        Note::Part { upload: "u1".into(), part, state: Some(state), attempt: 0 }
    };
    let ledger = Ledger::open(on, dir.path(), &id, PLACE).unwrap();
    assert_eq!(packages(on, dir.path()).unwrap(), [], "none before there is something to tell");
    for note in [begun("u1"), part(2), part(1), begun("u2")] {
        ledger.note_upload(on, &x, &note).unwrap();
    }
    assert_eq!(packages(on, dir.path()).unwrap(), vec![id.clone()]);
    let again = Ledger::open(on, dir.path(), &id, PLACE).unwrap();
    let (uploads, may_exist) = again.uploads(&x);
    assert_eq!((uploads.len(), may_exist), (2, false));
    assert_eq!(uploads[0].parts.len(), 2);
    assert_eq!(again.open_uploads().len(), 2);
    let (u1, u2) = (|| "u1".to_owned(), || "u2".to_owned());
    let ends = [
        Note::Over { upload: u2() },
        Note::Completing { upload: u1() },
        Note::Over { upload: u1() },
        Note::Done { upload: "unknown".into() },
    ];
    for note in ends {
        again.note_upload(on, &x, &note).unwrap();
    }
    for ledger in [again, Ledger::open(on, dir.path(), &id, PLACE).unwrap()] {
        let (uploads, may_exist) = ledger.uploads(&x);
        assert_eq!((uploads.len(), may_exist), (0, true), "the first may have made the object");
    }
    drop(fs::open(&folder(dir.path()).join("notes.txt"), Mode::New).unwrap());
    assert_eq!(packages(on, dir.path()).unwrap(), vec![id.clone()], "what others put there is left alone");
    let ledger = Ledger::open(on, dir.path(), &id, PLACE).unwrap();
    ledger.close(on).unwrap();
    ledger.close(on).unwrap();
    assert_eq!(packages(on, dir.path()).unwrap(), []);
}

#[test]
fn a_file_counts_while_it_is_unchanged_and_torn_lines_do_not_spoil_the_next() {
    let on = &OnDisk::alone();
    let dir = tempfile::tempdir().unwrap();
    let id: PackageId = "samples/a/r1".parse().unwrap();
    let (x, y): (RelPath, RelPath) = ("x".parse().unwrap(), "y".parse().unwrap());
    let source = Fingerprint { size: 3, mtime_ns: 5, inode: 7 };
    let digests = HashState::new(false).finish();
    let known = Known { digests, found: None };
    Ledger::open(on, dir.path(), &id, PLACE).unwrap().note(on, &x, source, &known).unwrap();
    let ledger = Ledger::open(on, dir.path(), &id, PLACE).unwrap();
    assert_eq!(ledger.sent(&x, source, Want::default()), Some(known.clone()));
    assert_eq!(ledger.sent(&x, Fingerprint { mtime_ns: 6, ..source }, Want::default()), None);
    append(&ledger, b"{\"file\":\"y\",\"sou");
    let ledger = Ledger::open(on, dir.path(), &id, PLACE).unwrap();
    assert_eq!(ledger.sent(&y, source, Want::default()), None);
    ledger.note(on, &y, source, &known).unwrap();
    let ledger = Ledger::open(on, dir.path(), &id, PLACE).unwrap();
    assert!(
        ledger.sent(&x, source, Want::default()).is_some()
            && ledger.sent(&y, source, Want::default()).is_some()
    );
    ledger.close(on).unwrap();
    assert_eq!(Ledger::open(on, dir.path(), &id, PLACE).unwrap().sent(&x, source, Want::default()), None);
}

#[test]
fn a_line_that_does_not_tell_enough_does_not_count() {
    let on = &OnDisk::alone();
    let dir = tempfile::tempdir().unwrap();
    let id: PackageId = "samples/a/r1".parse().unwrap();
    let source = Fingerprint { size: 0, mtime_ns: 5, inode: 7 };
    let names = Sha256Hex::of(b"");
    let found = Found {
        reads: 1,
        bases: 1,
        first: "r".into(),
        last: "r".into(),
        names: names.clone(),
        end: Some(1),
        beginning: names,
    };
    let ledger = Ledger::open(on, dir.path(), &id, PLACE).unwrap();
    let mut wants = Vec::new();
    for (name, md5, reads) in [("none", false, false), ("md5", true, false), ("all", true, true)] {
        let path: RelPath = name.parse().unwrap();
        let known = Known { digests: HashState::new(md5).finish(), found: reads.then(|| found.clone()) };
        ledger.note(on, &path, source, &known).unwrap();
        wants.push((path, md5, reads, known));
    }
    // As a program wrote it that checked no reads.
    let old = r#"{"file":"old","source":{"size":0,"mtime_ns":5,"inode":7},"digests":DIGESTS}"#;
    let digests = serde_json::to_string(&HashState::new(true).finish()).unwrap();
    append(&ledger, format!("{}\n", old.replace("DIGESTS", &digests)).as_bytes());
    wants.push((
        "old".parse().unwrap(),
        true,
        false,
        Known { digests: HashState::new(true).finish(), found: None },
    ));
    let ledger = Ledger::open(on, dir.path(), &id, PLACE).unwrap();
    for (path, has_md5, has_reads, known) in wants {
        for (md5, found) in [(false, false), (true, false), (true, true)] {
            let told = ledger.sent(&path, source, Want { md5, found });
            let enough = (has_md5 || !md5) && (has_reads || !found);
            assert_eq!(told, enough.then(|| known.clone()), "{path} {md5} {found}");
        }
    }
}

/// What one test says about a file, and what it asks.
struct Desk {
    dir: tempfile::TempDir,
    id: PackageId,
    x: RelPath,
    y: RelPath,
    known: Known,
}

const SOURCE: Fingerprint = Fingerprint { size: 3, mtime_ns: 5, inode: 7 };

impl Desk {
    fn new() -> Self {
        let known = Known { digests: HashState::new(false).finish(), found: None };
        let (x, y) = ("x".parse().unwrap(), "y".parse().unwrap());
        Self { dir: tempfile::tempdir().unwrap(), id: "samples/a/r1".parse().unwrap(), x, y, known }
    }

    fn open(&self, place: &str) -> Ledger {
        Ledger::open(&OnDisk::alone(), self.dir.path(), &self.id, place).unwrap()
    }

    fn note(&self, ledger: &Ledger, file: &RelPath) -> Result<(), FsError> {
        ledger.note(&OnDisk::alone(), file, SOURCE, &self.known)
    }

    fn has(&self, ledger: &Ledger, file: &RelPath) -> bool {
        ledger.sent(file, SOURCE, Want::default()).is_some()
    }

    fn begun(&self, place: &str) -> Note {
        let (upload, key, checksum, mark) = ("u1".into(), "k/x".into(), "signed".into(), "m".into());
        let place = place.into();
        Note::Begun(Begun { upload, key, source: SOURCE, part_length: 10, checksum, place, mark })
    }

    fn tell(&self, ledger: &Ledger, note: &Note) {
        ledger.note_upload(&OnDisk::alone(), &self.x, note).unwrap();
    }
}

#[test]
fn what_was_sent_elsewhere_does_not_count_here_and_counts_there() {
    let desk = Desk::new();
    let here = desk.open("here");
    desk.note(&here, &desk.x).unwrap();
    desk.tell(&here, &desk.begun("here"));
    let there = desk.open("there");
    assert!(!desk.has(&there, &desk.x));
    assert_eq!(
        (there.uploads(&desk.x).0.len(), there.open_uploads().len()),
        (0, 0),
        "nor is it aborted there"
    );
    assert_eq!((there.elsewhere(), there.inner().abroad.len()), (2, 1));
    desk.tell(&there, &Note::Over { upload: "u1".into() }); // of an upload that is unknown there
    desk.note(&there, &desk.y).unwrap();
    assert_eq!(desk.open("there").inner().abroad.len(), 0, "it is over");
    let here = desk.open("here");
    assert!(desk.has(&here, &desk.x) && !desk.has(&here, &desk.y));
    assert_eq!(here.elsewhere(), 1);
    // As an older program wrote them, who knew of one place.
    let old = Desk::new();
    let ledger = old.open("");
    old.note(&ledger, &old.x).unwrap();
    old.tell(&ledger, &old.begun(""));
    let ledger = old.open("here");
    assert!(old.has(&ledger, &old.x));
    assert_eq!(ledger.open_uploads().len(), 1);
}

#[test]
fn lines_that_another_one_could_not_write_are_not_lost() {
    let desk = Desk::new();
    let ledger = desk.open(PLACE);
    // A directory in its place: it cannot be opened.
    fs::create_dir(&ledger.path).unwrap();
    assert!(desk.note(&ledger, &desk.x).is_err());
    assert!(ledger.note_upload(&OnDisk::alone(), &desk.x, &desk.begun(PLACE)).is_err());
    std::fs::remove_dir(&ledger.path).unwrap();
    // The disk is well again: the next one writes for all.
    desk.note(&ledger, &desk.y).unwrap();
    let again = desk.open(PLACE);
    assert!(desk.has(&again, &desk.x) && desk.has(&again, &desk.y));
    assert_eq!(again.open_uploads().len(), 1);
    // Lines that were written, and not known to be, are written twice.
    desk.tell(&again, &desk.begun(PLACE));
    for ledger in [again, desk.open(PLACE)] {
        assert_eq!(ledger.open_uploads().len(), 1, "the same upload once");
    }
}

#[test]
fn bytes_that_nobody_wrote_spoil_their_line_alone() {
    let desk = Desk::new();
    let ledger = desk.open(PLACE);
    desk.note(&ledger, &desk.x).unwrap();
    append(&ledger, b"{\"file\":\"\xff\xfe\n\0\0\0\0\n\n");
    desk.note(&ledger, &desk.y).unwrap();
    append(&ledger, &[0; 4096]);
    let ledger = desk.open(PLACE);
    assert!(desk.has(&ledger, &desk.x) && desk.has(&ledger, &desk.y));
    desk.tell(&ledger, &desk.begun(PLACE));
    assert_eq!(desk.open(PLACE).open_uploads().len(), 1, "the torn line was ended");
}

#[test]
fn what_may_be_put_over_a_file_makes_its_line_untrue() {
    let (desk, on) = (Desk::new(), &OnDisk::alone());
    let ledger = desk.open(PLACE);
    desk.note(&ledger, &desk.x).unwrap();
    desk.note(&ledger, &desk.y).unwrap();
    ledger.note_putting(on, vec![desk.x.clone()]).unwrap();
    let length = || std::fs::metadata(&ledger.path).unwrap().len();
    let before = length();
    ledger.note_putting(on, vec![desk.x.clone()]).unwrap();
    assert_eq!(length(), before, "said once");
    for ledger in [&ledger, &desk.open(PLACE)] {
        assert!(!desk.has(ledger, &desk.x) && desk.has(ledger, &desk.y));
        assert!(ledger.uploads(&desk.x).1 && !ledger.uploads(&desk.y).1, "it may exist");
    }
    desk.note(&ledger, &desk.x).unwrap();
    assert!(desk.has(&ledger, &desk.x), "as it was put then");
    // The same by an upload, from the moment when it may be completed.
    desk.tell(&ledger, &desk.begun(PLACE));
    assert!(desk.has(&desk.open(PLACE), &desk.x));
    desk.tell(&ledger, &Note::Completing { upload: "u1".into() });
    for ledger in [&ledger, &desk.open(PLACE)] {
        assert!(!desk.has(ledger, &desk.x));
    }
}
