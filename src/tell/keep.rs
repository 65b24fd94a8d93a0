//! Performs what was decided: looks once a second, keeps the memory, lets messages leave.
//!
//! The state directory may hang, and so may every server: each is waited for beside the looking, with a deadline, one call at a time.
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::decide::{decide, digests};
use super::digest::digest;
use super::letter::{Letter, Speaker};
use super::memory::{Kind, Memory, News};
use super::names::Known;
use super::pseudonym::Key;
use super::scrub::Scrubber;
use super::send::{Files, send};
use super::trouble::{Level, present};
use crate::chain;
use crate::clock;
use crate::conf::{ChannelConf, Names, Role, TellConf};
use crate::journal::Journal;
use crate::snapshot::Snapshot;
use crate::supervisor::{Dice, runtime};

const EVERY: Duration = Duration::from_secs(1);
/// Messages leave although the memory could not be written within this time: twice is better than never.
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);
/// Before one that fell begins again.
const AGAIN: Duration = Duration::from_secs(10);

/// How a channel is, for `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelStatus {
    /// Its name.
    pub name: String,
    /// `mail`, `webhook` or `command`.
    pub kind: String,
    /// News that wait to leave.
    pub waiting: usize,
    /// News that were dropped and not yet said.
    pub lost: u64,
    /// The last message that left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sent: Option<Timestamp>,
    /// Since when it cannot send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl std::fmt::Display for ChannelStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, kind, waiting, lost, .. } = self;
        write!(f, "{name} ({kind})")?;
        match (self.failing_since, &self.why) {
            (Some(since), Some(why)) => {
                write!(
                    f,
                    " cannot send since {}: {why}; {waiting} piece(s) of news wait",
                    crate::review::minute(since)
                )?;
            }
            _ => match self.last_sent {
                Some(at) => write!(f, ": last message {}", crate::review::minute(at))?,
                None => write!(f, ": no message yet")?,
            },
        }
        if *lost > 0 {
            write!(f, "; {lost} piece(s) of news were lost")?;
        }
        Ok(())
    }
}

/// Where channels show how they are; clones share.
#[derive(Clone, Default)]
pub struct Board(Arc<Mutex<Vec<ChannelStatus>>>);

impl Board {
    /// As of the last look.
    pub fn now(&self) -> Vec<ChannelStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn show(&self, rules: &TellConf, memory: &Memory) {
        let of = |channel: &ChannelConf| {
            let outbox = memory.channels.get(&channel.name)?;
            Some(ChannelStatus {
                name: channel.name.clone(),
                kind: channel.via.word().to_owned(),
                waiting: outbox.waiting.len(),
                lost: outbox.lost,
                last_sent: outbox.last_sent,
                failing_since: outbox.failing.as_ref().map(|failing| failing.since),
                why: outbox.failing.as_ref().map(|failing| failing.why.clone()),
            })
        };
        let all = rules.channels.iter().filter_map(of).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = all;
    }
}

/// What telling needs.
#[derive(Clone)]
pub struct Teller {
    /// Where the memory and the key of pseudonyms lie.
    pub state_dir: PathBuf,
    /// Which side.
    pub role: Role,
    /// Which host.
    pub host: String,
    /// The truth.
    pub journal: Journal,
    /// The present.
    pub latest: watch::Receiver<Option<Arc<Snapshot>>>,
    /// As configured now.
    pub rules: watch::Receiver<TellConf>,
    /// Where channels show how they are.
    pub board: Board,
}

/// Tells until aborted. One that falls is said in the log and begins again: nobody's work depends on it.
pub async fn keep(teller: Teller) {
    loop {
        let mut task = JoinSet::new(); // ends with us
        let _runs = task.spawn_on(teller.clone().run(), runtime().handle());
        let fell = task
            .join_next()
            .await
            .and_then(Result::err)
            .map_or("it ended".to_owned(), |fell| fell.to_string());
        tracing::error!(why = fell, again = ?AGAIN, "telling fell; it begins again");
        tokio::time::sleep(AGAIN).await;
    }
}

/// How an attempt ended: of which channel, how many news went with it, how many lost ones it told of.
struct Ended {
    channel: String,
    count: usize,
    lost: u64,
    sent: Result<(), String>,
}

/// One life of the teller.
struct Life {
    teller: Teller,
    memory: Memory,
    /// The memory is not on the disk as it is.
    dirty: bool,
    writing: JoinSet<Result<(), String>>,
    /// What was said about writing.
    trouble: Option<String>,
    /// Channels with an attempt under way.
    busy: BTreeSet<String>,
    attempts: JoinSet<()>,
    ends: mpsc::Sender<Ended>,
    files: Files,
    dice: Dice,
}

impl Teller {
    async fn run(self) {
        let dir = self.state_dir.clone();
        let read = runtime().spawn_blocking(move || Memory::read(&dir)).await;
        let memory = match read {
            Ok(Ok(memory)) => memory,
            Ok(Err(e)) => {
                tracing::error!(error = %chain(&e), "could not read what was told before: what is open is told once more");
                Memory::default()
            }
            Err(fell) => {
                tracing::error!(error = %fell, "reading what was told before fell: what is open is told once more");
                Memory::default()
            }
        };
        let (ends, mut ended) = mpsc::channel(64);
        let mut life = Life {
            teller: self,
            memory,
            dirty: false,
            writing: JoinSet::new(),
            trouble: None,
            busy: BTreeSet::new(),
            attempts: JoinSet::new(),
            ends,
            files: Files::default(),
            dice: Dice::shaken(),
        };
        loop {
            tokio::time::sleep(EVERY).await;
            fail::fail_point!("teller");
            while let Ok(end) = ended.try_recv() {
                life.end(end);
            }
            while life.attempts.try_join_next().is_some() {}
            life.look().await;
        }
    }
}

impl Life {
    async fn look(&mut self) {
        let rules = self.teller.rules.borrow().clone();
        if rules.channels.is_empty() && self.memory == Memory::default() {
            return;
        }
        let Some(seen) = self.teller.latest.borrow().clone() else { return };
        let now = clock::now();
        let before = self.memory.clone();
        // On the way out actors go down because they are told to.
        if seen.stopping.is_none() {
            let present = present(&seen, &self.teller.journal.view(), rules.degraded, now);
            let (_messages, after) = decide(&self.memory, &present, &rules, now);
            self.memory = after;
            self.summaries(&rules, now);
        }
        for (name, outbox) in &mut self.memory.channels {
            let lost = outbox.lost;
            outbox.expire(rules.give_up, now);
            if outbox.lost > lost {
                let lost = outbox.lost;
                tracing::error!(channel = name, lost, "news could not be sent for too long and were dropped");
            }
        }
        self.dirty |= self.memory != before;
        self.teller.board.show(&rules, &self.memory);
        self.write().await;
        self.leave(&rules, &seen, now).await;
    }

    fn summaries(&mut self, rules: &TellConf, now: Timestamp) {
        for (channel, since) in digests(&self.memory, rules, now) {
            let what = digest(self.teller.role, &self.teller.journal.view(), &self.memory, since, now);
            let (kind, level, about) = (Kind::Digest, Level::Notice, None);
            if let Some(outbox) = self.memory.channels.get_mut(&channel.name) {
                outbox.put(News { at: now, kind, level, what, about, since, times: 1 });
                outbox.last_digest = now;
            }
        }
    }

    /// Writes the memory if it changed; waits for it, but not for long.
    async fn write(&mut self) {
        if self.dirty && self.writing.is_empty() {
            let (memory, dir) = (self.memory.clone(), self.teller.state_dir.clone());
            let write = move || memory.write(&dir).map_err(|e| chain(&e));
            let _runs = self.writing.spawn_blocking_on(write, runtime().handle());
            self.dirty = false;
        }
        let said = match timeout(WRITTEN_WITHIN, self.writing.join_next()).await {
            Ok(None) => return,
            Ok(Some(Ok(Ok(())))) => None,
            Ok(Some(Ok(Err(why)))) => Some(why),
            Ok(Some(Err(fell))) => Some(fell.to_string()),
            Err(_) => Some("the state directory does not answer".to_owned()),
        };
        self.dirty |= said.is_some();
        if said.is_some() && said != self.trouble {
            tracing::warn!(
                error = said,
                "could not keep what was told; after a restart some of it may be told twice"
            );
        }
        self.trouble = said;
    }

    /// Lets leave what is due.
    async fn leave(&mut self, rules: &TellConf, seen: &Arc<Snapshot>, now: Timestamp) {
        let due = |channel: &&ChannelConf| {
            let outbox = self.memory.channels.get(&channel.name);
            !self.busy.contains(&channel.name) && outbox.is_some_and(|o| o.due(channel, rules, now).is_some())
        };
        let due: Vec<&ChannelConf> = rules.channels.iter().filter(due).collect();
        if due.is_empty() {
            return;
        }
        let scrubber = match rules.names {
            Names::Plain => Ok(None),
            Names::Pseudonym => self.scrubber(seen.clone()).await.map(Some),
        };
        let (role, host) = (self.teller.role.to_string(), self.teller.host.clone());
        let speaker = Speaker { role, host };
        for channel in due {
            let Some(outbox) = self.memory.channels.get(&channel.name) else { continue };
            let (count, lost) = (outbox.waiting.len(), outbox.lost);
            let name = channel.name.clone();
            let scrubber = match &scrubber {
                Ok(scrubber) => scrubber.as_ref(),
                Err(why) => {
                    // Nothing leaves with names in it because they cannot be taken out.
                    let why = format!("names cannot be replaced: {why}");
                    self.end(Ended { channel: name, count, lost, sent: Err(why) });
                    continue;
                }
            };
            let letter = Letter::compose(&speaker, outbox.waiting.iter(), lost, scrubber, now);
            let (channel, files, ends) = (channel.clone(), self.files.clone(), self.ends.clone());
            let _new = self.busy.insert(channel.name.clone());
            let attempt = async move {
                let sent = send(&channel, &letter, &files).await;
                // An error only if nobody listens any more: the process ends.
                drop(ends.send(Ended { channel: channel.name, count, lost, sent }).await);
            };
            let _runs = self.attempts.spawn_on(attempt, runtime().handle());
        }
    }

    async fn scrubber(&self, seen: Arc<Snapshot>) -> Result<Scrubber, String> {
        let (dir, journal) = (self.teller.state_dir.clone(), self.teller.journal.clone());
        let made = move || {
            let key = Key::of(&dir).map_err(|e| chain(&e))?;
            let known = Known::of(&journal.view(), Some(&seen));
            Scrubber::new(key, &known)
        };
        let making = runtime().spawn_blocking(made);
        match timeout(WRITTEN_WITHIN, making).await {
            Ok(Ok(made)) => made,
            Ok(Err(fell)) => Err(fell.to_string()),
            Err(_) => Err("the state directory does not answer".into()),
        }
    }

    fn end(&mut self, end: Ended) {
        let Ended { channel, count, lost, sent } = end;
        let _was = self.busy.remove(&channel);
        let Some(outbox) = self.memory.channels.get_mut(&channel) else { return };
        let now = clock::now();
        match sent {
            Ok(()) => {
                if outbox.left(count, lost, now) {
                    tracing::info!(channel, "the channel sends again");
                }
                tracing::debug!(channel, count, "told");
            }
            Err(why) => {
                if outbox.failed(why.clone(), self.dice.roll(), now) {
                    tracing::warn!(channel, why, "could not tell; it is tried again");
                }
            }
        }
        self.dirty = true;
    }
}
