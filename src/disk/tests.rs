//! Disks that hang: real blocking calls (an open of a pipe that nobody writes to), no clock turned.
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::lane::SPARES;
use super::*;

const PATIENCE: Duration = Duration::from_millis(500);

/// Disks with two threads each, and what they tell.
fn disks() -> (Disks, Arc<Mutex<Vec<String>>>) {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let tell = heard.clone();
    let weather: Weather = Arc::new(move |disk, why, _| {
        tell.lock().unwrap().push(format!("{disk}: {}", why.unwrap_or("answers")));
    });
    (Disks::new(2, PATIENCE, weather), heard)
}

/// A file whose `open` blocks until [`Pipe::answer`].
struct Pipe(tempfile::TempDir);

impl Pipe {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap();
        assert!(made.success());
        Self(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("pipe")
    }

    /// Everybody who hangs gets this text, and whoever comes later finds a plain file.
    fn answer(&self, text: &str) {
        let (new, old) = (self.0.path().join("new"), self.0.path().join("old"));
        crate::fs::write_durably(&new, text.as_bytes()).unwrap();
        std::fs::hard_link(self.path(), &old).unwrap();
        std::fs::remove_file(self.path()).unwrap();
        crate::fs::publish(&new, &self.path()).unwrap();
        // Opening it wakes all who wait; they read until the last writer has closed it.
        let mut writer = std::fs::File::options().write(true).open(old).unwrap();
        std::io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
    }
}

fn read(_: &OnDisk, path: &Path) -> usize {
    std::fs::read(path).unwrap().len()
}

async fn until(what: &str, mut true_now: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !true_now() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_panic_costs_its_own_job_only() {
    // Printing where it panicked takes long, too.
    let disks = Disks::new(1, Duration::from_secs(60), Arc::new(|_, why, _| panic!("told {why:?}")));
    let disk = disks.at("t", Path::new("/place")).unwrap();
    let hold = disks.hold("unit").await.unwrap();
    let fell = hold.on(&disk, |_| -> u32 { panic!("odd input") }).await.unwrap_err();
    assert!(fell.to_string().contains("odd input") && !fell.is_outage(), "{fell}");
    assert_eq!(hold.on(&disk, |_| 7).await.unwrap(), 7);
}

#[tokio::test]
async fn a_thousand_jobs_pass_a_small_queue() {
    let (disks, _) = disks();
    let disk = disks.at("t", Path::new("/place")).unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let jobs = (0..1000).map(|_| {
        let done = done.clone();
        disk.read(move |_| done.fetch_add(1, Ordering::Relaxed))
    });
    for answer in futures_util::future::join_all(jobs).await {
        let _before = answer.unwrap();
    }
    assert_eq!(done.load(Ordering::Relaxed), 1000);
}

#[tokio::test]
async fn a_call_that_hangs_is_named_its_unit_stays_taken_and_the_late_answer_frees_it() {
    let (disks, heard) = disks();
    let (pipe, disk) = (Pipe::new(), disks.at("t", Path::new("/mnt/delivery")).unwrap());
    let hold = disks.hold("a").await.unwrap();
    let (path, ran) = (pipe.path(), Arc::new(AtomicUsize::new(0)));
    let late = ran.clone();
    let begun = Instant::now();
    let hangs = hold.on(&disk, move |on| late.fetch_add(read(on, &path), Ordering::Relaxed));
    let fell = hangs.await.unwrap_err();
    let took = begun.elapsed();
    assert!(fell.is_outage() && took >= PATIENCE && took < PATIENCE * 4, "{took:?}");
    let said = fell.to_string();
    assert!(
        said.starts_with("the disk of /mnt/delivery does not answer since 20")
            && said.contains("mount alive")
    );
    assert_eq!(disks.silent().now().into_keys().collect::<Vec<_>>(), ["disk of /mnt/delivery"]);
    drop(hold);
    assert!(!disks.is_free("a") && disks.is_free("b"));
    let again = disks.hold("a").await.err().unwrap();
    assert!(again.is_outage() && again.to_string().contains("must come back first"), "{again}");
    // Others work on, on this disk and on others.
    let b = disks.hold("b").await.unwrap();
    assert_eq!(b.on(&disk, |_| 1).await.unwrap(), 1);
    assert_eq!(b.on(&disks.at("t", Path::new("/mnt/other")).unwrap(), |_| 2).await.unwrap(), 2);
    pipe.answer("late");
    let _taken = disks.hold("a").await.unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), 4, "the late call has done its work before the unit was free");
    until("it answers", || heard.lock().unwrap().len() == 2).await;
    let heard = heard.lock().unwrap().clone();
    assert!(
        heard[0].starts_with("disk of /mnt/delivery: the disk of /mnt/delivery does not answer since"),
        "{heard:?}"
    );
    assert_eq!(heard[1], "disk of /mnt/delivery: answers");
    assert!(disks.silent().now().is_empty());
}

#[tokio::test]
async fn spares_take_over_up_to_a_bound_and_leave_again() {
    let (disks, heard) = disks();
    let (pipe, disk) = (Pipe::new(), disks.at("t", Path::new("/mnt")).unwrap());
    let all = 2 + SPARES;
    for n in 0..all {
        assert!(disk.takes_work(), "{n} calls hang");
        let path = pipe.path();
        let fell = disk.read(move |on| read(on, &path)).await.unwrap_err();
        assert!(matches!(fell, DiskError::Silent { .. }), "{fell}");
    }
    assert!(!disk.takes_work());
    let begun = Instant::now();
    let refused = disk.read(|_| ()).await.unwrap_err();
    assert!(matches!(refused, DiskError::Silent { .. }) && begun.elapsed() < PATIENCE, "at once: {refused}");
    pipe.answer("x");
    until("it answers", || heard.lock().unwrap().len() == 2).await;
    let jobs = (0..50).map(|_| disk.read(|_| std::thread::current().id()));
    let threads = futures_util::future::join_all(jobs).await.into_iter().map(Result::unwrap);
    let threads: std::collections::HashSet<_> = threads.collect();
    assert!(threads.len() <= 2, "the spares are gone: {threads:?}");
}

#[tokio::test]
async fn work_that_moves_may_take_long_and_what_waits_behind_it_too() {
    let (disks, heard) = disks();
    let disk = disks.at("t", Path::new("/mnt")).unwrap();
    let slow = || {
        disk.read(|on| {
            for _ in 0..8 {
                std::thread::sleep(PATIENCE / 3);
                on.moved();
            }
        })
    };
    let (a, b, c) = tokio::join!(slow(), slow(), disk.read(|_| "in turn"));
    assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
    assert_eq!(c.unwrap(), "in turn");
    assert!(heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn work_that_nobody_waits_for_is_skipped_and_frees_its_unit() {
    let (disks, _) = disks();
    let disk = disks.at("t", Path::new("/mnt")).unwrap();
    let (gate, closed) = crossbeam_channel::bounded::<()>(0);
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let (disk, closed) = (disk.clone(), closed.clone());
            tokio::spawn(async move { disk.read(move |_| closed.recv().is_err()).await })
        })
        .collect();
    tokio::time::sleep(PATIENCE / 5).await;
    let ran = Arc::new(AtomicUsize::new(0));
    let cut_off = {
        let (disk, ran, hold) = (disk.clone(), ran.clone(), disks.hold("unit").await.unwrap());
        tokio::spawn(async move { hold.on(&disk, move |_| ran.fetch_add(1, Ordering::Relaxed)).await })
    };
    tokio::time::sleep(PATIENCE / 5).await;
    cut_off.abort();
    assert!(cut_off.await.unwrap_err().is_cancelled());
    assert!(!disks.is_free("unit"), "its job is still in the queue");
    drop(gate);
    for one in busy {
        assert!(one.await.unwrap().unwrap());
    }
    until("the unit is free", || disks.is_free("unit")).await;
    assert_eq!(ran.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn one_whose_caller_is_gone_is_noticed_by_the_next() {
    let (disks, heard) = disks();
    let (pipe, disk) = (Pipe::new(), disks.at("t", Path::new("/mnt")).unwrap());
    for _ in 0..2 {
        let (path, disk) = (pipe.path(), disk.clone());
        let gone = tokio::spawn(async move { disk.read(move |on| read(on, &path)).await });
        tokio::time::sleep(PATIENCE / 5).await;
        gone.abort();
    }
    let behind = disk.read(|_| ()).await.unwrap_err();
    assert!(matches!(behind, DiskError::Silent { .. }), "{behind}");
    assert_eq!(disk.read(|_| 3).await.unwrap(), 3, "a spare does it");
    pipe.answer("x");
    until("it answers", || heard.lock().unwrap().len() == 2).await;
}

#[tokio::test]
async fn what_is_parked_ends_on_the_disks_own_thread() {
    struct Ends(crossbeam_channel::Sender<String>);
    impl Drop for Ends {
        fn drop(&mut self) {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            self.0.send(name).unwrap();
        }
    }
    let (disks, _) = disks();
    let disk = disks.at("lane", Path::new("/mnt")).unwrap();
    let (tell, heard) = crossbeam_channel::unbounded();
    for _ in 0..100 {
        drop(Parked::new(&disk, Ends(tell.clone())));
    }
    for n in 0..100 {
        let where_ = heard.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(where_.starts_with("lane-"), "{n}: {where_}");
    }
}
