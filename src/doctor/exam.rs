//! The questions, one after another.
use std::time::Duration;

use futures_util::future::join_all;

use super::facts::{Answered, Facts, Right, Trouble};
use crate::conf::Conf;
use crate::store::{Answer, Load, Probe, Said};

/// Writers that race for one key.
const WRITERS: usize = 8;

/// Between two attempts at a name.
const PAUSE: Duration = Duration::from_millis(500);

/// A store under examination.
pub(super) struct Exam {
    pub probe: Probe,
    pub facts: Facts,
    /// For each measurement.
    pub seconds: Duration,
    /// Most requests in flight.
    pub most: usize,
    pub range_size: u64,
    /// Bytes a second, as one large part showed it.
    pub estimate: u64,
    prefix: String,
    /// Everything is put below it.
    base: String,
    /// What is or may be in the bucket because of us.
    kept: Vec<String>,
}

/// A right, from the answer to a request that needs it. `fine`: other answers that only somebody with the right gets.
pub(super) fn right<T>(answer: &Answer<T>, fine: fn(&Said) -> bool) -> Answered {
    match answer {
        Ok(_) => Answered::Yes,
        Err(said) if fine(said) => Answered::Yes,
        Err(said) if matches!(said.status, Some(401 | 403 | 405 | 501)) => Answered::No(said.in_short()),
        Err(said) => Answered::Unknown(said.in_short()),
    }
}

/// Whether something works: an answer of the store that refuses is a no, anything else is not known.
pub(super) fn works<T>(answer: &Answer<T>) -> Answered {
    match answer {
        Ok(_) => Answered::Yes,
        Err(said) if matches!(said.status, Some(400..=499 | 501)) => Answered::No(said.in_short()),
        Err(said) => Answered::Unknown(said.in_short()),
    }
}

impl Exam {
    pub(super) fn new(conf: &Conf, probe: Probe, seconds: Duration) -> Self {
        let random = uuid::Uuid::new_v4().simple().to_string();
        let prefix = conf.store.prefix.clone();
        let base = format!("{prefix}/doctor/{}", random.get(..12).unwrap_or(&random));
        let (most, range_size) = (conf.store.parts_in_flight, conf.store.range_size);
        Self {
            probe,
            facts: Facts::unknown(conf),
            seconds,
            most,
            range_size,
            estimate: 0,
            prefix,
            base,
            kept: Vec::new(),
        }
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }

    /// Puts an object and remembers that it may be there.
    pub(super) async fn put(&mut self, key: &str, load: &Load) -> Answer<Option<String>> {
        let answer = self.probe.put(key, load).await;
        let may_be_there = answer.as_ref().err().is_none_or(|said| said.status.is_none_or(|s| s >= 500));
        if may_be_there {
            self.keeps(key);
        }
        answer
    }

    pub(super) fn keeps(&mut self, key: &str) {
        if !self.kept.iter().any(|kept| kept == key) {
            self.kept.push(key.to_owned());
        }
    }

    /// Gives an upload up; what cannot be given up is named.
    pub(super) async fn abort(&mut self, key: &str, upload: &str) {
        let answer = self.probe.abort(key, upload).await;
        let gone = |said: &Said| said.code == "NoSuchUpload";
        let allowed = right(&answer, gone);
        if !allowed.is_yes() {
            self.facts.left.push(format!("{key} (an unfinished upload)"));
        }
        if self.facts.rights.get(&Right::Abort).is_none_or(Answered::is_yes) {
            drop(self.facts.rights.insert(Right::Abort, allowed));
        }
    }

    /// Whether the first answer allows to go on.
    fn reached<T>(&mut self, what: &'static str, key: &str, answer: &Answer<T>) -> bool {
        let Err(said) = answer else { return true };
        let (error, passing) = Probe::verdict(what, key, said);
        self.facts.trouble = Some(Trouble { why: error.to_string(), passing });
        false
    }

    /// All questions to a store to which we send.
    pub(super) async fn sender(mut self) -> Facts {
        let key = self.key("hello");
        let put = self.put(&key, &Load::signed("hello doctor")).await;
        if !self.reached("accept an object", &key, &put) {
            return self.end().await;
        }
        drop(self.facts.rights.insert(Right::Put, Answered::Yes));
        let list = right(&self.probe.list(&format!("{}/", self.base)).await, |_| false);
        let head = right(&self.probe.head(&key).await, |_| false);
        let get = self.probe.get(&key, None, 100).await;
        let may_get = right(&get, |_| false);
        if may_get.is_yes() {
            self.facts.ranges = self.range(&key, &get.map(|(_, bytes)| bytes).unwrap_or_default()).await;
        }
        for (kind, answer) in [(Right::List, list), (Right::Head, head), (Right::Get, may_get)] {
            drop(self.facts.rights.insert(kind, answer));
        }
        self.sums().await;
        self.parts().await;
        self.only_new().await;
        self.keys().await;
        self.uploads_at_speed().await;
        self.end().await
    }

    /// All questions to a store from which we read.
    pub(super) async fn receiver(mut self) -> Facts {
        let below = format!("{}/", self.prefix);
        let list = self.probe.list(&below).await;
        if !self.reached("list the bucket", &below, &list) {
            return self.end().await;
        }
        drop(self.facts.rights.insert(Right::List, Answered::Yes));
        let largest = list.unwrap_or_default().into_iter().max_by_key(|(_, size)| *size);
        let missing: fn(&Said) -> bool = |said| said.status == Some(404);
        let key = largest.as_ref().map_or_else(|| self.key("nothing"), |(key, _)| key.clone());
        let head = right(&self.probe.head(&key).await, missing);
        let end = largest.as_ref().map(|(_, size)| (0, size.saturating_sub(1).min(15)));
        let got = self.probe.get(&key, end, 16).await;
        for (kind, answer) in [(Right::Head, head), (Right::Get, right(&got, missing))] {
            drop(self.facts.rights.insert(kind, answer));
        }
        match (&largest, got) {
            (Some((key, size)), Ok((_, bytes))) if *size > 8 => {
                self.facts.ranges = self.range(key, &bytes).await;
                self.downloads_at_speed(key, *size).await;
            }
            _ => {
                let why = "there is no object to read; ask again when one was sent, or after `doctor` of the other side";
                self.facts.ranges = Answered::Unknown(why.into());
            }
        }
        let key = self.key("hello");
        let put = right(&self.put(&key, &Load::signed("hello doctor")).await, |_| false);
        drop(self.facts.rights.insert(Right::Put, put));
        let begun = self.probe.begin(&key, None).await;
        drop(self.facts.rights.insert(Right::Multipart, right(&begun, |_| false)));
        if let Ok(upload) = begun {
            self.abort(&key, &upload).await;
        }
        self.end().await
    }

    /// Whether a range of an object, whose first bytes these are, comes as that range.
    async fn range(&self, key: &str, first: &[u8]) -> Answered {
        let answer = self.probe.get(key, Some((2, 6)), 100).await;
        match &answer {
            Ok((true, bytes)) if first.get(2..7) == Some(bytes.as_slice()) => Answered::Yes,
            Ok((partial, bytes)) => Answered::No(format!(
                "bytes 2-6 were asked for and {} came, {} as a part",
                bytes.len(),
                if *partial { "named" } else { "not named" }
            )),
            Err(_) => works(&answer),
        }
    }

    /// Puts that must not replace anything: one after the other, and all at once.
    async fn only_new(&mut self) {
        let load = Load { only_new: true, ..Load::signed("first") };
        let key = self.key("only-new");
        let first = self.put(&key, &load).await;
        let held = |answer: &Answer<Option<String>>| matches!(answer, Err(said) if matches!(said.status, Some(409 | 412)));
        self.facts.only_new = match (&first, self.put(&key, &load).await) {
            (Err(said), _) => Answered::No(said.in_short()),
            (Ok(_), second) if held(&second) => Answered::Yes,
            (Ok(_), Ok(_)) => Answered::No("it replaces the object all the same".into()),
            (Ok(_), Err(said)) => Answered::Unknown(said.in_short()),
        };
        if !self.facts.only_new.is_yes() {
            return;
        }
        let key = self.key("raced");
        self.keeps(&key);
        let race = (0..WRITERS).map(|n| {
            let (probe, key) = (self.probe.clone(), key.clone());
            async move {
                let load = Load { only_new: true, ..Load::signed(format!("writer {n}")) };
                probe.put(&key, &load).await
            }
        });
        let answers = join_all(race).await;
        if answers.iter().all(|answer| answer.is_ok() || held(answer)) {
            self.facts.winners = Some(answers.iter().filter(|answer| answer.is_ok()).count());
        }
    }

    /// Keys as long and as odd as ours get.
    async fn keys(&mut self) {
        let level = "x".repeat(200);
        let long = format!("{level}/{level}/{}", "y".repeat(98));
        let odd = ".odd-_+=@,name/a.b+c=d@e,f".to_owned();
        let mut found = Vec::new();
        for name in [long, odd] {
            let key = self.key(&name);
            let mut answer = works(&self.put(&key, &Load::signed("key")).await);
            // A store may break on a name instead of refusing it; what breaks twice is a no.
            if let Answered::Unknown(why) = &answer {
                tokio::time::sleep(PAUSE).await;
                answer = match works(&self.put(&key, &Load::signed("key")).await) {
                    Answered::Unknown(_) => Answered::No(format!("twice: {why}")),
                    other => other,
                };
            }
            // A store that files it under another name would be found out by whoever reads it.
            if answer.is_yes() && self.facts.rights.get(&Right::Get).is_some_and(Answered::is_yes) {
                answer = match self.probe.get(&key, None, 100).await {
                    Ok((_, bytes)) if bytes == b"key" => Answered::Yes,
                    Ok(_) => Answered::No("it was put and reads differently".into()),
                    Err(said) => Answered::No(format!("it was put and cannot be read: {}", said.in_short())),
                };
            }
            found.push(answer);
        }
        let mut found = found.into_iter();
        self.facts.long_key = found.next().unwrap_or_default();
        self.facts.odd_key = found.next().unwrap_or_default();
    }

    /// Takes away what was put, as far as the key may.
    async fn end(mut self) -> Facts {
        for key in std::mem::take(&mut self.kept) {
            let known = self.facts.rights.get(&Right::Delete);
            if matches!(known, Some(Answered::No(_))) {
                self.facts.left.push(key);
                continue;
            }
            let answer = right(&self.probe.delete(&key).await, |_| false);
            if !answer.is_yes() {
                self.facts.left.push(key);
            }
            if known.is_none_or(Answered::is_yes) {
                drop(self.facts.rights.insert(Right::Delete, answer));
            }
        }
        let aside = self.probe.aside();
        (self.facts.ahead, self.facts.server) = (aside.ahead, aside.server);
        self.facts
    }
}
