//! A site without a LIMS: work orders are files in a directory, and what became of them is where they lie.
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tsd_import::conf::Role;
use tsd_import::demo::site::{Order, PROJECT, Reads};
use tsd_import::journal::{Event, Phase};
use tsd_import::package::Priority;

use crate::world::{World, sample_ids, text};

/// The site's configuration without a word about a LIMS.
fn without_lims(world: &World, more: &str) -> PathBuf {
    let (orders, conf) = (world.site.dir.join("nsc/orders"), world.site.conf(Role::Nsc));
    tsd_import::fs::create_dir(&orders.join("new")).unwrap();
    let before = std::fs::read_to_string(&conf).unwrap();
    let kept = before.lines().filter(|line| !line.starts_with("lims.") || line.starts_with("lims.interval"));
    let mut now: String = kept.map(|line| format!("{line}\n")).collect();
    now += &format!("orders.source = \"directory\"\norders.directory = \"{}\"\n{more}\n", orders.display());
    tsd_import::fs::write_durably(&conf, now.as_bytes()).unwrap();
    orders
}

/// Reads are delivered; the part of a work order that asks for them.
fn sample(world: &mut World, dna: &str) -> Value {
    let order =
        Order { dna: dna.to_owned(), priority: Priority::Normal, family: None, reads: Reads::Made(100_000) };
    world.site.sequence(&order).unwrap();
    world.site.sums().unwrap();
    let sums = std::fs::read_to_string(world.site.delivery().join("md5sum.txt")).unwrap();
    let md5 = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        sums.lines().find(|l| l.ends_with(name)).unwrap().split_whitespace().next().unwrap().to_owned()
    };
    let delivered = world.site.delivered(dna).unwrap();
    let file = |n: usize| json!({"from": delivered[n - 1], "to": format!("{dna}_S1_R{n}_001.fastq.gz"), "md5": md5(&delivered[n - 1])});
    json!({"kind": "samples", "files": [file(1), file(2)], "sample": {"name": format!("{PROJECT}-{dna}"), "sample_id": dna,
        "project": PROJECT, "sequencer_id": "LH00534", "flowcell_id": "22ABCDLT4", "flowcell": "A", "lane": 1,
        "capturekit": "wgs", "taqman": null, "stats": {"reads": 1200}}})
}

fn put(orders: &Path, name: &str, text: &str) {
    tsd_import::fs::write_durably(&orders.join(format!("new/{name}.json")), text.as_bytes()).unwrap();
}

#[tokio::test]
async fn a_work_order_becomes_ready_and_a_bad_one_is_refused_with_its_reason() {
    let mut world = World::new().await;
    let orders = without_lims(&world, "orders.on_invalid = \"route\"\norders.doubts = 2");
    let dna = ["HG71000001".to_owned(), "HG71000002".to_owned()];
    let packages = [sample(&mut world, &dna[0]), sample(&mut world, &dna[1])];
    let analysis = format!("{PROJECT}-{}-PAIR", dna[0]);
    let samples: Vec<String> = dna.iter().map(|d| format!("{PROJECT}-{d}")).collect();
    let after = json!({"kind": "analyses", "after": samples,
        "analysis": {"name": analysis, "type": "genome", "samples": samples, "params": {"genepanel": "Nett_v01"}}});
    let good = json!({"version": 1, "priority": "high", "packages": [packages[0], packages[1], after]});
    put(&orders, "order-1", &good.to_string());
    let mut bad = good.clone();
    bad["packages"][0]["sample"]["lane"] = json!("three");
    put(&orders, "order-2", &bad.to_string());
    world.start_both();
    let refused = orders.join("refused/order-2.reason.json");
    world.until("the bad one is refused", |_| orders.join("refused/order-2.json").is_file()).await;
    let reason: Value = serde_json::from_slice(&std::fs::read(refused).unwrap()).unwrap();
    let detail = reason["faults"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("order-2.json: packages[0].sample.lane: invalid type"), "{detail}");
    let mut ids = sample_ids(&dna);
    ids.push(format!("analyses/{analysis}/r1"));
    world.until_ready(&ids).await;
    world.until("the good one is done", |_| orders.join("done/order-1.json").is_file()).await;
    put(&orders, "order-1", &good.to_string());
    let says = |w: &World| {
        text(&w.command(Role::Nsc, &["status"]).stdout).contains("was done before (done/order-1.json)")
    };
    world.until("a name is good for one order", says).await;
    world.stop().await;
    world.everything_is_right(&ids);
    let asked = world.site.lims.steps().len();
    assert_eq!(asked, 0, "nobody asked a LIMS");
}

#[tokio::test]
async fn a_kill_between_claim_and_done_costs_nothing_and_repeats_nothing() {
    let mut world = World::new().await;
    let orders = without_lims(&world, "");
    world.start(Role::Tsd, &[]);
    let mut ids = Vec::new();
    for (n, point) in ["packager.intent", "packager.claimed", "packager.ended"].into_iter().enumerate() {
        let (dna, name) = (format!("HG7200000{n}"), format!("order-{n}"));
        let part = sample(&mut world, &dna);
        put(&orders, &name, &json!({"version": 1, "packages": [part]}).to_string());
        world.start(Role::Nsc, &[("FAILPOINTS", &format!("{point}=pause"))]);
        let reached = |w: &World| match n {
            0 => w.events(Role::Nsc).iter().any(
                |l| matches!(&l.event, Event::Claim { order, phase: Phase::Intent, .. } if order.0 == name),
            ),
            1 => orders.join(format!("claimed/{name}.json")).is_file(),
            _ => orders.join(format!("done/{name}.json")).is_file(),
        };
        world.until(point, reached).await;
        world.kill(Role::Nsc).await;
        world.start(Role::Nsc, &[]);
        ids.extend(sample_ids(&[dna]));
        world.until_ready(&ids).await;
        let completed = |w: &World| w.fold(Role::Nsc).orders().all(|o| o.phase == Phase::Completed);
        world.until("its order is completed", completed).await;
        assert!(orders.join(format!("done/{name}.json")).is_file());
        let (new, claimed) = (orders.join("new"), orders.join("claimed"));
        let left = |dir: &Path| std::fs::read_dir(dir).unwrap().count();
        assert_eq!((left(&new), left(&claimed)), (0, 0));
        world.kill(Role::Nsc).await;
    }
    world.start(Role::Nsc, &[]);
    world.stop().await;
    world.everything_is_right(&ids);
    assert_eq!(world.fold(Role::Nsc).orders().count(), 3);
}
