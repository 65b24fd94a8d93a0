//! The automation system never begins an analysis before all samples of its family are there.
use serde_json::json;
use tsd_import::conf::Role;
use tsd_import::package::{PackageId, Reason, State};

use crate::cargo::{Cargo, Sender, put};
use crate::world::{World, text};

fn trio(name: &str, samples: &[&str], pedigree: [&str; 3]) -> Cargo {
    let [proband, father, mother] = pedigree;
    Cargo::analysis(name).document(|analysis| {
        analysis["samples"] = json!(samples);
        analysis["params"]["pedigree"] =
            json!({"proband": {"sample": proband}, "father": {"sample": father}, "mother": {"sample": mother}});
    })
}

fn state(world: &World, id: &PackageId) -> Option<State> {
    world.state(Role::Tsd, &id.to_string())
}

#[tokio::test]
async fn an_analysis_waits_until_its_samples_have_landed() {
    let mut world = World::new().await;
    let mut sender = Sender::of(&world);
    // One landed before this receiver began, as its place shows; one carries a uuid; one comes last.
    put(&world.site.landing("samples").join("Diag-old/READY"), b"");
    let uuid = "3c52f4e7-826d-40dd-bd98-f4356deeb098";
    let with_uuid = sender.put(&Cargo { name: format!("Diag-p-{uuid}"), ..Cargo::sample("Diag-p") });
    let family = ["Diag-p", "Diag-old", "Diag-m"];
    let whole = sender.put(&trio("Diag-TRIO", &family, family));
    let stranger = sender.put(&trio("Diag-STRANGER", &family[..2], family));
    let soon = [("TSD_IMPORT__WORK__RETRY_FIRST", "50 ms"), ("TSD_IMPORT__WORK__RETRY_MAX", "100 ms")];
    // What waits for the samples must not take their places.
    let landed = [("TSD_IMPORT__LANDING__ANALYSES__MEMBERS", "landed"), ("TSD_IMPORT__WORK__UNDER_WAY", "2")];
    world.start(Role::Tsd, &[&soon[..], &landed].concat());
    world.until("one sample landed", |w| state(w, &with_uuid) == Some(State::Ready)).await;
    let waits = |w: &World| text(&w.command(Role::Tsd, &["status"]).stdout);
    world.until("the trio is said to wait", |w| waits(w).contains("which have not landed: Diag-m\n")).await;
    // Long enough to have landed, and looked at more than once.
    tokio::time::sleep(std::time::Duration::from_secs(7)).await;
    assert_eq!(state(&world, &whole), Some(State::Copied), "{}", waits(&world));
    assert!(!world.site.landing("analyses").join("Diag-TRIO").exists());

    let last = sender.put(&Cargo::sample("Diag-m"));
    world.until("the last one landed", |w| state(w, &last) == Some(State::Ready)).await;
    world.until("then the trio", |w| state(w, &whole) == Some(State::Ready)).await;
    assert!(world.site.landing("analyses").join("Diag-TRIO/READY").is_file());
    world.until("nobody is said to wait", |w| !waits(w).contains("have not landed")).await;

    // One that contradicts itself waits like any other, and is never handed over.
    world.until("the other is stopped", |w| state(w, &stranger) == Some(State::Quarantined)).await;
    let fold = world.fold(Role::Tsd);
    let facts = &fold.package(&stranger).unwrap().facts;
    assert_eq!(facts.reason, Some(Reason::BadDocument));
    assert!(facts.detail.as_ref().unwrap().contains("Diag-m of its pedigree is not among its samples"));
    world.stop().await;
}
