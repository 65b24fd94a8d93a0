//! A process whose lease is over changes nothing: not a file, not the store, not the LIMS. It has a process of its own, because
//! the lease that governs is the process's.
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use tsd_import::clarity::{Class, Client, LimsId, Settings};
use tsd_import::conf::{Checksum, PaceConf, StoreConf};
use tsd_import::disk::{Disk, Disks};
use tsd_import::fs::{self, FsError, Mode};
use tsd_import::hashing::Hashing;
use tsd_import::lease::{self, Lease, Moment};
use tsd_import::secret::Secret;
use tsd_import::store::{Only, Origin, Store, StoreError};
use tsd_import::supervisor::meter::Board;

fn store(dir: &Path, endpoint: String, disk: &Disk) -> Store {
    let conf = StoreConf {
        endpoint,
        region: "us-east-1".into(),
        bucket: "b".into(),
        prefix: "p".into(),
        path_style: true,
        access_key: "k".into(),
        secret_key_file: dir.join("secret"),
        ca_file: None,
        proxy: None,
        checksum: Checksum::Signed,
        conditional: false,
        part_size: 5 << 20,
        max_parts: 100,
        parts_in_flight: 2,
        memory: 64 << 20,
        range_size: 8 << 20,
        files_at_once: 1,
        attempts: 3,
        attempt_timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(5),
        min_rate: 1,
        pace: PaceConf { limit: None, timetable: Vec::new(), zone: jiff::tz::TimeZone::UTC },
        hash_threads: 1,
        headers: Default::default(),
        header_files: Default::default(),
    };
    Store::new(&conf, disk.clone(), Hashing::start(1).unwrap()).unwrap()
}

#[tokio::test]
async fn nothing_is_changed_without_a_lease() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    // Nobody answers here; a connection would wait to be accepted.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    fs::write_durably(&at("secret"), b"hush\n").unwrap();
    fs::set_mode(&at("secret"), 0o600).unwrap();
    fs::write_durably(&at("large"), &vec![7; 12 << 20]).unwrap();
    fs::create_dir(&at("scratch")).unwrap();
    let disks = Disks::new(1, Duration::from_secs(60), std::sync::Arc::new(|_, _, _| {}));
    let disk = disks.at("t", dir.path()).unwrap();
    let store = store(dir.path(), endpoint.clone(), &disk);
    let lims = Client::new(Settings {
        base: format!("{endpoint}/api/v2"),
        user: "u".into(),
        password: Secret::from_file(&at("secret")).unwrap(),
        deadline: Duration::from_secs(5),
        attempts: 1,
        max_body: 1000,
        ca_file: None,
    })
    .unwrap();
    let listing = || {
        let names = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    let before = listing();

    let lease = Lease::new(Duration::from_secs(30), Moment::now());
    lease::govern(lease.clone());
    fs::write_durably(&at("secret"), b"hush\n").unwrap(); // as long as it is good
    lease.release().unwrap();

    type Change<'a> = (&'static str, &'a dyn Fn() -> Result<(), FsError>);
    let changes: &[Change<'_>] = &[
        ("create_dir", &|| fs::create_dir(&at("new/dir"))),
        ("write_durably", &|| fs::write_durably(&at("secret"), b"x")),
        ("write_durably_via", &|| fs::write_durably_via(&at("scratch"), &at("new"), b"x")),
        ("write_volatile", &|| fs::write_volatile(&at("new"), b"x")),
        ("write_volatile_for_all", &|| fs::write_volatile_for_all(&at("new"), b"x")),
        ("publish", &|| fs::publish(&at("large"), &at("new"))),
        ("discard_scratch", &|| fs::discard_scratch(&at("scratch"))),
        ("remove_file", &|| fs::remove_file(&at("large"))),
        ("remove_dir", &|| fs::remove_dir(&at("scratch"))),
        ("open new", &|| fs::open(&at("new"), Mode::New).map(drop)),
        ("open emptied", &|| fs::open(&at("large"), Mode::Emptied).map(drop)),
        ("open to append", &|| fs::open(&at("new"), Mode::Append).map(drop)),
        ("open kept", &|| fs::open(&at("large"), Mode::Kept).map(drop)),
        ("hard_link", &|| fs::hard_link(&at("large"), &at("new"))),
        ("set_group", &|| fs::set_group(&at("secret"), rustix::process::getegid().as_raw())),
        ("set_mode", &|| fs::set_mode(&at("secret"), 0o600)),
    ];
    for (name, change) in changes {
        let refused = change().expect_err(name);
        assert!(refused.fenced().is_some() && !refused.is_outage(), "{name}: {refused}");
    }
    assert_eq!(listing(), before);
    assert_eq!(std::fs::read(at("secret")).unwrap(), b"hush\n");
    assert_eq!(std::fs::metadata(at("large")).unwrap().len(), 12 << 20);

    let meter = Board::default().begin("uploader", "t".into());
    let hold = disks.hold("t").await.unwrap();
    let (secret, large) = (at("secret"), at("large"));
    let from = |path| {
        let expected = fs::Fingerprint::of(path).unwrap();
        Origin { hold: &hold, disk: &disk, path, expected, urgency: 0, flow: 0, kept: None }
    };
    let sent = [
        store.put("p/COMMIT", bytes::Bytes::from_static(b"{}")).await.map(drop),
        store.send_file("p/secret", from(&secret), true, None, &meter).await.map(drop),
        store.send_file("p/large", from(&large), true, None, &meter).await.map(drop),
        store.get_small("p/COMMIT", 10).await.map(drop),
        store.put_only("p/claims/x", bytes::Bytes::from_static(b"{}"), &Only::New).await.map(drop),
        store.get_tagged("p/claims/x", 10).await.map(drop),
        store.list("p/", |_| {}).await,
    ];
    for refused in sent {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, StoreError::Fenced { .. }) && refused.is_fenced(), "{refused}");
    }
    let id = LimsId::new("24-1").unwrap();
    let configuration = format!("{endpoint}/api/v2/configuration/protocols/1/steps/1");
    for refused in [
        lims.start_step(&configuration, std::slice::from_ref(&id)).await.map(drop),
        lims.abort_step(&id).await,
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.class(), Class::Fenced, "{refused}");
        assert!(
            refused.to_string().contains("was not sent to the LIMS: this process has given up"),
            "{refused}"
        );
    }
    let nobody = listener.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock, "nothing went over the network");
}
