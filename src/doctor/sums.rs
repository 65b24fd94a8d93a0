//! Which changed bytes the store notices, by what proves them.
use bytes::Bytes;

use super::exam::Exam;
use super::facts::{Checked, Noticed};
use crate::conf::{CHECKSUMS, Checksum};
use crate::store::{Answer, Load};

/// The right bytes, and the same with one bit turned over.
fn pair() -> (Bytes, Bytes) {
    let right: Vec<u8> = (0..1024_u32).map(|n| u8::try_from(n.wrapping_mul(31) % 256).unwrap_or(0)).collect();
    let mut wrong = right.clone();
    if let Some(byte) = wrong.get_mut(700) {
        *byte ^= 4;
    }
    (right.into(), wrong.into())
}

/// What was said to the right bytes and to the changed ones.
fn noticed<T>(right: &Answer<T>, changed: Answer<T>) -> Noticed {
    match (right, changed) {
        (Err(said), _) if matches!(said.status, Some(400..=499 | 501)) => Noticed::NotTaken(said.in_short()),
        (Err(said), _) => Noticed::Unknown(said.in_short()),
        (Ok(_), Ok(_)) => Noticed::Believed,
        (Ok(_), Err(said)) if matches!(said.status, Some(400..=499)) => Noticed::Refused,
        (Ok(_), Err(said)) => Noticed::Unknown(said.in_short()),
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
        let (taken, believed) = (self.put(&key, &good).await, self.put(&key, &changed).await);
        let echoed_put = matches!(taken, Ok(Some(_)));
        let put = noticed(&taken, believed);

        let key = self.key(&format!("parts-{word}"));
        let upload = match self.probe.begin(&key, Some(kind)).await {
            Ok(upload) => upload,
            Err(said) if matches!(said.status, Some(400..=499 | 501)) => {
                return Checked { put, part: Noticed::NotTaken(said.in_short()), echoed: false };
            }
            Err(said) => return Checked { put, part: Noticed::Unknown(said.in_short()), echoed: false },
        };
        let taken = self.probe.part(&key, &upload, 1, &good).await;
        let believed = self.probe.part(&key, &upload, 2, &changed).await;
        let echoed = echoed_put && taken.as_ref().is_ok_and(|part| part.echoed.is_some());
        let part = noticed(&taken, believed);
        self.abort(&key, &upload).await;
        Checked { put, part, echoed }
    }
}
