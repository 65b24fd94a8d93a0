//! Multipart uploads: how many parts, how large, how small, and what becomes of a completion.
use std::time::Instant;

use bytes::Bytes;

use super::exam::{Exam, right, works};
use super::facts::{Answered, Right};
use super::refusal::{is_about_the_request, settled};
use super::throughput::rate;
use crate::store::Load;

/// As many as S3 has.
const MOST: u32 = 10_000;
/// Below this S3 has no parts but the last.
const LEAST_BYTES: usize = 5 << 20;

impl Exam {
    /// All questions about parts; without the right to begin an upload, none.
    pub(super) async fn parts(&mut self) {
        let key = self.key("many");
        let begun = self.probe.begin(&key, None).await;
        drop(self.facts.rights.insert(Right::Multipart, right(&begun, |_| false)));
        let Ok(upload) = begun else { return };
        match self.most_parts(&key, &upload).await {
            Ok(most) => self.facts.most_parts = Some(most),
            Err(why) => self.facts.unclear_number = Some(why),
        }
        self.abort(&key, &upload).await;
        self.small().await;
        self.large().await;
    }

    /// The highest number that is taken, by halving; or why it cannot be told. Only a refusal of the request itself is a limit.
    async fn most_parts(&self, key: &str, upload: &str) -> Result<u32, String> {
        let (mut good, mut bad) = (0, MOST + 1);
        let mut why = String::new();
        while good + 1 < bad {
            // The limit is tried first, and then that of the oldest proxies.
            let number = match (good, bad) {
                (0, b) if b == MOST + 1 => MOST,
                (0, MOST) => 1_001,
                _ => u32::midpoint(good, bad),
            };
            let signed = i32::try_from(number).map_err(|e| e.to_string())?;
            let (load, pauses) = (Load::signed("small"), self.pauses);
            match settled(pauses, async || self.probe.part(key, upload, signed, &load).await).await {
                Ok(_) => good = number,
                Err(said) if is_about_the_request(&said) => (bad, why) = (number, said.in_short()),
                Err(said) => return Err(format!("a part numbered {number} is answered {}", said.in_short())),
            }
        }
        match good {
            0 => Err(format!("not even a part numbered 1 is taken: {why}")),
            good => Ok(good),
        }
    }

    /// A completion with a small part in the middle, and one that is repeated.
    async fn small(&mut self) {
        let key = self.key("small");
        let Ok(upload) = self.probe.begin(&key, None).await else { return };
        let mut parts = Vec::new();
        for number in [1, 2] {
            let (load, pauses) = (Load::signed("small"), self.pauses);
            match settled(pauses, async || self.probe.part(&key, &upload, number, &load).await).await {
                Ok(part) => parts.push(part),
                Err(said) => {
                    self.facts.small_parts = Answered::Unknown(said.in_short());
                    return self.abort(&key, &upload).await;
                }
            }
        }
        self.facts.list_parts = match self.probe.list_parts(&key, &upload).await {
            Ok(2) => Answered::Yes,
            Ok(other) => Answered::No(format!("it lists {other} parts of 2")),
            Err(said) if said.status == Some(200) => Answered::No(said.in_short()),
            denied => right(&denied, |_| false),
        };
        let mut done = self.probe.complete(&key, &upload, &parts).await;
        self.facts.small_parts = works(&done);
        if done.is_err() {
            parts.truncate(1);
            done = settled(self.pauses, async || self.probe.complete(&key, &upload, &parts).await).await;
        }
        match done {
            Ok(()) => {
                self.keeps(&key);
                self.completed = Some(key.clone());
                self.facts.completed = Answered::Yes;
                self.facts.completed_again = works(&self.probe.complete(&key, &upload, &parts).await);
            }
            // Done, in words that we do not understand.
            Err(said) if said.status == Some(200) => {
                self.keeps(&key);
                self.completed = Some(key.clone());
                self.facts.completed = Answered::No(said.in_short());
            }
            refused => {
                // Its parts were just taken: gone, it may have been completed by an attempt whose answer was not clear.
                let gone = refused.as_ref().is_err_and(|said| said.code == "NoSuchUpload");
                self.facts.completed = match works(&refused) {
                    Answered::No(said) if gone => Answered::Unknown(said),
                    other => other,
                };
                self.abort(&key, &upload).await;
            }
        }
    }

    /// A part of the configured size; if it is too large, halves of it.
    async fn large(&mut self) {
        let key = self.key("large");
        let Ok(upload) = self.probe.begin(&key, None).await else { return };
        let whole = bytes_of(self.facts.configured.part_size);
        let mut size = whole.len();
        loop {
            let begun = Instant::now();
            let (load, pauses) = (Load::signed(whole.slice(..size)), self.pauses);
            match settled(pauses, async || self.probe.part(&key, &upload, 1, &load).await).await {
                Ok(_) => {
                    self.facts.largest_part = Some(size as u64);
                    self.estimate = rate(size as u64, begun);
                    break;
                }
                Err(said) if is_about_the_request(&said) => {
                    self.facts.too_large = Some(said.in_short());
                    if size <= LEAST_BYTES {
                        break;
                    }
                    size = (size / 2).max(LEAST_BYTES);
                }
                // Neither taken nor refused.
                Err(said) => {
                    self.facts.too_large = None;
                    self.facts.unclear_part = Some(said.in_short());
                    break;
                }
            }
        }
        self.abort(&key, &upload).await;
    }
}

/// Bytes that no proxy can compress.
pub(super) fn bytes_of(size: u64) -> Bytes {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let words = usize::try_from(size.div_ceil(8)).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(words * 8);
    for _ in 0..words {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    bytes.into()
}
