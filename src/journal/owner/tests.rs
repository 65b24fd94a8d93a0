use super::*;
use std::time::Instant;

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(1800);

fn holder(host: &str) -> Holder {
    Holder::this(host.into(), "nsc".into())
}

fn acquire(dir: &Path, host: &str, lease: Duration, take_over: bool) -> Result<Owner, OwnerError> {
    Owner::acquire(dir, &holder(host), lease, take_over)
}

/// As a holder leaves it that was killed: its name stays, its lock does not.
fn left_by(dir: &Path, holder: Holder, lease: Duration) -> Record {
    let record = Record::new(holder, lease);
    drop(OwnerFile::create(dir, &record).unwrap().unwrap());
    record
}

fn there(dir: &Path) -> Content {
    OwnerFile::read(&dir.join(FILE)).unwrap()
}

#[test]
fn a_second_one_is_told_who_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = acquire(dir.path(), "gdx-login", LONG, false).unwrap();
    let refused = acquire(dir.path(), "gdx-login", LONG, true).unwrap_err();
    assert!(matches!(refused, OwnerError::Held { .. }));
    let said = format!("process {} on gdx-login (role nsc", std::process::id());
    assert!(refused.to_string().contains(&said), "{refused}");
    assert_eq!(Owner::look(dir.path()).unwrap().host, "gdx-login");
    drop(first);
    assert_eq!((there(dir.path()), Owner::look(dir.path())), (Content::Absent, None));
    drop(acquire(dir.path(), "sleipnir", LONG, false).unwrap());
}

#[test]
fn a_foreign_name_left_behind_needs_a_person_and_is_watched_first() {
    let dir = tempfile::tempdir().unwrap();
    let dead = left_by(dir.path(), holder("p22-hpc-02"), SHORT);
    let refused = acquire(dir.path(), "p22-hpc-03", SHORT, false).unwrap_err().to_string();
    for word in ["on p22-hpc-02", "--take-over", "last renewed that"] {
        assert!(refused.contains(word), "{refused}");
    }
    let begun = Instant::now();
    let owner = acquire(dir.path(), "p22-hpc-03", SHORT, true).unwrap();
    assert!(begun.elapsed() >= claim::watch(SHORT) + claim::settle(SHORT));
    assert!(owner.took_over() && owner.lease().check().is_ok());
    let Content::Record(now, _) = there(dir.path()) else { panic!("a record") };
    assert!(now.holder.host == "p22-hpc-03" && now.token != dead.token);
}

#[test]
fn the_longer_lease_of_the_other_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let dead = left_by(dir.path(), Holder { boot: "before".into(), ..holder("h") }, SHORT);
    assert_eq!(dead.lease(), SHORT);
    let begun = Instant::now();
    // No person is asked after a reboot, or after a disk without locks: the silence of the old one decides.
    drop(acquire(dir.path(), "h", SHORT / 3, false).unwrap());
    assert!(begun.elapsed() >= claim::watch(SHORT) + claim::settle(SHORT));
}

#[test]
fn killed_on_this_host_it_is_taken_at_once() {
    let dir = tempfile::tempdir().unwrap();
    left_by(dir.path(), holder("h"), LONG);
    assert_eq!(Owner::look(dir.path()), None, "the lock proves that nobody lives");
    let begun = Instant::now();
    let owner = acquire(dir.path(), "h", LONG, false).unwrap();
    assert!(!owner.took_over() && begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn one_that_renews_is_alive_whatever_the_flag_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let mut record = left_by(dir.path(), holder("p22-hpc-02"), SHORT);
    let living = std::thread::spawn(move || {
        let file = OwnerFile::open(&path).unwrap().unwrap();
        std::thread::sleep(SHORT);
        record.renewals += 1;
        file.write(&record).unwrap();
        record
    });
    let refused = acquire(dir.path(), "p22-hpc-03", SHORT, true).unwrap_err();
    assert!(matches!(&refused, OwnerError::Alive { holder, .. } if holder.host == "p22-hpc-02"), "{refused}");
    let record = living.join().unwrap();
    assert!(matches!(there(dir.path()), Content::Record(now, _) if *now == record), "not touched");
}

#[test]
fn damage_is_watched_too_and_then_replaced() {
    let dir = tempfile::tempdir().unwrap();
    crate::fs::write_durably(&dir.path().join(FILE), b"{\"host\": \"h").unwrap();
    assert_eq!(Owner::look(dir.path()), None);
    let begun = Instant::now();
    drop(acquire(dir.path(), "h", SHORT, false).unwrap());
    assert!(begun.elapsed() >= claim::watch(SHORT));
}

#[test]
fn of_many_at_the_same_time_one_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let tries: Vec<_> = (0..8)
        .map(|n| {
            let dir = dir.path().to_owned();
            std::thread::spawn(move || acquire(&dir, &format!("h{n}"), LONG, false))
        })
        .collect();
    let tries: Vec<_> = tries.into_iter().map(|t| t.join().unwrap()).collect();
    assert_eq!(tries.iter().filter(|t| t.is_ok()).count(), 1);
    let held = |t: &Result<Owner, OwnerError>| matches!(t, Err(OwnerError::Held { .. }));
    assert_eq!(tries.iter().filter(|t| held(t)).count(), 7, "{tries:?}");
}

#[test]
fn the_replaced_one_stops_by_itself_and_leaves_the_file_of_the_other_alone() {
    let dir = tempfile::tempdir().unwrap();
    let owner = acquire(dir.path(), "p22-hpc-02", SHORT, false).unwrap();
    let other = Record::new(holder("p22-hpc-03"), SHORT);
    let _file = OwnerFile::replace(dir.path(), &other).unwrap();
    let begun = Instant::now();
    while owner.lease().check().is_ok() {
        assert!(begun.elapsed() < claim::settle(SHORT), "its permits end before the other one begins");
        std::thread::sleep(Duration::from_millis(5));
    }
    let why = owner.lease().over().unwrap().to_string();
    assert!(why.contains("on p22-hpc-03 (role nsc") && why.contains("has taken over"), "{why}");
    drop(owner);
    assert!(matches!(there(dir.path()), Content::Record(now, _) if *now == other));
}

#[test]
fn a_holder_whose_file_is_removed_stops() {
    let dir = tempfile::tempdir().unwrap();
    let owner = acquire(dir.path(), "h", SHORT, false).unwrap();
    std::fs::remove_file(dir.path().join(FILE)).unwrap();
    let begun = Instant::now();
    while owner.lease().over().is_none() {
        assert!(begun.elapsed() < SHORT);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(owner.lease().check().unwrap_err().to_string().contains("does not name this process"));
}

#[test]
fn it_lives_on_by_renewing() {
    let dir = tempfile::tempdir().unwrap();
    let owner = acquire(dir.path(), "h", SHORT, false).unwrap();
    let Content::Record(first, bytes) = there(dir.path()) else { panic!("a record") };
    std::thread::sleep(SHORT * 2);
    owner.lease().check().unwrap();
    let Content::Record(last, later) = there(dir.path()) else { panic!("a record") };
    assert!(last.renewals >= first.renewals + 6 && last.token == first.token, "{last:?}");
    assert_eq!(bytes.len(), later.len(), "one block");
}

#[test]
fn a_process_is_known_by_its_start_and_not_by_its_number_alone() {
    let me = Record::new(holder("h"), LONG);
    assert!(me.ticks > 0 && file::lives(&me));
    assert!(!file::lives(&Record { ticks: me.ticks + 1, ..me.clone() }), "another one got its number");
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let its = Record::new(Holder { pid: child.id(), ..holder("h") }, LONG);
    while file::lives(&its) {
        std::thread::sleep(Duration::from_millis(5)); // then it is a zombie
    }
    child.wait().unwrap();
}

#[test]
fn a_glance_does_not_keep_a_daemon_out() {
    let dir = tempfile::tempdir().unwrap();
    left_by(dir.path(), holder("h"), LONG);
    let glance = OwnerFile::open(&dir.path().join(FILE)).unwrap().unwrap();
    assert_eq!(glance.probe(), Lock::Ours, "a shared lock, held while it looks");
    let looking = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(150));
        drop(glance);
    });
    drop(acquire(dir.path(), "h", LONG, false).unwrap());
    looking.join().unwrap();
}
