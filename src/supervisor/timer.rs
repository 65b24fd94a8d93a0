//! When something that is done again and again is due.
//!
//! It is due again `every` after it *began*, so that a slow round does not stretch the rhythm; after an outage it is due
//! at once, because then the station's own back-off decides when to try.
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::station::Failure;

/// A rhythm; clones share it. Lives on its actor's thread.
#[derive(Clone, Debug)]
pub struct Timer {
    every: Duration,
    next: Rc<Cell<Instant>>,
}

impl Timer {
    /// Due at once, then every so often.
    pub fn new(every: Duration) -> Self {
        Self { every, next: Rc::new(Cell::new(Instant::now())) }
    }

    /// Whether it is time.
    pub fn is_due(&self) -> bool {
        Instant::now() >= self.next.get()
    }

    /// Does the round that is due now.
    pub fn round<B, W>(&self, work: W) -> impl Future<Output = Result<(), Failure<B>>> + use<B, W>
    where
        W: Future<Output = Result<(), Failure<B>>>,
    {
        let timer = self.clone();
        timer.next.set(Instant::now() + timer.every);
        async move {
            let done = work.await;
            if matches!(done, Err(Failure::Outage(_))) {
                timer.next.set(Instant::now());
            }
            done
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_an_outage_is_due_at_once_again() {
        let timer = Timer::new(Duration::from_secs(60));
        assert!(timer.is_due());
        timer.round(async { Ok::<(), Failure<()>>(()) }).await.unwrap();
        assert!(!timer.is_due());
        for (failure, due) in [(Failure::Outage("down".into()), true), (Failure::Unit(()), false)] {
            let timer = Timer::new(Duration::from_secs(60));
            timer.clone().round(async { Err(failure) }).await.unwrap_err();
            assert_eq!(timer.is_due(), due);
        }
    }
}
