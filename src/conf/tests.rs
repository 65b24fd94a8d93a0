use super::*;
use crate::package::Priority;
use std::io::Write;
use std::time::Duration;

fn load(text: &str, env: &[(&str, &str)]) -> Result<Conf, Complaints> {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Conf::load_with(Some(file.path()), None, env)
}

fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn every_shipped_file_is_read() {
    let mut read = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "toml") || path.ends_with("default.toml") {
            continue; // the defaults are under every other file
        }
        let conf =
            Conf::load_with(Some(&path), None, []).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(path.ends_with(format!("{}.toml", conf.role)));
        read += 1;
    }
    assert_eq!(read, 2);
}

#[test]
fn the_real_values_arrive() {
    let conf = load(&shipped("tsd.toml"), &[]).unwrap();
    let Side::Tsd(tsd) = conf.side else { panic!("role tsd") };
    let kinds: Vec<String> = tsd.landing.keys().map(ToString::to_string).collect();
    assert_eq!(
        kinds,
        ["analyses", "analyses-results/singles", "analyses-results/trios", "ella-incoming", "samples"]
    );
    let samples = &tsd.landing[&"samples".parse().unwrap()];
    assert_eq!(samples.destination, Path::new("/ess/p22/archive/no-backup/samples"));
    assert_eq!((samples.ready, samples.dir_mode, samples.file_mode), (true, Some(0o2770), Some(0o660)));
    assert!(!tsd.landing[&"analyses-results/trios".parse().unwrap()].ready);
    let conf = load(&shipped("nsc.toml"), &[]).unwrap();
    assert_eq!((conf.store.part_size, conf.store.memory), (32_000_000, 160_000_000));
    assert_eq!(conf.store.headers["x-project-select"], "p22");
    let Side::Nsc(nsc) = conf.side else { panic!("role nsc") };
    assert_eq!(nsc.lims.priorities["urgent"], Priority::Urgent);
    assert_eq!(nsc.transfer.settle, None);
}

#[test]
fn the_settings_of_the_wire() {
    let wire = "checksum = \"crc64nvme\"\nlimit = \"400 MiB\"\ntimezone = \"Europe/Oslo\"\n";
    let table = "[store.timetable]\n\"18:00\" = \"off\"\n\"07:30\" = \"200 MiB\"\n[lims]\n";
    let text = shipped("nsc.toml")
        .replacen("part_size =", &format!("{wire}part_size ="), 1)
        .replacen("[lims]\n", table, 1);
    let store = load(&text, &[]).unwrap().store;
    assert_eq!(store.checksum, Checksum::Crc64Nvme);
    let pace = store.pace;
    assert_eq!((pace.limit, pace.zone.iana_name()), (Some(400 << 20), Some("Europe/Oslo")));
    assert_eq!(pace.timetable, [(450, Some(200 << 20)), (1080, None)]);
    let odd = text
        .replace("18:00", "25:00")
        .replace("200 MiB", "fast")
        .replace("crc64nvme", "crc7")
        .replace("Oslo", "Nowhere");
    let said = load(&odd, &[]).unwrap_err().to_string();
    for expected in [
        "\"25:00\" is not a time of day",
        "store.timetable.07:30: expected bytes",
        "store.checksum: expected",
        "store.timezone: ",
    ] {
        assert!(said.contains(expected), "missing {expected:?} in {said}");
    }
}

#[test]
fn a_limit_of_nothing_is_refused_and_off_is_none() {
    let with =
        |limit: &str, table: &str| {
            let text = shipped("nsc.toml")
                .replacen("part_size =", &format!("{limit}\npart_size ="), 1)
                .replacen("[lims]\n", &format!("[store.timetable]\n{table}\n[lims]\n"), 1);
            load(&text, &[])
        };
    for nothing in ["\"0\"", "\"0 MiB\"", "0", "\"0.3 B\""] {
        let said = with(&format!("limit = {nothing}"), "").unwrap_err().to_string();
        assert!(said.contains("store.limit: ") && said.contains("use \"off\" for no limit"), "{said}");
        let said = with("", &format!("\"07:30\" = {nothing}")).unwrap_err().to_string();
        assert!(said.contains("store.timetable.07:30: ") && said.contains("use \"off\""), "{said}");
    }
    assert_eq!(with("limit = \"off\"", "").unwrap().store.pace.limit, None);
    assert_eq!(with("limit = \"1 KiB\"", "").unwrap().store.pace.limit, Some(1024));
    let twice = with("", "\"7:30\" = \"1 MiB\"\n\"07:30\" = \"2 MiB\"").unwrap_err().to_string();
    assert!(twice.contains("store.timetable: ") && twice.contains("twice, written differently"), "{twice}");
    assert!(with("", "\"7:30\" = \"1 MiB\"\n\"07:31\" = \"2 MiB\"").is_ok());
}

#[test]
fn a_store_that_hangs_makes_an_outage_before_a_package_is_blamed() {
    let with = |stall: &str| load(&shipped("nsc.toml"), &[("TSD_IMPORT__WORK__UNIT_STALL", stall)]);
    let conf = with("22 min").unwrap();
    assert_eq!(conf.store.endurance().whole(0), Duration::from_secs(4 * 300 + 60));
    let said = with("21 min").unwrap_err().to_string();
    assert!(said.contains("work.unit_stall: ") && said.contains("while nothing moves (1260s"), "{said}");
    // Longer than work.unit_stall, which is why bytes that move are signs of life.
    let part = Endurance { min_rate: 64 << 10, ..conf.store.endurance() };
    assert_eq!(part.attempt(16 << 20), Duration::from_secs(2 * 300 + 256 + 40));
    assert_eq!(part.whole(16 << 20), Duration::from_secs(4 * 896 + 60));
}

#[test]
fn a_proxy_is_shown_without_its_password() {
    for (address, shown) in [
        ("http://proxy:3128", "\"http://proxy:3128\""),
        ("http://someone:sesame@proxy:3128", "\"http://***@proxy:3128\""),
        ("https://someone:se/s@me@proxy", "\"https://***@proxy\""),
    ] {
        let env = [("TSD_IMPORT__STORE__PROXY", address)];
        let conf = load(&shipped("nsc.toml"), &env).unwrap();
        assert_eq!(conf.store.proxy.as_ref().unwrap().expose(), address);
        assert!(format!("{conf:?}").contains(&format!("proxy: Some({shown})")), "{conf:?}");
    }
    let odd =
        load(&shipped("nsc.toml"), &[("TSD_IMPORT__STORE__PROXY", "someone:sesame@proxy")]).unwrap_err();
    assert!(!odd.to_string().contains("sesame") && odd.to_string().contains("store.proxy: "), "{odd}");
    let torn = "[store]\nendpoint = \"https://h\"\nproxy = \"http://someone:se@ame@proxy:1\nbucket = \"b\"\n";
    let said = load(torn, &[]).unwrap_err().to_string();
    assert!(said.contains("http://***@proxy:1") && !said.contains("ame@"), "the line is shown: {said}");
}

#[test]
fn the_environment_overrules_the_file() {
    let conf =
        load(&shipped("nsc.toml"), &[("TSD_IMPORT__STORE__BUCKET", "other"), ("UNRELATED", "x")]).unwrap();
    assert_eq!(conf.store.bucket, "other");
}

#[test]
fn all_complaints_come_at_once_and_each_names_its_key() {
    let text = shipped("nsc.toml")
        .replace("part_size = \"32 MB\"", "part_size = \"lots\"")
        .replace("user = \"tsd-import\"", "")
        .replace("role = \"nsc\"", "role = \"nsc\"\nroel = 1")
        .replace("root = \"/boston/diag/transfer\"", "root = \"transfer\"");
    let said = load(&text, &[("TSD_IMPORT__WORK__MAX_FAILURES", "0")]).unwrap_err();
    let all = said.to_string();
    for expected in [
        "store.part_size: expected a number of bytes such as \"64 MiB\", found \"lots\"",
        "lims.user: must be set",
        "roel: unknown key",
        "transfer.root: expected an absolute path, found \"transfer\"",
        "the environment: work.max_failures: expected a whole number from 1 up, found \"0\"",
    ] {
        assert!(all.contains(expected), "missing {expected:?} in {all}");
    }
    assert!(said.0.iter().filter(|c| !c.contains("environment")).all(|c| c.contains(".toml: ")), "{all}");
}

#[test]
fn a_missing_file_and_broken_toml_are_named() {
    let missing = Conf::load_with(Some(Path::new("/nowhere/x.toml")), None, []).unwrap_err().to_string();
    assert!(missing.contains("/nowhere/x.toml") && missing.contains("--config"), "{missing}");
    let broken = load("role = ", &[]).unwrap_err().to_string();
    assert!(broken.contains(".toml"), "{broken}");
}

#[test]
fn an_impossible_back_off_is_refused() {
    let text = shipped("nsc.toml") + "\n[supervisor]\nbackoff = \"2 min\"\n";
    let said = load(&text, &[]).unwrap_err().to_string();
    assert!(said.contains("supervisor.backoff: a back-off from 120s to 30s makes no sense"), "{said}");
}

/// With the shipped back-off ten restarts take nearly two minutes, so in one minute they can never be too many.
#[test]
fn a_budget_that_can_never_be_used_up_is_refused() {
    let text = shipped("nsc.toml") + "\n[supervisor]\nperiod = \"1 min\"\n";
    let said = load(&text, &[]).unwrap_err().to_string();
    assert!(said.contains("supervisor.max_restarts: 10 restarts cannot happen within 60s"), "{said}");
    assert!(said.contains("allow at most 8"), "{said}");
    assert!(load(&(text + "max_restarts = 8\n"), &[]).is_ok(), "what it advises is accepted");
}

#[test]
fn a_lease_longer_than_actors_may_wait_is_refused() {
    let said = load(&shipped("nsc.toml"), &[("TSD_IMPORT__STATE__LEASE", "2 min")]).unwrap_err().to_string();
    assert!(said.contains("state.lease: ") && said.contains("shorter than twice supervisor.stall"), "{said}");
}

#[test]
fn a_lease_that_a_busy_disk_would_end_is_refused() {
    let conf = load(&shipped("nsc.toml"), &[]).unwrap();
    assert_eq!(conf.lease, std::time::Duration::from_secs(30));
    for odd in ["1 s", "1 h"] {
        let said = load(&shipped("nsc.toml"), &[("TSD_IMPORT__STATE__LEASE", odd)]).unwrap_err().to_string();
        assert!(said.contains("state.lease: ") && said.contains("is not between 2s and 600s"), "{said}");
    }
}

#[test]
fn patience_with_a_disk_ends_before_a_package_is_blamed() {
    let text = shipped("tsd.toml") + "\n[disk]\npatience = \"1 h\"\n";
    let said = load(&text, &[]).unwrap_err().to_string();
    assert!(said.contains("disk.patience: 3600s must be shorter than work.unit_stall (1800s)"), "{said}");
    let conf = load(&shipped("nsc.toml"), &[]).unwrap();
    assert_eq!(conf.work.disk_patience.as_secs(), 120);
}

#[test]
fn missing_secret_files_are_named_with_their_key() {
    let said = load(&shipped("nsc.toml"), &[]).unwrap().check_files().unwrap_err().to_string();
    for key in ["store.secret_key_file", "store.header_files.token", "lims.password_file", "delivery.root"] {
        assert!(said.contains(key), "{said}");
    }
}

/// A site whose orders are files is asked nothing about a LIMS; one with a LIMS is.
#[test]
fn a_lims_is_demanded_only_where_orders_come_from_it() {
    let shipped = shipped("nsc.toml");
    let mut section = String::new();
    let mut kept = String::new();
    for line in shipped.lines() {
        if line.starts_with('[') {
            section = line.to_owned();
        }
        if !section.starts_with("[lims") && !line.starts_with("lims.") {
            kept += &format!("{line}\n");
        }
    }
    let said = load(&kept, &[]).unwrap_err().to_string();
    assert!(said.contains("lims.base: must be set") && said.contains("lims.user: must be set"), "{said}");
    let directory = [
        ("TSD_IMPORT__ORDERS__SOURCE", "directory"),
        ("TSD_IMPORT__ORDERS__ON_INVALID", "route"),
        ("TSD_IMPORT__ORDERS__DIRECTORY", "/data/orders"),
    ];
    let conf = load(&kept, &directory).unwrap();
    let Side::Nsc(nsc) = conf.side else { panic!("role nsc") };
    assert_eq!(nsc.orders.source, OrderSource::Directory("/data/orders".into()));
    let said = load(&kept, &directory[..2]).unwrap_err().to_string();
    assert!(said.contains("orders.directory: must be set"), "{said}");
}
