//! The questions, one after another.
use std::time::Duration;

use super::addressing::Elsewhere;
use super::facts::{Answered, Facts, Right, Trouble};
use super::refusal::{Pauses, is_about_the_request, settled};
use crate::conf::{Conf, Side};
use crate::store::{Answer, Load, NoBell, Probe, Said, StoreError};

/// After what was not examined for want of an object.
const ASK_AGAIN: &str = "run doctor on the nsc side, then here again, or do so when something was sent";

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
    /// Before an answer that may be of the moment is asked for again.
    pub pauses: Pauses,
    /// An object that was completed of parts.
    pub completed: Option<String>,
    pub elsewhere: Elsewhere,
    prefix: String,
    /// Below which claims lie, if this is the side that has them.
    pub claims: Option<String>,
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

/// Whether something works: an answer that refuses what was asked is a no; one about the moment or the key, or none, says nothing.
pub(super) fn works<T>(answer: &Answer<T>) -> Answered {
    match answer {
        Ok(_) => Answered::Yes,
        Err(said) if is_about_the_request(said) || matches!(said.status, Some(404 | 412)) => {
            Answered::No(said.in_short())
        }
        Err(said) => Answered::Unknown(said.in_short()),
    }
}

impl Exam {
    pub(super) fn new(
        conf: &Conf,
        probe: Probe,
        elsewhere: Elsewhere,
        seconds: Duration,
        pauses: Pauses,
    ) -> Self {
        let random = uuid::Uuid::new_v4().simple().to_string();
        let prefix = conf.store.prefix.clone();
        let base = format!("{prefix}/doctor/{}", random.get(..12).unwrap_or(&random));
        let claims = match &conf.side {
            Side::Tsd(tsd) => Some(format!("{prefix}/{}", tsd.share.prefix)),
            Side::Nsc(_) => None,
        };
        let (most, range_size) = (conf.store.parts_in_flight, conf.store.range_size);
        Self {
            probe,
            facts: Facts::unknown(conf),
            seconds,
            most,
            range_size,
            estimate: 0,
            pauses,
            completed: None,
            elsewhere,
            prefix,
            claims,
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
        self.noted(key, answer)
    }

    /// The same, asked again while the answer may be of the moment.
    pub(super) async fn put_settled(&mut self, key: &str, load: &Load) -> Answer<Option<String>> {
        let answer = settled(self.pauses, async || self.probe.put(key, load).await).await;
        self.noted(key, answer)
    }

    fn noted<T>(&mut self, key: &str, answer: Answer<T>) -> Answer<T> {
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
    pub(super) async fn sender(mut self) -> Result<Facts, StoreError> {
        let (key, hello) = (self.key("hello"), Load::signed("hello doctor"));
        let put = self.put(&key, &hello).await;
        if !self.reached("accept an object", &key, &put) {
            if let Err(said) = &put {
                self.addressing(said, async |exam| exam.put(&key, &hello).await).await?;
            }
            return Ok(self.end().await);
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
        Ok(self.end().await)
    }

    /// All questions to a store from which we read.
    pub(super) async fn receiver(mut self) -> Result<Facts, StoreError> {
        let below = format!("{}/", self.prefix);
        let list = self.probe.list(&below).await;
        if !self.reached("list the bucket", &below, &list) {
            if let Err(said) = &list {
                self.addressing(said, async |exam| exam.probe.list(&below).await).await?;
            }
            return Ok(self.end().await);
        }
        drop(self.facts.rights.insert(Right::List, Answered::Yes));
        let largest = list.unwrap_or_default().into_iter().max_by_key(|(_, size)| *size);
        let key = largest.as_ref().map_or_else(|| self.key("nothing"), |(key, _)| key.clone());
        let head = self.reading(&self.probe.head(&key).await);
        // The first bytes, unless there are none: an empty object has no ranges.
        let end = largest.as_ref().and_then(|(_, size)| size.checked_sub(1)).map(|last| (0, last.min(15)));
        let got = self.probe.get(&key, end, 16).await;
        for (kind, answer) in [(Right::Head, head), (Right::Get, self.reading(&got))] {
            drop(self.facts.rights.insert(kind, answer));
        }
        match (&largest, got) {
            (Some((key, size)), Ok((_, bytes))) if *size > 8 => {
                self.facts.ranges = self.range(key, &bytes).await;
                self.downloads_at_speed(key, *size).await;
            }
            (Some((key, size)), Ok(_)) => {
                let why =
                    format!("not examined: {key}, the largest object, has only {size} bytes; {ASK_AGAIN}");
                self.facts.ranges = Answered::Unknown(why);
            }
            (Some((key, _)), Err(said)) => {
                let why = format!("not examined: {key} could not be read: {}", said.in_short());
                self.facts.ranges = Answered::Unknown(why);
            }
            (None, _) => {
                let why = format!(
                    "not examined, as little as how fast objects come: there is none below {below}; {ASK_AGAIN}"
                );
                self.facts.ranges = Answered::Unknown(why);
            }
        }
        self.facts.notifications = self.notifications().await;
        let key = self.key("hello");
        let put = right(&self.put(&key, &Load::signed("hello doctor")).await, |_| false);
        drop(self.facts.rights.insert(Right::Put, put));
        let begun = self.probe.begin(&key, None).await;
        drop(self.facts.rights.insert(Right::Multipart, right(&begun, |_| false)));
        if let Ok(upload) = begun {
            self.abort(&key, &upload).await;
        }
        self.sharing().await;
        Ok(self.end().await)
    }

    /// Whether it tells of new objects: it must answer, and then give a sign of life.
    async fn notifications(&self) -> Answered {
        let heard = async {
            let mut listening = self.probe.listen(&format!("{}/", self.prefix)).await?;
            listening.next().await
        };
        match heard.await {
            Ok(_) => Answered::Yes,
            Err(NoBell::Unknown(why)) => Answered::No(why),
            Err(NoBell::Lost(why)) => Answered::Unknown(why),
        }
    }

    /// A right to read. That there is no such object may be said before anybody looks at the key's rights.
    fn reading<T>(&self, answer: &Answer<T>) -> Answered {
        match right(answer, |_| false) {
            Answered::Unknown(said) if answer.as_ref().is_err_and(|said| said.status == Some(404)) => {
                Answered::Unknown(format!(
                    "not examined: there is no object to try it on ({said}); {ASK_AGAIN}"
                ))
            }
            other => other,
        }
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

    /// Keys as long and as odd as ours get.
    async fn keys(&mut self) {
        let level = "x".repeat(200);
        let long = format!("{level}/{level}/{}", "y".repeat(98));
        let odd = ".odd-_+=@,name/a.b+c=d@e,f".to_owned();
        let mut found = Vec::new();
        for name in [long, odd] {
            let key = self.key(&name);
            let mut answer = works(&self.put(&key, &Load::signed("key")).await);
            // A store may break on a name instead of refusing it: a no only if it takes another name between two such attempts.
            if let Answered::Unknown(why) = &answer {
                tokio::time::sleep(self.pauses[0]).await;
                let plain = self.key("plain");
                let other = self.put(&plain, &Load::signed("key")).await;
                answer = match works(&self.put(&key, &Load::signed("key")).await) {
                    Answered::Unknown(_) if other.is_ok() => Answered::No(format!("twice: {why}")),
                    again => again,
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
