//! Named worker threads for digests and file I/O, fed through a bounded crossbeam channel.
//!
//! An actor must never hash or block on a disk itself: everything on its thread would stand still. A job carries its
//! own way home (a oneshot), so a caller that was cancelled costs nothing: its job is skipped. There are exactly as many
//! permits as places in the channel, and the permit is held until the answer, so handing a job over never blocks.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::{Semaphore, oneshot};

type Job = Box<dyn FnOnce() + Send>;

/// A job did not come back.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The job panicked; the worker lives on.
    #[error("work on the pool panicked: {0}")]
    Panicked(String),
    /// All workers are gone, which only happens while the process ends.
    #[error("the worker pool has ended")]
    Ended,
}

/// A bounded pool; clones share the same threads, which end when the last clone is dropped.
#[derive(Clone)]
pub struct Pool {
    jobs: Sender<Job>,
    permits: Arc<Semaphore>,
}

impl Pool {
    /// Starts `threads` workers called `name-0`… that keep at most `queue` jobs waiting or running.
    pub fn new(name: &str, threads: usize, queue: usize) -> std::io::Result<Self> {
        let (jobs, inbox) = bounded::<Job>(queue.max(1));
        for n in 0..threads.max(1) {
            let inbox: Receiver<Job> = inbox.clone();
            let worker = move || inbox.iter().for_each(|job| job());
            drop(thread::Builder::new().name(format!("{name}-{n}")).spawn(worker)?);
        }
        Ok(Self { jobs, permits: Arc::new(Semaphore::new(queue.max(1))) })
    }

    /// Runs `work` on a worker. Waits for a place in the queue without blocking the caller's thread.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| PoolError::Ended)?;
        let (home, answer) = oneshot::channel();
        let job = move || {
            let _held_until_done = permit;
            if home.is_closed() {
                return; // the caller is gone
            }
            let done = catch_unwind(AssertUnwindSafe(work)).map_err(|p| crate::supervisor::panic_text(&*p));
            drop(home.send(done));
        };
        self.jobs.try_send(Box::new(job)).map_err(|_| PoolError::Ended)?;
        answer.await.map_err(|_| PoolError::Ended)?.map_err(PoolError::Panicked)
    }

    /// Jobs waiting for a worker.
    pub fn waiting(&self) -> usize {
        self.jobs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn a_panic_costs_its_own_job_only() {
        let pool = Pool::new("t", 1, 2).unwrap();
        let fell = pool.run(|| panic!("odd input")).await.unwrap_err();
        assert!(fell.to_string().contains("odd input"), "{fell}");
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_thousand_jobs_pass_a_queue_of_two() {
        let pool = Pool::new("t", 2, 2).unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        let jobs = (0..1000).map(|_| {
            let done = done.clone();
            pool.run(move || done.fetch_add(1, Ordering::Relaxed))
        });
        for answer in futures_util::future::join_all(jobs).await {
            answer.unwrap();
        }
        assert_eq!(done.load(Ordering::Relaxed), 1000);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_skipped() {
        let pool = Pool::new("t", 1, 4).unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        let (gate, closed) = crossbeam_channel::bounded::<()>(0);
        let first = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(move || closed.recv().is_err()).await }
        });
        let second = {
            let (pool, ran) = (pool.clone(), ran.clone());
            tokio::spawn(async move { pool.run(move || ran.fetch_add(1, Ordering::Relaxed)).await })
        };
        while pool.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        second.abort();
        assert!(second.await.unwrap_err().is_cancelled());
        drop(gate);
        assert!(first.await.unwrap().unwrap());
        pool.run(|| ()).await.unwrap(); // one worker: the abandoned job was taken before this one
        assert_eq!(ran.load(Ordering::Relaxed), 0);
    }
}
