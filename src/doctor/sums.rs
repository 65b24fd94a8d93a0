//! Which changed bytes the store notices, by what proves them.
use bytes::Bytes;

use super::exam::Exam;
use super::facts::{Checked, Noticed};
use super::refusal::{is_about_the_bytes, is_about_the_request, settled};
use crate::conf::{CHECKSUMS, Checksum};
use crate::store::{Answer, Load, Said};

/// The right bytes, and the same with one bit turned over.
fn pair() -> (Bytes, Bytes) {
    let right: Vec<u8> = (0..1024_u32).map(|n| u8::try_from(n.wrapping_mul(31) % 256).unwrap_or(0)).collect();
    let mut wrong = right.clone();
    if let Some(byte) = wrong.get_mut(700) {
        *byte ^= 4;
    }
    (right.into(), wrong.into())
}

/// What follows from a refusal of the right bytes.
fn not_taken(said: &Said) -> Noticed {
    match is_about_the_request(said) {
        true => Noticed::NotTaken(said.in_short()),
        false => Noticed::Unknown(format!("the right bytes are answered {}", said.in_short())),
    }
}

/// What was said to changed bytes, after the right ones were taken. Refused for another reason than the bytes, they were not examined.
fn noticed<T>(changed: &Answer<T>, kind: Checksum) -> Noticed {
    match changed {
        Ok(_) => Noticed::Believed,
        Err(said) if is_about_the_bytes(said, kind) => Noticed::Refused,
        Err(said) => Noticed::Unknown(format!("changed bytes are answered {}", said.in_short())),
    }
}

impl Exam {
    /// Each kind of proof, on whole objects and on parts: the two may differ.
    pub(super) async fn sums(&mut self) {
        for (word, kind) in CHECKSUMS {
            let checked = self.sum(word, kind).await;
            drop(self.facts.checks.insert(word, checked));
        }
    }

    async fn sum(&mut self, word: &str, kind: Checksum) -> Checked {
        let (right, wrong) = pair();
        let good = Load { bytes: right, proof: Some(kind), travels: None, only_new: false };
        let changed = Load { travels: Some(wrong), ..good.clone() };
        let key = self.key(&format!("proof-{word}"));
        let taken = self.put_settled(&key, &good).await;
        let echoed_put = matches!(taken, Ok(Some(_)));
        let put = match &taken {
            // Under a key of their own: a store that lets nothing be replaced would refuse whatever bytes.
            Ok(_) => noticed(&self.put_settled(&format!("{key}-changed"), &changed).await, kind),
            Err(said) => not_taken(said),
        };

        let key = self.key(&format!("parts-{word}"));
        let upload = match settled(self.pauses, async || self.probe.begin(&key, Some(kind)).await).await {
            Ok(upload) => upload,
            Err(said) => return Checked { put, part: not_taken(&said), echoed: false },
        };
        let send = async |number, load| {
            settled(self.pauses, async || self.probe.part(&key, &upload, number, load).await).await
        };
        let taken = send(1, &good).await;
        let echoed = echoed_put && taken.as_ref().is_ok_and(|part| part.echoed.is_some());
        let part = match &taken {
            Ok(_) => noticed(&send(2, &changed).await, kind),
            Err(said) => not_taken(said),
        };
        self.abort(&key, &upload).await;
        Checked { put, part, echoed }
    }
}
