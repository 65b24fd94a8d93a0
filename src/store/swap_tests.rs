//! Puts under a condition, on a store that holds conditions, loses answers, is busy, forbids them, or forgets them.
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::*;
use crate::conf::{Conf, Role};
use crate::demo::site::{Site, SiteOptions};
use crate::demo::store::{FaultKind, FaultRule};
use crate::disk::Disks;
use crate::hashing::Hashing;
use crate::store::NoRace;

const KEY: &str = "tsd-import/claims/x";

async fn bench() -> (Site, Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let options = SiteOptions { token_life: Duration::from_secs(600), ..SiteOptions::default() };
    let site = Site::open(dir.path(), &options).await.unwrap();
    let conf = Conf::load_with(Some(&site.conf(Role::Tsd)), None, []).unwrap();
    let disks = Disks::new(1, Duration::from_secs(60), Arc::new(|_, _, _| {}));
    let disk = disks.at("t", dir.path()).unwrap();
    let store = Store::new(&conf.store, disk, Hashing::start(1).unwrap()).unwrap();
    site.store.let_receiver_claim();
    (site, store, dir)
}

fn on_puts(kind: FaultKind, times: u32) -> FaultRule {
    FaultRule { method: Some(Method::PUT), times, ..FaultRule::next(kind) }
}

#[tokio::test]
async fn one_after_the_other_each_only_over_what_it_has_read() {
    let (site, store, _dir) = bench().await;
    let put = async |text: &'static str, only: &Only| store.put_only(KEY, text.into(), only).await.unwrap();
    assert_eq!(store.get_tagged(KEY, 10).await.unwrap(), None);
    let absent = Only::Still(Tag("\"0\"".into()));
    assert_eq!(put("zero", &absent).await, Swapped::Refused, "404 is a refusal as well");
    let Swapped::Done(first) = put("one", &Only::New).await else { panic!("it is new") };
    assert_eq!(put("two", &Only::New).await, Swapped::Refused);
    assert_eq!(store.get_tagged(KEY, 10).await.unwrap(), Some(("one".into(), first.clone())));
    let Swapped::Done(_) = put("two", &Only::Still(first.clone())).await else { panic!("it is that one") };
    assert_eq!(put("three", &Only::Still(first)).await, Swapped::Refused);
    let (text, tag) = store.get_tagged(KEY, 10).await.unwrap().unwrap();
    assert_eq!(text, "two");
    assert!(matches!(store.get_tagged(KEY, 2).await, Err(StoreError::TooLarge { .. })));
    // Done, and the answer lost: the repeat is refused, and what is there tells.
    site.store.fault(on_puts(FaultKind::DropAfterWork, 1));
    assert_eq!(put("four", &Only::Still(tag)).await, Swapped::Refused);
    let (text, tag) = store.get_tagged(KEY, 10).await.unwrap().unwrap();
    assert_eq!(text, "four");
    // At the same moment as others: asked again.
    site.store.fault(on_puts(FaultKind::Conflict, 2));
    assert!(matches!(put("five", &Only::Still(tag)).await, Swapped::Done(_)));
    site.store.fault(on_puts(FaultKind::Denied, 1));
    let Swapped::Denied(said) = put("six", &Only::New).await else { panic!("it is not allowed") };
    assert!(said.contains("403 AccessDenied"), "{said}");
}

#[tokio::test]
async fn a_store_that_holds_conditions_wins_the_race_and_one_that_forgets_them_does_not() {
    let (site, store, _dir) = bench().await;
    for existed in [false, true, true] {
        let seen = store.race(KEY).await.unwrap();
        assert_eq!((seen.existed, seen.created, seen.replaced), (existed, usize::from(!existed), 1));
        assert_eq!(seen.fault(), None, "{seen:?}");
    }
    // An answer is lost and attempts collide: that is nobody's fault. One fewer than a request has attempts, should one meet them all.
    site.store.fault(on_puts(FaultKind::DropAfterWork, 1));
    site.store.fault(on_puts(FaultKind::Conflict, 2));
    let seen = store.race(KEY).await.unwrap();
    assert_eq!(seen.fault(), None, "{seen:?}");
    site.store.fault(on_puts(FaultKind::ForgetConditions, 1000));
    let seen = store.race(KEY).await.unwrap();
    assert!(seen.created > 1 && seen.fault().is_some(), "{seen:?}");
    site.store.mend();
    site.store.fault(on_puts(FaultKind::Denied, 1000));
    assert!(matches!(store.race(KEY).await, Err(NoRace::Denied(_))));
    site.store.mend();
    site.store.fault(FaultRule { times: 1000, ..FaultRule::next(FaultKind::SlowDown) });
    let begun = std::time::Instant::now();
    assert!(matches!(store.race(KEY).await, Err(NoRace::Unclear(_))));
    assert!(begun.elapsed() < Duration::from_secs(60));
}
