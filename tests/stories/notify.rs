//! What a service manager hears, on a real socket: ready when all is up, a sign of life only while the supervisor answers.
use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tsd_import::conf::Role;
use tsd_import::package::State;

use crate::signals::{ended, last_end, signal, up};
use crate::world::World;

/// A service manager that only listens.
struct Manager {
    name: OsString,
    heard: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Manager {
    fn on(socket: UnixDatagram, name: OsString) -> Self {
        let heard: Arc<Mutex<Vec<(Instant, String)>>> = Arc::default();
        let into = heard.clone();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n) = socket.recv(&mut buffer) {
                let text = String::from_utf8(buffer[..n].to_vec()).unwrap();
                into.lock().unwrap().push((Instant::now(), text.trim_end().to_owned()));
            }
        });
        Self { name, heard }
    }

    fn at_a_path(world: &World) -> Self {
        let path = world.path().join("notify");
        Self::on(UnixDatagram::bind(&path).unwrap(), path.into_os_string())
    }

    fn abstract_one() -> Self {
        let name = format!("tsd-import-story-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Self::on(socket, format!("@{name}").into())
    }

    fn env<'a>(&'a self, points: &'a str) -> [(&'a str, &'a str); 3] {
        [("NOTIFY_SOCKET", self.name.to_str().unwrap()), ("WATCHDOG_USEC", "1000000"), ("FAILPOINTS", points)]
    }

    fn all(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|(_, text)| text.clone()).collect()
    }

    fn has(&self, begins: &str) -> bool {
        self.all().iter().any(|t| t.starts_with(begins))
    }

    /// Times of the signs of life.
    fn pings(&self) -> Vec<Instant> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|(_, text)| text == "WATCHDOG=1").map(|(at, _)| *at).collect()
    }

    fn longest_gap(&self) -> Duration {
        self.pings().windows(2).map(|w| w[1] - w[0]).max().unwrap_or_default()
    }
}

#[tokio::test]
async fn ready_reloading_and_stopping_come_in_order_and_no_sample_is_named() {
    let mut world = World::new().await;
    let manager = Manager::at_a_path(&world);
    let dna = world.samples(2, 300_000);
    world.start(Role::Nsc, &manager.env(""));
    let sent = |w: &World| w.fold(Role::Nsc).tally().get(&State::Transferred) == Some(&2);
    world.until("packages were under way", sent).await;
    signal(&world, Role::Nsc, Signal::HUP);
    let readies = |_: &World| manager.all().iter().filter(|t| *t == "READY=1").count() == 2;
    world.until("it is ready again", readies).await;
    // All this may take less than half a second, and two pings.
    world.until("it says that it lives", |_| manager.pings().len() > 2).await;
    world.stop().await;
    let heard = manager.all();
    let words: Vec<&str> = heard
        .iter()
        .filter(|t| !["WATCHDOG=", "STATUS=", "EXTEND_"].iter().any(|w| t.starts_with(w)))
        .map(|t| t.split('\n').next().unwrap())
        .collect();
    assert_eq!(words[..4], ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"], "{words:?}");
    assert!(words[4..].iter().all(|w| *w == "STOPPING=1"), "{words:?}");
    let reloading = heard.iter().find(|t| t.starts_with("RELOADING=1")).unwrap();
    let usec: u64 = reloading.split("MONOTONIC_USEC=").nth(1).unwrap().parse().unwrap();
    let now = rustix_monotonic_usec();
    assert!(usec < now && now - usec < 60_000_000, "{usec} of {now}");
    assert!(manager.has("STATUS=") && heard.iter().any(|t| t.contains("package(s) under way")), "{heard:?}");
    assert!(!heard.iter().any(|t| dna.iter().any(|d| t.contains(d.as_str()))), "{heard:?}");
}

fn rustix_monotonic_usec() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}

#[tokio::test]
async fn a_frozen_supervisor_gets_no_ping_and_one_that_answers_again_does() {
    let mut world = World::new().await;
    let manager = Manager::abstract_one();
    world.start(Role::Tsd, &manager.env("main-thread=40*off->1*sleep(3000)->off"));
    world.until("it is ready", |_| manager.has("READY=1")).await;
    world.until("it froze and woke up", |_| manager.longest_gap() > Duration::from_millis(2500)).await;
    let before = manager.pings().len();
    world.until("pings go on", |_| manager.pings().len() > before + 3).await;
    world.stop().await;
    let pings = manager.pings();
    let mut gaps: Vec<Duration> = pings.windows(2).map(|w| w[1] - w[0]).collect();
    gaps.sort();
    println!("longest gaps between pings: {:?}", &gaps[gaps.len() - 2..]);
    assert!(gaps[gaps.len() - 2] < Duration::from_secs(1), "while it lived it was in time: {gaps:?}");
}

#[tokio::test]
async fn a_state_directory_that_hangs_holds_up_neither_pings_nor_signals() {
    let mut world = World::new().await;
    let manager = Manager::at_a_path(&world);
    world.start(Role::Tsd, &[]);
    up(&world, Role::Tsd).await;
    world.stop().await;
    world.start(Role::Tsd, &manager.env("state-dir=sleep(60000)"));
    world.until("it is ready", |_| manager.has("READY=1")).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(manager.pings().len() >= 5, "{:?}", manager.all());
    assert!(manager.longest_gap() < Duration::from_secs(1), "{:?}", manager.longest_gap());
    signal(&world, Role::Tsd, Signal::TERM);
    let status = ended(&mut world, Role::Tsd, Duration::from_secs(3)).await;
    assert_eq!(status.code(), Some(0));
    assert_eq!(last_end(&world, Role::Tsd).1, "stopped in order: SIGTERM");
}
