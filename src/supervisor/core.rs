//! What a supervisor decides, as a pure state machine: inputs with their time go in, actions come out.
//!
//! The actor in [`super`] performs the actions; the same decisions are run through thousands of random lives in the tests.
//! Children stand in start order, sink first: a *senior* starts earlier and stops later than its *juniors*.
//!
//! ```text
//!            exit              due, seniors up          first poll done
//!   Up ───────────────▶ Down ───────────────▶ Rising ───────────────▶ Up
//!   │ stop, senior fell   │ budget used up, not to be restarted
//!   ▼                     ▼
//!   Draining ──▶ Parked  Gone            Parked ── seniors up ──▶ Rising
//! ```
use std::collections::VecDeque;
use std::time::Duration;

use super::cage::Exit;
use super::incident::{Action, Incident};
use super::limits::Limits;
use super::spec::{Restart, Strategy};

/// What is fixed about a child.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub id: &'static str,
    pub restart: Restart,
    /// Nothing useful can go on without it.
    pub significant: bool,
}

/// Where a child is in its life. Times are those of the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Up {
        since: Duration,
    },
    Down {
        fell: Duration,
        due: Duration,
    },
    /// Told to begin; `fell` is none when it was only parked.
    Rising {
        fell: Option<Duration>,
    },
    Draining,
    /// Brought down for the sake of a senior that fell; comes up with it.
    Parked,
    /// Down, and stays so.
    Gone,
}

/// How a drain ended. One that cannot even be killed is a failure: [`Core::fell`] with [`Exit::Blocked`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    Clean,
    /// Killed at its deadline; what it had in hand is resumed at the next start.
    CutOff,
}

/// What there is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Do {
    Restart(usize),
    Kill(usize),
    Drain(usize),
    /// Call [`Core::tick`] after this time.
    TickIn(Duration),
    Report(Incident),
    /// The child gave its first sign of life after a failure, this long after it.
    Recovered {
        child: usize,
        down: Duration,
    },
    /// All children are down: the end.
    End(Result<(), String>),
}

#[derive(Debug)]
struct Child {
    policy: Policy,
    life: Life,
    incarnation: u64,
    restarts: u64,
    streak: u32,
    /// Failures within the period.
    recent: VecDeque<Duration>,
}

#[derive(Debug)]
pub(super) struct Core {
    children: Vec<Child>,
    strategy: Strategy,
    pub limits: Limits,
    /// Set once: everything goes down in order, and this is what `main` is told.
    stopping: Option<Result<(), String>>,
    ended: bool,
}

impl Core {
    pub fn new(strategy: Strategy, limits: Limits, policies: Vec<Policy>, now: Duration) -> Self {
        let child = |policy| Child {
            policy,
            life: Life::Up { since: now },
            incarnation: 1,
            restarts: 0,
            streak: 0,
            recent: VecDeque::new(),
        };
        let children = policies.into_iter().map(child).collect();
        Self { children, strategy, limits, stopping: None, ended: false }
    }

    pub fn life(&self, i: usize) -> Life {
        self.children[i].life
    }

    pub fn restarts(&self, i: usize) -> u64 {
        self.children[i].restarts
    }

    /// Whether a sign of life is expected of it.
    pub fn is_up(&self, i: usize) -> bool {
        matches!(self.life(i), Life::Up { .. } | Life::Rising { .. })
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// An incarnation ended by itself or was killed. An exit of an earlier incarnation is old news.
    pub fn fell(
        &mut self,
        now: Duration,
        dice: f64,
        i: usize,
        incarnation: u64,
        exit: Exit,
        in_hand: Vec<String>,
    ) -> Vec<Do> {
        let life = self.life(i);
        let as_asked = life == Life::Draining && matches!(exit, Exit::Normal | Exit::Killed);
        if incarnation != self.children[i].incarnation
            || as_asked // `drained` follows
            || matches!(life, Life::Down { .. } | Life::Parked | Life::Gone)
        {
            return Vec::new();
        }
        let may_end = self.children[i].policy.restart != Restart::Permanent || self.is_stopping();
        if exit == Exit::Normal && may_end {
            return self.ended_well(now, i);
        }
        let why = format!("{}: {}: {}", self.children[i].policy.id, exit.word(), exit.detail());
        let (incident, cause) = self.judge(now, dice, i, exit, in_hand);
        let (action, delay) = (incident.action, incident.next_delay.unwrap_or_default());
        let mut todo = vec![Do::Report(incident)];
        match action {
            Action::Restart => {
                self.children[i].life = Life::Down { fell: now, due: now + delay };
                todo.push(Do::TickIn(delay));
                if self.strategy == Strategy::RestForOne {
                    self.bring_down_juniors(i, &mut todo);
                }
            }
            Action::GivenUp => {
                self.children[i].life = Life::Gone;
                todo.extend(self.tick(now)); // juniors that were parked for its sake go on without it
            }
            Action::ProcessEnds => {
                self.children[i].life = Life::Gone;
                self.worsen(format!("{why} ({cause})"));
                self.go_on_stopping(&mut todo);
            }
            Action::Stopping => {
                if self.is_stopping() {
                    self.worsen(format!(
                        "{why} (while it was stopped; its work is resumed at the next start)"
                    ));
                }
                if life != Life::Draining {
                    self.children[i].life = Life::Gone;
                    self.go_on_stopping(&mut todo);
                }
            }
        }
        todo
    }

    /// A failure: what is done about it, as a complete record.
    fn judge(
        &mut self,
        now: Duration,
        dice: f64,
        i: usize,
        exit: Exit,
        in_hand: Vec<String>,
    ) -> (Incident, String) {
        let (limits, stopping) = (self.limits, self.is_stopping());
        let child = &mut self.children[i];
        let quiet =
            matches!(child.life, Life::Up { since } if now.saturating_sub(since) >= limits.reset_after);
        child.streak = if quiet { 1 } else { child.streak.saturating_add(1) };
        child.recent.push_back(now);
        child.recent.retain(|at| now.saturating_sub(*at) <= limits.period);
        let (failures, streak, incarnation) = (child.recent.len(), child.streak, child.incarnation);
        let (policy, draining) = (child.policy, child.life == Life::Draining);
        let delay = limits.backoff.delay(streak, dice);
        let (action, cause) = if matches!(exit, Exit::Fatal(_) | Exit::Blocked) {
            (Action::ProcessEnds, "no restart can mend this".to_owned())
        } else if draining || stopping {
            (Action::Stopping, String::new())
        } else if policy.restart == Restart::Temporary {
            (self.without(i), "it is not restarted".to_owned())
        } else if failures > limits.max_restarts {
            (self.without(i), format!("more than {} restarts in {:?}", limits.max_restarts, limits.period))
        } else {
            (Action::Restart, String::new())
        };
        let outcome = match action {
            Action::Restart => format!("restarted in {} ms", delay.as_millis()),
            Action::GivenUp => format!("{cause}: it stays down, the others go on"),
            Action::ProcessEnds => format!("{cause}: the process ends"),
            Action::Stopping => "it was being stopped anyway".to_owned(),
        };
        let incident = Incident {
            actor: policy.id,
            incarnation,
            exit,
            in_hand,
            streak,
            budget_left: limits.max_restarts.saturating_sub(failures),
            next_delay: (action == Action::Restart).then_some(delay),
            action,
            outcome,
        };
        (incident, cause)
    }

    /// A child came to its end as it may.
    fn ended_well(&mut self, now: Duration, i: usize) -> Vec<Do> {
        let mut todo = Vec::new();
        self.children[i].life = Life::Gone;
        let policy = self.children[i].policy;
        let all_gone = self.children.iter().all(|c| c.life == Life::Gone);
        if self.stopping.is_none() && (policy.significant || all_gone) {
            let failed = self.children.iter().any(|c| !c.recent.is_empty());
            let verdict = if failed { Err(format!("{}: ended after failures", policy.id)) } else { Ok(()) };
            self.stopping = Some(verdict);
        }
        if self.is_stopping() {
            self.go_on_stopping(&mut todo);
        } else {
            todo.extend(self.tick(now));
        }
        todo
    }

    /// The end is near, and it is not a good one; the first reason counts.
    fn worsen(&mut self, why: String) {
        if !matches!(self.stopping, Some(Err(_))) {
            self.stopping = Some(Err(why));
        }
    }

    /// What follows when this child is not restarted: the others go on where that makes sense.
    fn without(&self, i: usize) -> Action {
        let others = self.children.iter().enumerate().any(|(k, c)| k != i && c.life != Life::Gone);
        if self.children[i].policy.significant || !others { Action::ProcessEnds } else { Action::GivenUp }
    }

    fn bring_down_juniors(&mut self, i: usize, todo: &mut Vec<Do>) {
        for k in (i + 1..self.children.len()).rev() {
            if self.is_up(k) {
                self.children[k].life = Life::Draining;
                todo.push(Do::Drain(k));
            }
        }
    }

    /// Time went on: whoever is due begins again.
    pub fn tick(&mut self, now: Duration) -> Vec<Do> {
        let mut todo = Vec::new();
        if self.stopping.is_some() {
            return todo;
        }
        for i in 0..self.children.len() {
            let fell = match self.life(i) {
                Life::Down { fell, due } if now >= due => Some(fell),
                Life::Parked => None,
                _ => continue,
            };
            if self.strategy == Strategy::RestForOne {
                let (seniors, juniors) = (&self.children[..i], &self.children[i + 1..]);
                let up = |c: &Child| matches!(c.life, Life::Up { .. } | Life::Gone);
                if !seniors.iter().all(up) || juniors.iter().any(|c| c.life == Life::Draining) {
                    continue; // asked again when that changes
                }
            }
            let child = &mut self.children[i];
            child.life = Life::Rising { fell };
            child.incarnation += 1;
            child.restarts += 1;
            todo.push(Do::Restart(i));
        }
        todo
    }

    /// An incarnation gave its first sign of life.
    pub fn risen(&mut self, now: Duration, i: usize, incarnation: u64) -> Vec<Do> {
        let mut todo = Vec::new();
        let child = &mut self.children[i];
        if let (Life::Rising { fell }, true) = (child.life, incarnation == child.incarnation) {
            child.life = Life::Up { since: now };
            todo.extend(fell.map(|fell| Do::Recovered { child: i, down: now.saturating_sub(fell) }));
            todo.extend(self.tick(now));
        }
        todo
    }

    /// No sign of life for longer than allowed.
    pub fn silent(&mut self, i: usize) -> Vec<Do> {
        if self.is_up(i) && self.stopping.is_none() { vec![Do::Kill(i)] } else { Vec::new() }
    }

    /// A drain ended.
    pub fn drained(&mut self, now: Duration, i: usize, how: Drained) -> Vec<Do> {
        let mut todo = Vec::new();
        if self.life(i) != Life::Draining {
            return todo;
        }
        if self.stopping.is_none() {
            self.children[i].life = Life::Parked;
            return self.tick(now);
        }
        self.children[i].life = Life::Gone;
        if how == Drained::CutOff {
            let id = self.children[i].policy.id;
            self.worsen(format!("{id} was cut off at its deadline; its work is resumed at the next start"));
        }
        self.go_on_stopping(&mut todo);
        todo
    }

    /// Stop all, juniors first. A second order changes nothing.
    pub fn stop(&mut self, verdict: Result<(), String>) -> Vec<Do> {
        let mut todo = Vec::new();
        if self.stopping.is_none() {
            self.stopping = Some(verdict);
            self.go_on_stopping(&mut todo);
        }
        todo
    }

    /// One at a time: a junior may still hand something to its senior while it drains.
    fn go_on_stopping(&mut self, todo: &mut Vec<Do>) {
        for child in &mut self.children {
            if matches!(child.life, Life::Down { .. } | Life::Parked) {
                child.life = Life::Gone;
            }
        }
        if self.children.iter().any(|c| c.life == Life::Draining) {
            return;
        }
        match (0..self.children.len()).rev().find(|i| self.is_up(*i)) {
            Some(i) => {
                self.children[i].life = Life::Draining;
                todo.push(Do::Drain(i));
            }
            None if !std::mem::replace(&mut self.ended, true) => {
                todo.push(Do::End(self.stopping.clone().unwrap_or(Ok(()))));
            }
            None => {}
        }
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
