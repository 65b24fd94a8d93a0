//! Turns, bounds, and that nobody is forgotten.
use proptest::prelude::*;

use super::*;

fn ask(urgency: u8, flow: u64, bytes: u64) -> Ask {
    Ask { urgency, flow, bytes }
}

/// Everybody who may go now, in order.
fn grants(queue: &mut Queue, limit: usize) -> Vec<Ticket> {
    std::iter::from_fn(|| queue.grant(limit)).collect()
}

#[test]
fn urgent_overtakes_at_the_next_part() {
    let mut queue = Queue::new(100);
    let normal: Vec<Ticket> = (0..10).map(|_| queue.enter(ask(0, 1, 10))).collect();
    assert_eq!(grants(&mut queue, 4), normal[..4]);
    let urgent = queue.enter(ask(2, 2, 10));
    let high = queue.enter(ask(1, 3, 10));
    queue.leave(normal[0]);
    assert_eq!(grants(&mut queue, 4), [urgent]);
    queue.leave(normal[1]);
    assert_eq!(grants(&mut queue, 4), [high]);
    queue.leave(normal[2]);
    assert_eq!(grants(&mut queue, 4), [normal[4]]);
    assert_eq!(queue.waiting(), [(0, 5)].into());
}

#[test]
fn packages_share_however_much_each_of_them_asks_for() {
    let mut queue = Queue::new(1000);
    let small: Vec<Ticket> = (0..2000).map(|_| queue.enter(ask(0, 1, 1))).collect();
    let large: Vec<Ticket> = (0..3).map(|_| queue.enter(ask(0, 2, 16))).collect();
    let begun = grants(&mut queue, 6);
    assert_eq!(begun, [small[0], large[0], small[1], large[1], small[2], large[2]]);
    // What is done gives its place to its own kind as long as the other has its half.
    queue.leave(small[0]);
    assert_eq!(grants(&mut queue, 6), [small[3]]);
    queue.leave(large[0]);
    let more = queue.enter(ask(0, 2, 16));
    assert_eq!(grants(&mut queue, 6), [more]);
}

#[test]
fn who_wants_more_memory_than_there_is_gets_all_of_it_alone() {
    let mut queue = Queue::new(100);
    let first = queue.enter(ask(0, 1, 1));
    assert_eq!(grants(&mut queue, 8), [first]);
    let giant = queue.enter(ask(0, 2, 1_000_000));
    assert!(grants(&mut queue, 8).is_empty());
    queue.leave(first);
    assert_eq!(grants(&mut queue, 8), [giant]);
    assert_eq!(queue.used(), 100);
    let small = queue.enter(ask(9, 3, 1));
    assert!(grants(&mut queue, 8).is_empty());
    queue.leave(giant);
    assert_eq!(grants(&mut queue, 8), [small]);
}

/// Small ones go by, also of the same package, but not for ever, and not even when they are more urgent.
#[test]
fn a_large_one_without_memory_is_passed_and_not_starved() {
    for urgency in [0, 2] {
        let mut queue = Queue::new(100);
        let holder = queue.enter(ask(0, 1, 90));
        assert_eq!(grants(&mut queue, 8), [holder]);
        let large = queue.enter(ask(0, 2, 50));
        let mut passed = 0;
        loop {
            let small = queue.enter(ask(urgency, 2, 5));
            let now = grants(&mut queue, 8);
            if now.is_empty() {
                break;
            }
            assert_eq!(now, [small]);
            queue.leave(small);
            passed += 1;
            assert!(passed <= OVERTAKES.max(PASSES), "for ever");
        }
        assert!(passed > 0, "it passes while there is nothing else for its room");
        queue.leave(holder);
        assert_eq!(grants(&mut queue, 8)[0], large);
    }
}

/// The large one is urgent, so it is not the oldest: small normal ones must not eat up what becomes free for it.
#[test]
fn memory_is_kept_for_an_urgent_large_one() {
    let mut queue = Queue::new(100);
    let mut hand: Vec<Ticket> = (0..20).map(|_| queue.enter(ask(0, 1, 5))).collect();
    assert_eq!(grants(&mut queue, 50).len(), 20);
    for _ in 0..200 {
        let _waits = queue.enter(ask(0, 1, 5));
    }
    let urgent = queue.enter(ask(2, 2, 60));
    for turns in 0.. {
        assert!(turns < 60, "it starves");
        queue.leave(hand.remove(0));
        let now = grants(&mut queue, 50);
        if now.contains(&urgent) {
            break;
        }
        hand.extend(now);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Enter(Ask),
    /// One of those that hold or wait, by chance.
    LeaveHeld(usize),
    LeaveWaiting(usize),
    Limit(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0u8..3, 0u64..4, prop_oneof![0u64..10, 0u64..300]).prop_map(|(u, f, b)| Step::Enter(ask(u, f, b))),
        4 => any::<prop::sample::Index>().prop_map(|i| Step::LeaveHeld(i.index(1 << 20))),
        1 => any::<prop::sample::Index>().prop_map(|i| Step::LeaveWaiting(i.index(1 << 20))),
        1 => (1usize..10).prop_map(Step::Limit),
    ]
}

proptest! {
    /// Whatever comes and goes: never above the bounds, and never idle while the oldest could go and nothing is kept for anybody.
    #[test]
    fn the_bounds_hold_and_everybody_is_served(steps in proptest::collection::vec(step(), 1..300)) {
        let (mut queue, mut limit) = (Queue::new(100), 4);
        let (mut held, mut waiting): (Vec<Ticket>, Vec<Ticket>) = Default::default();
        for step in steps {
            match step {
                Step::Enter(ask) => waiting.push(queue.enter(ask)),
                Step::LeaveHeld(n) if !held.is_empty() => queue.leave(held.swap_remove(n % held.len())),
                Step::LeaveWaiting(n) if !waiting.is_empty() => queue.leave(waiting.swap_remove(n % waiting.len())),
                Step::Limit(n) => limit = n,
                Step::LeaveHeld(_) | Step::LeaveWaiting(_) => {}
            }
            let before = held.len();
            for ticket in grants(&mut queue, limit) {
                waiting.retain(|t| *t != ticket);
                held.push(ticket);
            }
            prop_assert!(held.len() <= limit.max(before));
            prop_assert_eq!((queue.held(), queue.anybody_waits()), (held.len(), !waiting.is_empty()));
            let sum: u64 = queue.held.values().map(|a| a.bytes).sum();
            prop_assert!(queue.used() == sum && sum <= 100);
            prop_assert!(!held.is_empty() || waiting.is_empty(), "somebody waits for nothing");
        }
        // No more come: as those in hand finish, all are served.
        while !held.is_empty() {
            queue.leave(held.remove(0));
            held.extend(grants(&mut queue, limit));
        }
        prop_assert!(!queue.anybody_waits());
        prop_assert!(queue.flows.is_empty() && queue.lines.is_empty() && queue.used() == 0);
    }

    /// However urgent and however small what keeps coming is.
    #[test]
    fn the_wait_is_bounded(
        before in 0usize..5,
        poor in prop_oneof![1u64..10, 60u64..200],
        arrivals in proptest::collection::vec((0usize..4, 0u8..3, 1u64..40), 400),
    ) {
        let (mut queue, mut held) = (Queue::new(100), Vec::new());
        for n in 0..before {
            let _waits = queue.enter(ask(0, n as u64, 10));
        }
        let poor = queue.enter(ask(0, 77, poor));
        let (bound, mut granted) = ((OVERTAKES as usize + 1) * (before + 1), 0);
        for (count, urgency, bytes) in arrivals {
            for n in 0..count {
                let _waits = queue.enter(ask(urgency, n as u64, bytes));
            }
            if !held.is_empty() {
                queue.leave(held.remove(0));
            }
            for ticket in grants(&mut queue, 4) {
                granted += 1;
                held.push(ticket);
                if ticket == poor {
                    prop_assert!(granted <= bound, "after {granted} grants");
                    return Ok(());
                }
            }
        }
        prop_assert!(granted < bound, "it still waits after {granted} grants");
    }
}
