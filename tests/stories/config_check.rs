//! `config check --against-lims` on a site before its first run: what fits, what does not, and a LIMS that is away.
use tsd_import::conf::Role;
use tsd_import::demo::lims::{Fault, FaultRule, Udf};
use tsd_import::demo::site::{Order, Reads};
use tsd_import::package::Priority;

use crate::world::{World, text};

fn check(world: &World) -> (Option<i32>, String, String) {
    let output = world.command(Role::Nsc, &["config", "check", "--against-lims"]);
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_compared_with_the_lims_before_anything_is_claimed() {
    let mut world = World::new().await;
    let _queued = world.samples(1, 1000);
    // Fields that this site has, though none of its samples has a value in them yet.
    let lims = world.site.lims.clone();
    let names = ["Analysis type Diag", "Family number Diag", "Relation Diag", "Priority Diag"];
    let names = names.into_iter().chain(["Analysis registered Diag", "Reanalysis old sample ID Diag"]);
    lims.edit_udfs("OUS1A1", |udfs| udfs.extend(names.map(|name| Udf::string(name, "x")))).unwrap();
    let another = Order {
        dna: "HG30009999".into(),
        priority: Priority::Normal,
        family: None,
        reads: Reads::Made(1000),
    };
    let outputs = world.site.sequence(&another).unwrap().outputs;
    lims.edit_udfs(&outputs[0], |udfs| udfs.push(Udf::boolean("ORA compression", false))).unwrap();

    let (code, out, err) = check(&world);
    assert_eq!(code, Some(0), "{out}{err}");
    for line in [
        "ok    LIMS: answers, API v2 r33",
        "ok    queue of step 1601: readable, 1 sample(s) wait",
        "ok    export step: 1601 \"Lims exporter diag 2.0\" of protocol 901",
        "ok    signature: none is asked for",
        "ok    lims.user: researcher 3",
        "ok    lims.fields.run_id: \"Run ID\" of NovaSeq X Run",
        "ok    lims.fields.reads: \"# Reads\" of ResultFile",
        "?     lims.priorities: the LIMS offers no values for \"Priority Diag\"",
        "the LIMS and the configuration fit together",
    ] {
        assert!(out.lines().any(|own| own == line), "{line}\n{out}");
    }
    assert!(lims.requests().iter().all(|r| r.method == "GET") && lims.steps().is_empty());

    // A name that the LIMS does not know.
    let conf = world.site.conf(Role::Nsc);
    let good = std::fs::read_to_string(&conf).unwrap();
    let write = |text: String| tsd_import::fs::write_durably(&conf, text.as_bytes()).unwrap();
    write(format!("{good}lims.fields.gene_panel = \"Genpanel Diag\"\n"));
    let (code, out, err) = check(&world);
    assert_eq!(code, Some(78), "{out}{err}");
    let fault =
        "FAULT lims.fields.gene_panel: Sample has no field \"Genpanel Diag\" in the LIMS: correct the name";
    assert!(out.lines().any(|own| own == fault), "{out}");
    assert!(err.contains("1 fault(s)"), "{err}");

    // A wrong step, and a password that is not accepted.
    write(good.replace("lims.step = 1601", "lims.step = 1609"));
    let (code, out, _) = check(&world);
    assert_eq!(code, Some(78));
    assert!(out.contains("FAULT export step") && out.contains("only: 1601 Lims exporter diag 2.0"), "{out}");
    write(good.clone());
    lims.fault(FaultRule::always("GET", "/api", Fault::Empty401));
    let (code, _, err) = check(&world);
    assert_eq!(code, Some(78));
    assert!(err.contains("does not accept the password of user \"apiuser\""), "{err}");

    // A LIMS that is away.
    lims.clear_faults();
    lims.fault(FaultRule::always("GET", "/api", Fault::Html503));
    write(format!("{good}lims.attempts = 1\n"));
    let (code, _, err) = check(&world);
    assert_eq!(code, Some(75));
    assert!(err.contains("could not reach the LIMS"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_lims_to_compare_with_on_the_other_side() {
    let world = World::new().await;
    let output = world.command(Role::Tsd, &["config", "check", "--against-lims"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("leave --against-lims out"));
    assert_eq!(world.command(Role::Tsd, &["config", "check"]).status.code(), Some(0));
}
