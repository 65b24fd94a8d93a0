//! Who is told what, and when; pure. The clock is handed in, what was told before comes from the memory.
//!
//! Only changes are told: a trouble begins, is still there after a long time, is over. What comes and goes is over only when it was
//! gone for a while, and for a longer one with each time that it came back, so a mount that flaps is one message and not a hundred.
use std::time::Duration;

use jiff::Timestamp;

use super::memory::{Kind, Memory, News, Open};
use super::outbox::{Outbox, digest_due};
use super::trouble::{Level, Present, Trouble};
use crate::clock::age;
use crate::conf::{ChannelConf, From, TellConf};

/// For so long it is remembered that a trouble was there before.
const LATELY: Duration = Duration::from_secs(6 * 3600);
/// The longest that something must be gone before it is over.
const CALMEST: Duration = Duration::from_secs(3600);
/// A day, and some more for a digest that comes late.
const DAY: Duration = Duration::from_secs(36 * 3600);

/// A piece of news and the channels that get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What.
    pub news: News,
    /// Names of channels.
    pub to: Vec<String>,
}

/// What is news at `now`, and what is to be remembered. The news lie in the outboxes of their channels.
pub fn decide(
    before: &Memory,
    present: &Present,
    rules: &TellConf,
    now: Timestamp,
) -> (Vec<Message>, Memory) {
    let mut after = before.clone();
    let mut messages = Vec::new();
    forget(&mut after, rules, now);
    for channel in &rules.channels {
        let _there = after.channels.entry(channel.name.clone()).or_insert_with(|| Outbox::new(now));
    }
    happened(&mut after, present, rules, now, &mut messages);
    begun(&mut after, present, rules, now, &mut messages);
    lasting(&mut after, present, rules, now, &mut messages);
    over(&mut after, present, rules, now, &mut messages);
    for Message { news, to } in &messages {
        after.note(news);
        for name in to {
            if let Some(outbox) = after.channels.get_mut(name) {
                outbox.put(news.clone());
            }
        }
    }
    (messages, after)
}

/// Channels whose digest is due at `now`.
pub fn digests<'a>(
    memory: &Memory,
    rules: &'a TellConf,
    now: Timestamp,
) -> Vec<(&'a ChannelConf, Timestamp)> {
    let due = |channel: &'a ChannelConf| {
        let outbox = memory.channels.get(&channel.name)?;
        digest_due(channel.digest?, outbox.last_digest, now).map(|_| (channel, outbox.last_digest))
    };
    rules.channels.iter().filter_map(due).collect()
}

fn forget(after: &mut Memory, rules: &TellConf, now: Timestamp) {
    after.channels.retain(|name, _| rules.channels.iter().any(|c| c.name == *name));
    after.day.retain(|past| age(past.at, now) < DAY);
    after.lately.retain(|_, times| {
        times.retain(|at| age(*at, now) < LATELY);
        !times.is_empty()
    });
}

/// Channels that get news of this level.
fn of_level(rules: &TellConf, level: Level) -> Vec<String> {
    let wants = |channel: &&ChannelConf| match channel.from_level {
        From::Notice => true,
        From::Alarm => level == Level::Alarm,
        From::None => false,
    };
    rules.channels.iter().filter(wants).map(|channel| channel.name.clone()).collect()
}

fn happened(after: &mut Memory, present: &Present, rules: &TellConf, now: Timestamp, out: &mut Vec<Message>) {
    let mut say = |level, what: String, times| {
        let news = News { at: now, kind: Kind::Happened, level, what, about: None, since: now, times };
        out.push(Message { news, to: of_level(rules, level) });
    };
    if present.started.is_some() && after.start != present.started {
        after.start = present.started;
        after.restarts.clear();
        if let Some(last_words) = &present.crashed {
            let how = last_words.as_deref().unwrap_or("without a word, as after a kill or a power cut");
            let what = format!(
                "the daemon was restarted: the one before it ended {how}. `tsd-import review` tells more"
            );
            say(Level::Alarm, what, 1);
        }
    }
    for (actor, count) in &present.restarts {
        let told = after.restarts.entry(actor.clone()).or_default();
        let more = count.saturating_sub(*told);
        if more > 0 {
            let what = format!(
                "actor {actor} failed and was restarted: `tsd-import review --actor {actor}` tells why"
            );
            say(Level::Notice, what, u32::try_from(more).unwrap_or(u32::MAX));
        }
        *told = *count;
    }
}

fn news(at: Timestamp, kind: Kind, open: &Open, times: u32) -> News {
    let Open { level, what, about, since, .. } = open.clone();
    News { at, kind, level, what, about, since, times }
}

fn begun(after: &mut Memory, present: &Present, rules: &TellConf, now: Timestamp, out: &mut Vec<Message>) {
    for (key, trouble) in &present.troubles {
        if let Some(open) = after.open.get_mut(key) {
            open.gone = None;
            continue;
        }
        if !trouble.ripe {
            continue;
        }
        let Trouble { level, what, about, since, .. } = trouble.clone();
        let times = after.lately.entry(key.clone()).or_default();
        times.push(now);
        let times = u32::try_from(times.len()).unwrap_or(u32::MAX);
        let to = of_level(rules, level);
        let told = to.iter().cloned().collect();
        let open = Open { level, what, about, since, opened: now, gone: None, steps: 0, told };
        out.push(Message { news: news(now, Kind::Opened, &open, times), to });
        drop(after.open.insert(key.clone(), open));
    }
}

fn lasting(after: &mut Memory, present: &Present, rules: &TellConf, now: Timestamp, out: &mut Vec<Message>) {
    let to: Vec<String> = rules
        .channels
        .iter()
        .filter(|channel| channel.escalate)
        .map(|channel| channel.name.clone())
        .collect();
    for (key, open) in after.open.iter_mut().filter(|(_, open)| open.level == Level::Alarm) {
        let Some(trouble) = present.troubles.get(key) else { continue };
        let due = rules.escalate.iter().filter(|step| age(open.opened, now) >= **step).count();
        if due <= open.steps {
            continue;
        }
        open.steps = due; // of several that are due at once, as after a night without a process, one is told
        open.what.clone_from(&trouble.what);
        open.told.extend(to.iter().cloned());
        out.push(Message { news: news(now, Kind::Escalated, open, 1), to: to.clone() });
    }
}

fn over(after: &mut Memory, present: &Present, rules: &TellConf, now: Timestamp, out: &mut Vec<Message>) {
    let mut ended = Vec::new();
    for (key, open) in after.open.iter_mut().filter(|(key, _)| !present.troubles.contains_key(*key)) {
        let gone = *open.gone.get_or_insert(now);
        let times = after.lately.get(key).map_or(1, Vec::len).clamp(1, 16);
        let calm = rules.calm.saturating_mul(1 << (times - 1)).min(CALMEST.max(rules.calm));
        if age(gone, now) >= calm {
            ended.push(key.clone());
        }
    }
    for key in ended {
        let Some(open) = after.open.remove(&key) else { continue };
        let there = |name: &&String| rules.channels.iter().any(|channel| channel.name == **name);
        let to = open.told.iter().filter(there).cloned().collect();
        out.push(Message { news: news(now, Kind::Cleared, &open, 1), to });
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
pub(super) mod tests;
