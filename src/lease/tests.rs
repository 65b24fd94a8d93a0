use super::*;

const LEASE: Duration = Duration::from_secs(30);

fn at(secs: f64) -> Moment {
    let wall: Timestamp = "2026-06-12T10:00:00Z".parse().unwrap();
    let offset = Duration::from_secs_f64(secs);
    Moment { boot: Duration::from_secs(1000) + offset, wall: wall + offset }
}

#[test]
fn permits_end_at_half_and_the_lease_at_its_whole() {
    for (secs, expected) in [
        (0.0, Standing::Fit),
        (14.9, Standing::Fit),
        (15.0, Standing::Doubtful),
        (29.9, Standing::Doubtful),
        (30.0, Standing::Over(LEASE)),
    ] {
        assert_eq!(standing(LEASE, at(0.0), at(secs)), expected, "{secs}");
    }
}

#[test]
fn the_wall_clock_never_ends_a_lease_but_a_jump_of_it_makes_us_look() {
    let mut now = at(1.0);
    now.wall = at(16.1).wall;
    assert_eq!(standing(LEASE, at(0.0), now), Standing::Doubtful, "paused from outside, or set forward");
    now.wall = "2020-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(standing(LEASE, at(0.0), now), Standing::Fit, "set back");
    let mut late = at(31.0);
    late.wall = at(0.0).wall;
    assert!(matches!(standing(LEASE, at(0.0), late), Standing::Over(_)));
}

#[test]
fn what_is_over_stays_over_and_says_why() {
    let state = |trouble: Option<&str>, busy| State {
        renewed: at(0.0),
        fenced: None,
        wanted: false,
        busy,
        trouble: trouble.map(str::to_owned),
    };
    let mut suspended = state(None, false);
    let why = suspended.judge(LEASE, at(95.0)).unwrap_err();
    assert_eq!(
        why.to_string(),
        "this process was suspended for 95 s, longer than its lease of 30 s; another may have taken over. It writes nothing \
         more and ends; start it again if no other is to go on"
    );
    suspended.renewed = at(95.0);
    assert_eq!(suspended.judge(LEASE, at(96.0)).unwrap_err(), why, "a late renewal heals nothing");
    let hung = state(None, true).judge(LEASE, at(40.0)).unwrap_err().to_string();
    assert!(hung.contains("or its state directory did not answer, for 40 s"), "{hung}");
    let failed = state(Some("could not write x: I/O error"), false).judge(LEASE, at(31.0)).unwrap_err();
    assert!(failed.to_string().contains("could not be renewed for 31 s (could not write x: I/O error)"));
}

fn begun(ago: Duration) -> Lease {
    let now = Moment::now();
    Lease::new(LEASE, Moment { boot: now.boot - ago, wall: now.wall - ago })
}

#[test]
fn a_doubtful_permit_waits_for_the_renewal_and_takes_its_answer() {
    for (outcome, allowed) in
        [(Ok(()), true), (Err(Trouble::Fenced(Fenced::Lost { path: "owner.lock".into() })), false)]
    {
        let lease = begun(LEASE / 2);
        let keeper = std::thread::spawn({
            let lease = lease.clone();
            move || {
                assert!(lease.await_turn(Duration::from_secs(60)), "it is asked for long before its turn");
                lease.settle(Moment::now(), outcome);
            }
        });
        assert_eq!(lease.check().is_ok(), allowed);
        keeper.join().unwrap();
        assert_eq!(lease.over().is_none(), allowed);
    }
}

#[test]
fn a_renewal_counts_from_its_beginning() {
    let lease = begun(Duration::ZERO);
    assert!(lease.await_turn(Duration::ZERO));
    let now = Moment::now();
    let began = Moment { boot: now.boot - LEASE / 2, wall: now.wall - LEASE / 2 };
    lease.settle(began, Ok(()));
    let mut state = lease.state();
    assert_eq!(state.judge(LEASE, Moment::now()).unwrap(), Standing::Doubtful, "it took half a lease");
}

#[test]
fn a_disk_in_trouble_is_forgiven_until_the_lease_is_over() {
    let lease = begun(Duration::ZERO);
    assert!(lease.await_turn(Duration::ZERO));
    lease.settle(Moment::now(), Err(Trouble::Disk("full".into())));
    lease.check().unwrap();
    assert!(lease.await_turn(Duration::ZERO));
    lease.settle(Moment::now(), Ok(()));
    assert_eq!(lease.state().trouble, None);
}

#[test]
fn who_was_silent_too_long_neither_renews_nor_gives_free() {
    let lease = begun(LEASE);
    assert!(!lease.await_turn(Duration::ZERO));
    lease.settle(Moment::now(), Ok(()));
    assert!(matches!(lease.check(), Err(Fenced::Suspended { .. })));
    assert!(matches!(lease.release(), Err(Fenced::Suspended { .. })));
}

#[test]
fn after_the_release_nothing_is_permitted() {
    let lease = begun(Duration::ZERO);
    assert_eq!(lease.release(), Ok(()));
    assert_eq!(lease.check(), Err(Fenced::Released));
    assert!(!lease.await_turn(Duration::from_secs(60)));
}

#[test]
fn the_fence_is_found_under_what_libraries_wrap_around_it() {
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);
    let error = Outer(std::io::Error::other(Fenced::Released));
    assert_eq!(cause(&error), Some(&Fenced::Released));
    assert_eq!(cause(&Outer(std::io::Error::other("x"))), None);
}
