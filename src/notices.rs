//! Things that wait or were refused without being anybody's package yet, with the reason; shown by `status`.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Thousands of odd keys in a bucket must not fill log and status.
const SHOWN: usize = 100;

/// Who or what → why. Clones share.
#[derive(Clone, Default)]
pub struct Notices(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    list: BTreeMap<String, String>,
    /// How many of what wait for one and the same reason.
    crowd: Option<(String, String)>,
}

impl Notices {
    /// As of the last look, at most a hundred of them and how many more.
    pub fn now(&self) -> BTreeMap<String, String> {
        let held = self.held();
        let mut all = held.list.clone();
        all.extend(held.crowd.clone());
        all
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the result of a new look, and logs what is new in it: each reason is said once, not at every look.
    pub fn replace(&self, new: BTreeMap<String, String>) {
        let held = &mut self.held().list;
        let more = new.len().saturating_sub(SHOWN);
        let mut new: BTreeMap<String, String> = new.into_iter().take(SHOWN).collect();
        for (who, why) in new.iter().filter(|(who, why)| held.get(*who) != Some(*why)) {
            tracing::warn!(who, why, "not taken");
        }
        if more > 0 {
            drop(new.insert(format!("~ and {more} more"), "only the first ones are listed".into()));
        }
        *held = new;
    }

    /// How many wait for one and the same reason; said in the log when the first of them has to wait, not at every new number.
    pub fn crowd(&self, count: usize, what: &str, why: &str) {
        let mut held = self.held();
        let new = (count > 0).then(|| (format!("{count} {what}"), why.to_owned()));
        if new.is_some() && held.crowd.is_none() {
            tracing::warn!(count, what, why, "not taken yet");
        }
        held.crowd = new;
    }

    /// Says one thing, or takes it back; logs what is new in it.
    pub fn say(&self, who: &str, why: Option<&str>) {
        let held = &mut self.held().list;
        match why {
            Some(why) if held.get(who).is_none_or(|said| said != why) => {
                tracing::info!(who, why, "waits");
                drop(held.insert(who.to_owned(), why.to_owned()));
            }
            Some(_) => {}
            None => drop(held.remove(who)),
        }
    }

    /// Something that is said only as long as the answer lives.
    pub fn post(&self, who: &str) -> Posted {
        Posted { notices: self.clone(), who: who.to_owned() }
    }
}

/// A notice that takes itself back.
pub struct Posted {
    notices: Notices,
    who: String,
}

impl Posted {
    /// What is to be said now.
    pub fn say(&self, why: &str) {
        self.notices.say(&self.who, Some(why));
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        self.notices.say(&self.who, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_look_replaces_the_old_one() {
        let notices = Notices::default();
        notices.replace([("a".to_owned(), "x".to_owned())].into());
        notices.clone().replace([("b".to_owned(), "y".to_owned())].into());
        assert_eq!(notices.now().into_keys().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_crowd_is_counted_until_it_is_gone() {
        let notices = Notices::default();
        notices.crowd(3, "package(s)", "wait");
        notices.replace([("a".to_owned(), "x".to_owned())].into());
        assert_eq!(notices.now().into_keys().collect::<Vec<_>>(), ["3 package(s)", "a"]);
        notices.crowd(0, "package(s)", "wait");
        assert_eq!(notices.now().into_keys().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn a_posted_notice_takes_itself_back() {
        let notices = Notices::default();
        let posted = notices.post("a");
        assert!(notices.now().is_empty());
        posted.say("x");
        posted.say("y");
        assert_eq!(notices.now()["a"], "y");
        drop(posted);
        assert!(notices.now().is_empty());
    }
}
