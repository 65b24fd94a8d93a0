//! A limit of bytes a second holds for all packages together, is told, and a reload lifts it under what is on its way.
use rustix::process::Signal;
use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;

use crate::signals::{signal, up};
use crate::world::{World, sample_ids, text};

#[tokio::test]
async fn a_reload_lifts_the_limit_under_packages_on_their_way() {
    let limit = "store.limit = \"32 KiB\"\n";
    let more_of = vec![(Role::Nsc, limit.to_owned())];
    let token_life = std::time::Duration::from_secs(600);
    let mut world = World::with(SiteOptions { more_of, token_life, ..SiteOptions::default() }).await;
    // Minutes of work under the limit.
    let dna = world.samples(2, 6_000_000);
    world.start(Role::Tsd, &[]);
    world.start(Role::Nsc, &[]);
    up(&world, Role::Nsc).await;
    let status = |w: &World| text(&w.command(Role::Nsc, &["status"]).stdout);
    let held = |w: &World| status(w).contains("; held to 32.0 KiB/s by store.limit");
    world.until("the limit is told", held).await;
    let moving = |w: &World| status(w).lines().any(|l| l.starts_with("wire: ") && !l.contains("wire: 0 of"));
    world.until("packages are on their way", moving).await;
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    let said = status(&world);
    let wire = said.lines().find(|l| l.starts_with("wire: ")).unwrap();
    let speed = wire.split("in flight, ").nth(1).unwrap().split(" KiB/s").next().unwrap();
    let speed: f64 = speed.parse().unwrap_or_else(|e| panic!("{wire}: {e}"));
    assert!((28.0..36.0).contains(&speed), "{wire}");
    let conf = world.site.conf(Role::Nsc);
    let file = std::fs::read_to_string(&conf).unwrap();
    assert!(file.contains(limit));
    tsd_import::fs::write_durably(&conf, file.replace(limit, "").as_bytes()).unwrap();
    signal(&world, Role::Nsc, Signal::HUP);
    world.until_ready(&sample_ids(&dna)).await;
    assert!(!status(&world).contains("held to"), "{}", status(&world));
    world.see_it_through(&sample_ids(&dna)).await;
}
