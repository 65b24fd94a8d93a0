//! Puts that must not replace anything: one after the other, over an object that was completed of parts, and all at once.
//!
//! With `store.conditional` a sender that lost the answer to a completion asks for the object to be made anew, empty, and takes a 412
//! (and nothing else) for the proof that it is there. So 412 must be what is said, and of such an object too.
use futures_util::future::join_all;

use super::exam::{Exam, works};
use super::facts::Answered;
use super::refusal::settled;
use crate::store::{Answer, Load};

/// Writers that race for one key.
const WRITERS: usize = 8;

/// What was said to a put of what is there already, which may only create.
fn held(answer: &Answer<Option<String>>) -> Answered {
    match answer {
        Ok(_) => Answered::No("it replaces the object all the same".into()),
        Err(said) if said.status == Some(412) => Answered::Yes,
        Err(said) if said.status == Some(409) => {
            Answered::No(format!("it says {}, where a sender relies on 412", said.in_short()))
        }
        refused => works(refused),
    }
}

impl Exam {
    pub(super) async fn only_new(&mut self) {
        let load = Load { only_new: true, ..Load::signed("first") };
        let key = self.key("only-new");
        let first = self.put(&key, &load).await;
        self.facts.only_new = match works(&first) {
            Answered::Yes => held(&self.put_settled(&key, &load).await),
            other => other,
        };
        if !self.facts.only_new.is_yes() {
            return;
        }
        if let Some(key) = self.completed.clone() {
            // As the sender asks it.
            let empty = Load { bytes: bytes::Bytes::new(), ..load };
            self.facts.only_new_completed =
                held(&settled(self.pauses, async || self.probe.put(&key, &empty).await).await);
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
        // Among those that are at work on a key in the same moment 409 is an answer too: the sender asks again then.
        let lost = |answer: &Answer<_>| answer.as_ref().is_err_and(|e| matches!(e.status, Some(409 | 412)));
        if answers.iter().all(|answer| answer.is_ok() || lost(answer)) {
            self.facts.winners = Some(answers.iter().filter(|answer| answer.is_ok()).count());
        }
    }
}
