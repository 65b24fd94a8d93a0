//! `doctor` before the first run: both sides of a good store, and stores that are away, refuse or expired.
use tsd_import::conf::Role;

use crate::world::{World, text};

fn doctor(world: &World, role: Role, more: &[&str]) -> (Option<i32>, String, String) {
    let output = world.command(role, &[&["doctor", "--seconds", "0"], more].concat());
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_is_examined_from_both_sides_and_the_lines_can_be_used() {
    let mut world = World::new().await;
    // Nothing was sent yet: what cannot be examined on this side is said with what to do, and is nothing to mend.
    let (code, out, err) = doctor(&world, Role::Tsd, &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    for words in [
        " ? right to get: not examined: there is no object to try it on (404",
        " ? ranges: not examined, as little as how fast objects come: there is none below tsd-import/; run doctor on the nsc side",
    ] {
        assert!(out.lines().any(|own| own.starts_with(words)), "{words}\n{out}");
    }
    let lines = world.path().join("found.toml");
    let (code, out, err) = doctor(&world, Role::Nsc, &["--write", lines.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{out}{err}");
    for line in [
        " ● right to put: granted",
        " ○ right to list: refused, and not needed here",
        " ● changed bytes under crc64nvme: refused, of whole objects and of parts; its answers repeat the value",
        " ● parts of an upload: numbers up to 10000 are taken",
        " ● largest file: files up to 48.8 GiB: 10000 parts of 5.0 MiB; beyond that parts grow to a size that was not tried",
        " ● put only if new: held, also by eight writers at once, and for what was completed of parts",
        "checksum = \"crc64nvme\"",
    ] {
        assert!(out.lines().any(|own| own == line), "{line}\n{out}");
    }
    assert!(out.contains("stay in the bucket, because this key may not remove them"), "{out}");
    let (code, _, err) = doctor(&world, Role::Nsc, &["--write", lines.to_str().unwrap()]);
    assert!(code == Some(78) && err.contains("is there already"), "{err}");

    let (code, out, err) = doctor(&world, Role::Tsd, &["--json"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["facts"]["ranges"], "yes", "it reads what the other side's doctor left: {out}");
    assert_eq!(json["facts"]["configured"]["role"], "tsd");

    // The lines are a configuration, and what the doctor left disturbs nobody.
    let found = std::fs::read_to_string(&lines).unwrap();
    let conf = world.site.conf(Role::Nsc);
    let old = std::fs::read_to_string(&conf).unwrap();
    let found = found.lines().filter(|l| l.contains(" = ")).map(|l| format!("store.{l}\n"));
    tsd_import::fs::write_durably(&conf, (old + &found.collect::<String>()).as_bytes()).unwrap();
    let checked = world.command(Role::Nsc, &["config", "check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    let dna = world.samples(1, 100_000);
    world.start_both();
    world.see_it_through(&crate::world::sample_ids(&dna)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_the_store_from_answering_is_said_with_its_cure() {
    let world = World::new().await;
    let conf = world.site.conf(Role::Nsc);
    let good = std::fs::read_to_string(&conf).unwrap();
    let write = |text: &str| tsd_import::fs::write_durably(&conf, text.as_bytes()).unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // As a proxy sees it: no such host. The bucket is found in the path.
    let named = world.site.endpoint.replace("127.0.0.1", "localhost");
    let by_host = good.replace(&world.site.endpoint, &named) + "store.path_style = false\n";
    write(&by_host);
    let (found, out, err) = doctor(&world, Role::Nsc, &[]);
    assert!(
        found == Some(78) && out.contains("!○ store.path_style: the bucket is found if p22-import"),
        "{out}{err}"
    );
    assert!(out.ends_with("[store]\npath_style = true\n"), "{out}");
    write(&by_host.replace("path_style = false", "path_style = true"));
    assert_eq!(doctor(&world, Role::Nsc, &[]).0, Some(0));

    for (text, code, words) in [
        (
            good.replace(&world.site.endpoint, &format!("http://{closed}")),
            75,
            "no connection to store.endpoint",
        ),
        (good.replace("p22-import", "p22-export"), 78, "correct store.bucket"),
        (good.replace("\"sender\"", "\"nobody\""), 78, "correct store.access_key"),
        (good.replace("\"sender\"", "\"receiver\""), 78, "store.secret_key_file"),
    ] {
        assert_ne!(text, good, "{words}");
        write(&text);
        let (found, out, err) = doctor(&world, Role::Nsc, &[]);
        assert!(found == Some(code) && out.contains(words), "{found:?} {words}\n{out}{err}");
        assert!(out.starts_with("!○ the store: "), "{out}");
    }
}
