//! What `doctor` says of a store, against what is known of that store from its authors and from probing it by other means.
use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;
use tsd_import::conf::Role;

use crate::server::Kind;
use crate::world::{PROGRAM, World};

/// Every finding's mark, by what was asked.
fn marks(report: &Value) -> BTreeMap<String, String> {
    let word = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    report["findings"].as_array().unwrap().iter().map(|f| (word(f, "what"), word(f, "mark"))).collect()
}

fn program(args: &[&str], env: &[(&str, &str)], world: &World) -> std::process::Output {
    let mut command = Command::new(PROGRAM);
    let command = command.args(args).arg("--config").arg(world.site.conf(Role::Nsc));
    command.envs(env.iter().copied()).output().unwrap()
}

/// What the receiving side is told about sharing the bucket with other hosts; and a daemon that is to share all the same ends with 78.
pub fn knows_who_can_share(kind: Kind, world: &World, env: &[(&str, &str)]) -> bool {
    let run = |args: &[&str], more: &[(&str, &str)]| {
        let mut command = Command::new(PROGRAM);
        let command = command.args(args).arg("--config").arg(world.site.conf(Role::Tsd));
        command.envs(env.iter().chain(more).copied()).stdin(std::process::Stdio::null()).output().unwrap()
    };
    let found = run(&["doctor", "--seconds", "0", "--json"], &[]);
    let report: Value = serde_json::from_slice(&found.stdout).unwrap();
    let found = marks(&report).get("several receiving hosts").map(|mark| mark == "ok");
    let can = found.unwrap_or_else(|| panic!("{kind:?}\n{report:#}"));
    if !can {
        let refused = run(&["run", "--until-eof"], &[("TSD_IMPORT__SHARE__CLAIMS", "true")]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(78), "{kind:?}\n{said}");
        assert!(said.contains("this store cannot keep two hosts apart"), "{kind:?}\n{said}");
        tsd_import::fs::discard_scratch(&world.site.state(Role::Tsd)).unwrap();
    }
    can
}

/// The exit code and the report.
fn examined(world: &World, env: &[(&str, &str)]) -> (Option<i32>, Value) {
    let found = program(&["doctor", "--seconds", "0", "--json"], env, world);
    let (out, err) = (String::from_utf8_lossy(&found.stdout), String::from_utf8_lossy(&found.stderr));
    (found.status.code(), serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}\n{out}{err}")))
}

/// It finds what this store cannot do; with the lines that it writes nothing is left to be mended. Those lines, as environment.
pub fn knows(kind: Kind, world: &World, env: &[(&str, &str)]) -> Vec<(String, String)> {
    let (code, report) = examined(world, env);
    let found = marks(&report);
    let mark =
        |what: &str| found.get(what).unwrap_or_else(|| panic!("{kind:?}: nothing of {what}\n{report:#}"));
    for what in ["right to put", "right to multipart upload"] {
        assert_eq!(mark(what), "ok", "{kind:?} {what}\n{report:#}");
    }
    // Whether it refuses to replace an object, whether it notices changed bytes under any checksum, and under the signature alone.
    let (only_new, checks, signed) = match kind {
        Kind::SeaweedFs => ("ok", "ok", "no"),
        Kind::Garage => ("no", "ok", "ok"),
        Kind::Moto => ("ok", "no", "no"),
    };
    assert_eq!(mark("put only if new"), only_new, "{kind:?}\n{report:#}");
    // Of what was completed of parts as well; and every kind of proof was examined, none refused for another reason.
    let completed = if only_new == "ok" { "yes" } else { "not-asked" };
    assert_eq!(report["facts"]["only_new_completed"], completed, "{kind:?}\n{report:#}");
    for (word, check) in report["facts"]["checks"].as_object().unwrap() {
        for place in ["put", "part"] {
            let clear = matches!(check[place].as_str(), Some("refused" | "believed"));
            assert!(clear, "{kind:?} {word} {place}: {check:#}");
        }
    }
    assert_eq!(mark("bytes on the wire"), checks, "{kind:?}\n{report:#}");
    assert_eq!(mark("changed bytes under signed"), signed, "{kind:?}\n{report:#}");
    // The signature is what is configured if nothing is said: where that proves nothing and something else does, it must be mended.
    let mend = checks == "ok" && signed == "no";
    assert_eq!(code, Some(if mend { 78 } else { 0 }), "{kind:?}\n{report:#}");
    let lines = report["lines"].as_array().unwrap().iter().map(|line| {
        let (key, value) = line.as_str().unwrap().split_once(" = ").unwrap();
        (format!("TSD_IMPORT__STORE__{}", key.to_uppercase()), value.trim_matches('"').to_owned())
    });
    let lines: Vec<(String, String)> = lines.collect();
    let with: Vec<(&str, &str)> = lines.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let held = (only_new == "ok").to_string();
    assert!(with.contains(&("TSD_IMPORT__STORE__CONDITIONAL", &held)), "{kind:?}: {with:?}");
    let (code, report) = examined(world, &[env, &with].concat());
    assert_eq!(code, Some(0), "{kind:?} with {with:?}\n{report:#}");
    lines
}
