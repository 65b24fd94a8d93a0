//! Stations with toy work: an outage of one is not the outage of all, and a local unit does not end it.
use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::supervisor::{ChildSpec, Limits, Observer, Strategy, Supervisor, runtime};

#[derive(Clone, Default)]
struct Toy {
    /// Unit → how often it was done.
    done: Arc<Mutex<BTreeMap<String, u32>>>,
    weather: Arc<Mutex<Vec<String>>>,
}

struct ToyWork(Toy);

impl Work for ToyWork {
    type Unit = String;
    type Blame = String;

    fn waiting(&mut self) -> Vec<String> {
        let done = self.0.done.lock().unwrap();
        let open = ["0-sick", "1-good", "2-good", "3-panics", "4-good", "local"].into_iter();
        open.filter(|u| u.contains("sick") || *u == "local" || !done.contains_key(*u))
            .map(str::to_owned)
            .collect()
    }

    fn perform(&self, unit: String, _: Meter) -> LocalBoxFuture<'static, Result<(), Failure<String>>> {
        let toy = self.0.clone();
        let work = async move {
            *toy.done.lock().unwrap().entry(unit.clone()).or_default() += 1;
            match unit.as_str() {
                "0-sick" => Err(Failure::Outage("its own disk is full".into())),
                "3-panics" => panic!("odd input"),
                _ => Ok(()),
            }
        };
        Box::pin(work)
    }

    fn needs_outside(&self, unit: &String) -> bool {
        unit != "local"
    }

    fn accident(&self, what: String) -> String {
        what
    }

    fn blame(&self, _: String, _: String) -> LocalBoxFuture<'static, Result<(), String>> {
        Box::pin(futures_util::future::ready(Ok(())))
    }
}

#[test]
fn a_unit_whose_trouble_is_its_own_does_not_keep_the_others_waiting() {
    let toy = Toy::default();
    let second = |n: u64| Duration::from_millis(n);
    let backoff = Backoff::try_new(second(20), second(100)).unwrap();
    let heard = toy.weather.clone();
    let manner = Manner {
        name: "toy",
        tuning: watch::channel(Tuning {
            rules: Rules { room: 1, large: 1, overtakes: 8 },
            rhythm: second(20),
            stall: second(5_000),
            outage: backoff,
        })
        .1,
        paused: std::sync::Arc::new(|| false),
        dice: Dice::seeded(1),
        next: Vec::new(),
        board: Board::default(),
        weather: Arc::new(move |_, why, _| heard.lock().unwrap().push(why.unwrap_or("fair").to_owned())),
    };
    let limits = Limits { max_restarts: 1, period: second(60_000), backoff, reset_after: second(60_000) };
    let observer: Observer = Arc::new(|what| panic!("the actor itself must not fail: {what:?}"));
    let (shared, seen) = (toy.clone(), toy.clone());
    actix_rt::System::with_tokio_rt(runtime).block_on(async move {
        let (spec, _addr) =
            ChildSpec::new("toy", 4, move |env| Station::new(env, manner, move || ToyWork(shared.clone())));
        let (supervisor, _ended) =
            Supervisor::new(limits, Strategy::OneForOne, Dice::seeded(1), observer, vec![spec]);
        let _runs = supervisor.start();
        let begun = Instant::now();
        let all = |toy: &Toy| {
            ["1-good", "2-good", "3-panics", "4-good"]
                .iter()
                .all(|u| toy.done.lock().unwrap().contains_key(*u))
        };
        while !all(&seen) {
            assert!(begun.elapsed() < second(10_000), "{:?}", seen.done.lock().unwrap());
            tokio::time::sleep(second(10)).await;
        }
        tokio::time::sleep(second(500)).await;
    });
    let (done, weather) = (toy.done.lock().unwrap().clone(), toy.weather.lock().unwrap().clone());
    assert!(done["0-sick"] > 2, "the sick one is tried again and again: {done:?}");
    assert!(done["0-sick"] < 20, "but with back-off: {done:?}");
    assert!(done["local"] > 5, "what needs nothing outside goes on: {done:?}");
    assert_eq!(weather.first().map(String::as_str), Some("its own disk is full"));
    assert_ne!(
        weather.last().map(String::as_str),
        Some("fair"),
        "a local success does not end an outage: {weather:?}"
    );
}
