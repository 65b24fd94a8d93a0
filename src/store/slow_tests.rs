//! Links that carry less than all who use them ask for, and limits at which a part takes longer than a unit may stand still.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::super::pace::Pace;
use super::super::progress::Demand;
use super::super::up::sending::KEY;
use super::super::{Origin, Sent, Store, StoreError};
use crate::conf::{Conf, PaceConf, Role};
use crate::demo::site::{Site, SiteOptions};
use crate::disk::{Disk, Disks};
use crate::fs::Fingerprint;
use crate::hashing::Hashing;
use crate::supervisor::meter::{Board, Meter};
use crate::supervisor::station::{End, watch};

const MIB: u64 = 1 << 20;

fn limit(rate: u64) -> PaceConf {
    PaceConf { limit: Some(rate), timetable: Vec::new(), zone: jiff::tz::TimeZone::UTC }
}

/// A line to a store, of so many bytes a second for all who use it; how many used it at the same time, and how often.
struct Line {
    endpoint: String,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    used: Arc<AtomicUsize>,
}

impl Line {
    async fn to(endpoint: &str, rate: u64) -> Self {
        let inner = endpoint.strip_prefix("http://").unwrap().to_owned();
        let socket = TcpSocket::new_v4().unwrap();
        // What lies in buffers has not been carried.
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(64).unwrap();
        let (now, most, used): (Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (line, counts) = (Pace::new(&limit(rate)), (now.clone(), most.clone(), used.clone()));
        let _ends_with_the_test = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (line, inner, (now, most, used)) = (line.clone(), inner.clone(), counts.clone());
                let _ends_with_the_test = tokio::spawn(async move {
                    let (mut from, mut to) = socket.into_split();
                    let (mut back, mut on) = TcpStream::connect(inner).await.unwrap().into_split();
                    let answers = tokio::spawn(async move { tokio::io::copy(&mut back, &mut to).await });
                    most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                    used.fetch_add(1, SeqCst);
                    let mut bytes = vec![0; 16 << 10];
                    while let Ok(n @ 1..) = from.read(&mut bytes).await {
                        line.pass(n as u64).await;
                        if on.write_all(&bytes[..n]).await.is_err() {
                            break;
                        }
                    }
                    now.fetch_sub(1, SeqCst);
                    answers.abort();
                });
            }
        });
        Self { endpoint, now, most, used }
    }
}

struct Sender {
    site: Site,
    store: Store,
    disks: Disks,
    disk: Disk,
    meter: Meter,
    dir: tempfile::TempDir,
}

impl Sender {
    /// To a site of its own, through a line if it has a rate, in parts of this length.
    async fn new(rate: Option<u64>, part: u64, demand: Demand) -> (Self, Option<Line>) {
        let dir = tempfile::tempdir().unwrap();
        let options = SiteOptions { token_life: Duration::from_secs(600), ..SiteOptions::default() };
        let site = Site::open(dir.path(), &options).await.unwrap();
        let mut conf = Conf::load_with(Some(&site.conf(Role::Nsc)), None, []).unwrap().store;
        (conf.part_size, conf.parts_in_flight, conf.memory, conf.attempts) = (part, 16, 16 * part, 4);
        let line = match rate {
            Some(rate) => Some(Line::to(&site.endpoint, rate).await),
            None => None,
        };
        conf.endpoint = line.as_ref().map_or(conf.endpoint, |line| line.endpoint.clone());
        let disks = Disks::new(1, Duration::from_secs(60), Arc::new(|_, _, _| {}));
        let disk = disks.at("t", dir.path()).unwrap();
        let mut store = Store::new(&conf, disk.clone(), Hashing::start(1).unwrap()).unwrap();
        store.demand = demand;
        let meter = Board::default().begin("uploader", "t".into());
        (Self { site, store, disks, disk, meter, dir }, line)
    }

    /// As a unit does it that must not stand still for longer than this.
    async fn send(&self, size: u64, stall: Duration) -> End<Result<Sent, StoreError>> {
        let path = self.dir.path().join("source");
        let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        crate::fs::write_durably(&path, &bytes).unwrap();
        let hold = self.disks.hold("t").await.unwrap();
        let expected = Fingerprint::of(&path).unwrap();
        let (hold, disk, path) = (&hold, &self.disk, path.as_path());
        let from = Origin { hold, disk, path, expected, urgency: 0, flow: 0, kept: None };
        let work = self.store.send_file(KEY, from, false, None, &self.meter);
        let end = watch(self.meter.on_behalf(work), self.meter.clone(), stall).await;
        if matches!(end, End::Done(Ok(_))) {
            let stored = std::fs::read(self.site.dir.join("store/p22-import").join(KEY)).unwrap();
            assert!(stored == bytes);
        }
        end
    }
}

/// Sixteen that share what eight ask for: all of them would be cut off for ever if nothing were learnt from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_too_slow_for_all_at_once_carries_them_a_few_at_a_time() {
    let demand =
        Demand { min_rate: 3 * MIB, window: Duration::from_secs(1), patience: Duration::from_secs(60) };
    let (sender, line) = Sender::new(Some(8 * demand.min_rate), 8 * MIB, demand).await;
    let line = line.unwrap();
    sender.store.slots.were(16);
    let began = Instant::now();
    // An outage is tried again, as the uploader does.
    let mut outages = 0;
    loop {
        match sender.send(16 * 8 * MIB, Duration::from_secs(60)).await {
            End::Done(Ok(sent)) => break assert!(sent.stored),
            End::Done(Err(e)) if e.is_outage() && outages < 3 => outages += 1,
            other => panic!("after {:?} and {outages} outages: {other:?}", began.elapsed()),
        }
    }
    let (limit, most, used) = (sender.store.wire().limit, line.most.load(SeqCst), line.used.load(SeqCst));
    println!(
        "{:?}, {outages} outages, at last {limit} of {most} at once, {used} connections",
        began.elapsed()
    );
    assert!(most >= 16, "{most}");
    assert!(limit <= 8, "{limit}");
    assert!(line.now.load(SeqCst) <= 16);
}

/// Small files and parts that take many times as long as a unit may stand still: they move, so it lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_at_which_a_part_takes_longer_than_a_unit_may_stand_still_harms_nobody() {
    let (stall, ms) = (Duration::from_secs(1), Duration::from_millis);
    let demand = Demand { min_rate: 4 * MIB, window: ms(500), patience: Duration::from_secs(60) };
    for size in [5 * MIB, 10 * MIB] {
        let (sender, _) = Sender::new(None, 5 * MIB, demand).await;
        sender.store.repace(&limit(MIB));
        let began = Instant::now();
        let end = sender.send(size, stall).await;
        assert!(matches!(&end, End::Done(Ok(sent)) if sent.stored), "{size}: {end:?}");
        assert!(began.elapsed() >= 4 * stall, "{:?}", began.elapsed());
    }
    // But not what stands still.
    let (mut sender, _) = Sender::new(None, 5 * MIB, demand).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut conf = Conf::load_with(Some(&sender.site.conf(Role::Nsc)), None, []).unwrap().store;
    conf.endpoint = format!("http://{}", silent.local_addr().unwrap());
    sender.store = Store::new(&conf, sender.disk.clone(), Hashing::start(1).unwrap()).unwrap();
    let end = sender.send(MIB, stall).await;
    assert!(matches!(end, End::Still(_)), "{end:?}");
}
