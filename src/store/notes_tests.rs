//! What follows from the notes about an upload: what is gone on with, and what is not believed.
use super::*;

const SOURCE: Fingerprint = Fingerprint { size: 25, mtime_ns: 1, inode: 2 };

const LIMITS: Limits = Limits { part_length: 10, parts: 3 };

fn begun() -> Begun {
    let (upload, key, mark, place) = ("u".into(), "k".into(), "m".into(), "here".into());
    Begun { upload, key, source: SOURCE, part_length: 10, checksum: "signed".into(), place, mark }
}

fn state(bytes: usize, md5: bool) -> HashState {
    let mut state = HashState::new(md5);
    state.update(&vec![0; bytes]);
    state
}

fn part(number: i32, state: Option<HashState>) -> Note {
    part_of(0, number, state)
}

fn part_of(attempt: u32, number: i32, state: Option<HashState>) -> Note {
    let part = Landed { number, etag: Some("\"e\"".into()), sum: "s".into() };
    Note::Part { upload: "u".into(), part, state, attempt }
}

#[test]
fn a_part_is_read_only_for_what_is_missing() {
    let todo = |offset, hashed, known, listened| {
        let Todo { hash, send, heard } = Todo::of(offset, hashed, known, listened);
        (hash, send, heard)
    };
    assert_eq!(todo(0, 20, true, false), (false, false, false));
    assert!(Todo::of(0, 20, true, false).is_nothing());
    assert_eq!(todo(20, 20, false, false), (true, true, false));
    assert_eq!(todo(0, 20, true, true), (false, false, true), "for the listener alone");
    assert_eq!(todo(0, 0, true, false), (true, false, false), "no digests are known");
}

#[test]
fn the_digests_before_the_first_gap_are_gone_on_with() {
    let mut upload = Unfinished::new(begun());
    assert_eq!(upload.digests(false).size(), 0);
    upload.learn(part(2, Some(state(20, false))));
    assert_eq!(upload.digests(false).size(), 0, "the first part is not acknowledged");
    upload.learn(part(1, Some(state(10, false))));
    assert_eq!(upload.parts.len(), 2);
    assert_eq!(upload.digests(false).finish(), state(20, false).finish());
    assert_eq!(upload.digests(true).size(), 0, "they have no md5");
    let mut odd = upload.clone();
    odd.learn(part(3, Some(state(23, false))));
    assert_eq!(odd.digests(false).size(), 0, "an odd length is not believed");
    upload.learn(part(3, Some(state(25, true))));
    assert_eq!((upload.digests(true).size(), upload.states.len()), (25, 1), "the file's end");
}

#[test]
fn what_one_attempt_hashed_is_not_joined_to_what_another_one_sends() {
    let mut upload = Unfinished::new(begun());
    upload.learn(part(1, Some(state(10, false))));
    upload.learn(part(3, Some(state(25, false))));
    let mut same = upload.clone();
    same.learn(part(2, Some(state(20, false))));
    assert_eq!(same.digests(false).size(), 25, "all of it was read in one attempt");
    upload.learn(part_of(1, 2, Some(state(20, false))));
    assert_eq!(upload.digests(false).size(), 20, "the third part was hashed behind another second one");
    assert_eq!((upload.parts.len(), upload.attempt, upload.once_more().attempt), (3, 1, 2));
    upload.learn(part(2, Some(state(25, false))));
    assert_eq!(upload.digests(false).size(), 20, "late");
    upload.learn(part_of(1, 3, Some(state(25, false))));
    assert_eq!(upload.digests(false).size(), 25);
    // As an older program closed a gap: read for the wire alone.
    let mut old = Unfinished::new(begun());
    for note in [part(1, Some(state(10, false))), part(3, Some(state(25, false))), part(2, None)] {
        old.learn(note);
    }
    assert_eq!((old.digests(false).size(), old.parts.len()), (10, 3));
}

#[test]
fn a_part_without_an_etag_was_never_acknowledged() {
    let mut upload = Unfinished::new(begun());
    for etag in [None, Some(String::new()), Some("\"\"".to_owned())] {
        let part = Landed { number: 1, etag, sum: "s".into() };
        upload.learn(Note::Part { upload: "u".into(), part, state: Some(state(10, false)), attempt: 0 });
    }
    assert_eq!((upload.parts.len(), upload.digests(false).size()), (0, 0));
    upload.done = true;
    assert!(upload.fits("k", SOURCE, "signed", LIMITS).unwrap_err().contains("not all of its parts"));
}

#[test]
fn only_the_very_same_upload_is_gone_on_with() {
    let upload = Unfinished::new(begun());
    assert_eq!(upload.fits("k", SOURCE, "signed", LIMITS), Ok(()));
    for other in [
        Fingerprint { size: 26, ..SOURCE },
        Fingerprint { mtime_ns: 2, ..SOURCE },
        Fingerprint { inode: 3, ..SOURCE },
    ] {
        assert!(upload.fits("k", other, "signed", LIMITS).unwrap_err().contains("changed"));
    }
    for (part_length, parts, why) in
        [(9, 3, Some("shorter or fewer")), (10, 2, Some("shorter or fewer")), (11, 4, None)]
    {
        let limits = Limits { part_length, parts };
        assert_eq!(
            upload.fits("k", SOURCE, "signed", limits).err().map(|e| why.is_some_and(|w| e.contains(w))),
            why.map(|_| true)
        );
    }
    assert!(
        upload.fits("l", SOURCE, "signed", LIMITS).is_err()
            && upload.fits("k", SOURCE, "md5", LIMITS).is_err()
    );
}

#[test]
fn notes_there_and_back() {
    let all = [Note::Begun(begun()), part_of(3, 7, Some(state(70, true))), part(8, None)];
    let ends = ["u"].map(|u| Note::Completing { upload: u.into() });
    for note in all.into_iter().chain(ends) {
        let text = serde_json::to_string(&note).unwrap();
        let back: Note = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }
    assert!(Note::Begun(begun()).must_last() && !part(1, None).must_last());
    let old = r#"{"begun":{"upload":"u","key":"k","source":{"size":25,"mtime_ns":1,"inode":2},"part_length":10,"checksum":"signed","md5":true,"mark":"m"}}"#;
    let Note::Begun(old) = serde_json::from_str(old).unwrap() else { panic!("{old}") };
    assert_eq!(old, Begun { place: String::new(), ..begun() });
}
