//! The doors with a real journal behind them, in this process.
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;
use crate::clock;
use crate::conf::{Role, Settings};
use crate::journal::{Event, Holder, Owner};
use crate::supervisor::ChildStatus;

pub(super) struct Set {
    pub(super) journal: Journal,
    socket: std::path::PathBuf,
    notices: Notices,
    pub(super) news: watch::Sender<Option<Arc<Snapshot>>>,
    serving: tokio::task::JoinHandle<()>,
    _owner: Owner,
    _dir: tempfile::TempDir,
}

impl Drop for Set {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A configuration that is good as far as this goes.
fn conf(dir: &std::path::Path, more: &[(&str, &str)]) -> Conf {
    let text = include_str!("../../conf/nsc.toml");
    let file = dir.join("nsc.toml");
    crate::fs::write_durably(&file, text.as_bytes()).unwrap();
    let (dir, log) = (dir.display().to_string(), dir.join("log").display().to_string());
    let own = [("TSD_IMPORT__STATE__DIR", dir.as_str()), ("TSD_IMPORT__LOG__DIR", log.as_str())];
    let env = own.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let settings = Settings::read(Some(&file), env).unwrap();
    Conf::check(&settings, Some(Role::Nsc)).unwrap()
}

pub(super) fn set(more: &[(&str, &str)]) -> Set {
    let dir = tempfile::tempdir().unwrap();
    let me = Holder::this("gdx-login".into(), "nsc".into());
    let owner = Owner::acquire(dir.path(), &me, Duration::from_secs(30), false).unwrap();
    let journal = Journal::open(dir.path(), &owner).unwrap();
    let (conf, (news, latest)) = (conf(dir.path(), more), watch::channel(None));
    let (socket, notices) = (conf.control.socket.clone(), Notices::default());
    let board = Board::default();
    let (acts, _nobody) = crate::acts::queue();
    let control = Control { conf, journal: journal.clone(), board, latest, acts, notices: notices.clone() };
    let serving = tokio::spawn(control.keep());
    Set { journal, socket, notices, news, serving, _owner: owner, _dir: dir }
}

async fn connect(set: &Set) -> UnixStream {
    let begun = Instant::now();
    loop {
        if let Ok(stream) = UnixStream::connect(&set.socket).await {
            return stream;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", set.notices.now());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(super) async fn asked(set: &Set, path: &str) -> (u16, String) {
    let mut stream = connect(set).await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _bytes = stream.read_to_string(&mut answer).await.unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

pub(super) fn working() -> Arc<Snapshot> {
    let actor =
        ChildStatus { actor: "poller".into(), up: true, state: "up".into(), ..ChildStatus::default() };
    Arc::new(Snapshot { actors: vec![actor], ..Snapshot::empty(clock::now()) })
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_word_of_the_supervisor_it_says_that_it_starts() {
    let set = set(&[]);
    assert_eq!(asked(&set, "/healthz").await.0, 200);
    let (status, answer) = asked(&set, "/readyz").await;
    assert!(status == 503 && answer.contains("\"starting\""), "{answer}");
    assert_eq!(asked(&set, "/v1/snapshot").await.0, 503);
    assert_eq!(asked(&set, "/metrics").await.0, 200);
    let _was = set.news.send_replace(Some(working()));
    assert_eq!((asked(&set, "/readyz").await.0, asked(&set, "/v1/snapshot").await.0), (200, 200));
}

/// The writer never waits for a listener, the listener's memory is bounded, and it learns what it missed.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_events_that_is_slow_is_told_how_much_it_missed_and_goes_on() {
    const LINES: u64 = 6000;
    let set = set(&[]);
    let mut slow = connect(&set).await;
    slow.write_all(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 512];
    let _head = slow.read(&mut first).await.unwrap();
    let begun = Instant::now();
    for _ in 0..LINES / 500 {
        let why = "w".repeat(400);
        let lines = (0..500).map(|_| set.journal.record(Event::Stopped { exit: 0, why: why.clone() }));
        let done = futures_util::future::join_all(lines).await;
        assert!(done.iter().all(Result::is_ok));
    }
    println!("{LINES} lines beside a reader that does not read: {:?}", begun.elapsed());
    let (mut text, mut piece) = (String::new(), vec![0; 1 << 16]);
    let whole = format!("id: {LINES}\n");
    while !text.contains(&whole) {
        let n = tokio::time::timeout(Duration::from_secs(20), slow.read(&mut piece)).await.unwrap().unwrap();
        assert!(n > 0, "it was cut off");
        text.push_str(&String::from_utf8_lossy(&piece[..n]));
    }
    let missed: u64 = text
        .lines()
        .filter_map(|l| l.strip_prefix("data: {\"missed\":")?.strip_suffix('}')?.parse::<u64>().ok())
        .sum();
    let got = text.lines().filter(|l| l.starts_with("id: ")).count() as u64;
    assert!(missed > 0 && text.contains("event: lagged"), "{missed} missed, {got} got");
    assert_eq!(missed + got, LINES, "each line came or was counted");
    assert_eq!(asked(&set, "/healthz").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_is_a_notice_and_no_more() {
    let set = set(&[("TSD_IMPORT__METRICS__TEXTFILE", "/proc/none/x.prom")]);
    let _was = set.news.send_replace(Some(working()));
    assert_eq!(asked(&set, "/readyz").await.0, 200);
    let begun = Instant::now();
    while set.notices.now().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let said = set.notices.now();
    assert!(said["metrics.textfile"].contains("Packages go on"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_places_are_taken_who_comes_is_told() {
    let set = set(&[]);
    drop(connect(&set).await);
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(connect(&set).await);
    }
    let begun = Instant::now();
    let (status, answer) = asked_once(&set).await;
    assert!(status == 503 && answer.contains("too many connections"), "{answer}");
    println!("told after {:?}", begun.elapsed());
    drop(idle);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(asked(&set, "/healthz").await.0, 200);
}

/// Who is turned away may find the connection closed before its request is read.
async fn asked_once(set: &Set) -> (u16, String) {
    let mut stream = connect(set).await;
    let mut answer = String::new();
    let _bytes = stream.read_to_string(&mut answer).await.unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}
