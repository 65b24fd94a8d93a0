//! The control socket of real daemons: who may ask, what is answered while things go wrong, and that asking harms nobody.
mod numbers;
mod parser;

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;

use crate::signals::{ended, signal, up};
use crate::world::{PROGRAM, World, sample_ids, tail, text};

pub fn socket(world: &World, role: Role) -> PathBuf {
    world.site.state(role).join("control.sock")
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Sends this request and reads until the other side closes.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 1 << 14]);
    loop {
        let read = tokio::time::timeout(Duration::from_secs(15), stream.read(&mut piece)).await;
        match read.unwrap_or_else(|_| panic!("no end within 15 s: {}", text(&bytes))) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&piece[..n]),
            // What was not read of a request that is too long is thrown away behind the answer.
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset && !bytes.is_empty() => break,
            Err(e) => panic!("{e}: {request}"),
        }
    }
    let whole = text(&bytes);
    let (head, body) = whole.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{request}: {whole}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut body = body.to_owned();
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        // One piece and the end, which is all that these answers ever have.
        let (_, rest) = body.split_once("\r\n").unwrap();
        body = rest.trim_end_matches("\r\n0\r\n\r\n").to_owned();
    }
    Answer { status, head: head.to_owned(), body }
}

async fn connected(path: &Path) -> UnixStream {
    let begun = Instant::now();
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return stream,
            Err(e) => assert!(begun.elapsed() < Duration::from_secs(30), "{}: {e}", path.display()),
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// One request with these headers more.
pub async fn ask_with(path: &Path, line: &str, headers: &str) -> Answer {
    let request = format!("{line} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n");
    exchange(connected(path).await, &request).await
}

pub async fn ask(path: &Path, target: &str) -> Answer {
    ask_with(path, &format!("GET {target}"), "host: localhost\r\n").await
}

fn json(answer: &Answer) -> serde_json::Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {}\n{}", answer.head, answer.body))
}

/// A command beside the daemons, which go on meanwhile.
async fn command(world: &World, role: Role, args: &[&str]) -> std::process::Output {
    let mut command = tokio::process::Command::new(PROGRAM);
    let command = command.args(args).arg("--config").arg(world.site.conf(role)).kill_on_drop(true);
    tokio::time::timeout(Duration::from_secs(30), command.output()).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_is_described_answers_and_what_is_not_is_refused_in_words() {
    let mut world = World::new().await;
    world.start(Role::Nsc, &[]);
    up(&world, Role::Nsc).await;
    let path = socket(&world, Role::Nsc);
    let there = std::fs::metadata(&path).unwrap();
    assert!(there.file_type().is_socket());
    assert_eq!(there.permissions().mode() & 0o777, 0o600);

    let described = json(&ask(&path, "/v1/openapi.json").await);
    let paths = described["paths"].as_object().unwrap();
    assert!(paths.len() >= 6, "{paths:?}");
    for (target, methods) in paths {
        if target == "/v1/acts" {
            assert_eq!(methods.as_object().unwrap().keys().collect::<Vec<_>>(), ["post"]);
            continue; // the stories of the levers use it
        }
        assert!(methods.get("get").is_some(), "{target}");
        let good = &methods["get"]["responses"]["200"]["content"];
        if target == "/v1/events" {
            continue; // has no end; the stories below read it
        }
        let needs = &methods["get"]["parameters"][0];
        let asked = match needs["required"].as_bool() {
            Some(true) => format!("{target}?{}=nothing", needs["name"].as_str().unwrap()),
            _ => target.clone(),
        };
        let answer = ask(&path, &asked).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.body);
        let head = answer.head.to_ascii_lowercase();
        let media = head.split("content-type: ").nth(1).unwrap().split(['\r', ';']).next().unwrap();
        assert!(good.get(media).is_some(), "{target}: {media} is not described");
        assert!(head.contains(&format!("server: tsd-import/{}", env!("CARGO_PKG_VERSION"))), "{head}");
        assert!(!head.contains("access-control"), "no other site may read it: {head}");
        let schema = &good[media]["schema"];
        for key in schema["required"].as_array().into_iter().flatten() {
            assert!(json(&answer).get(key.as_str().unwrap()).is_some(), "{target}: {key} is missing");
        }
        if let Some(known) = schema["properties"].as_object() {
            for key in json(&answer).as_object().unwrap().keys() {
                assert!(known.contains_key(key), "{target}: {key} is not described");
            }
        }
    }

    let host = "host: localhost\r\n";
    for (line, headers, status) in [
        ("GET /none", host.to_owned(), 404),
        ("POST /healthz", host.to_owned(), 405),
        ("GET /healthz", "host: evil.example\r\n".into(), 421),
        ("GET /healthz", format!("{host}origin: http://evil.example\r\n"), 403),
        ("GET /healthz", String::new(), 400),
        ("GET /healthz", format!("{host}content-length: 70000\r\n"), 413),
        ("GET /v1/events", format!("{host}last-event-id: x\r\n"), 400),
    ] {
        let answer = ask_with(&path, line, &headers).await;
        assert_eq!(answer.status, status, "{line} {headers}");
        assert!(answer.head.to_ascii_lowercase().contains("application/problem+json"), "{}", answer.head);
        let problem = json(&answer);
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().is_some_and(|d| d.len() > 20), "{problem}");
    }
    let long = ask_with(&path, "GET /healthz", &format!("{host}x: {}\r\n", "y".repeat(70_000))).await;
    assert_eq!(long.status, 431);

    let raw = command(&world, Role::Nsc, &["control", "get", "/v1/snapshot"]).await;
    assert!(raw.status.success(), "{}", text(&raw.stderr));
    let snapshot: serde_json::Value = serde_json::from_slice(&raw.stdout).unwrap();
    assert_eq!(snapshot["actors"].as_array().unwrap().len(), 3);
    let none = command(&world, Role::Nsc, &["control", "get", "/none"]).await;
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stdout).contains("there is nothing here"), "{}", text(&none.stdout));
    world.stop().await;
}

#[tokio::test]
async fn what_a_dead_daemon_left_is_replaced_and_a_command_says_that_none_runs() {
    let mut world = World::new().await;
    world.start(Role::Tsd, &[]);
    up(&world, Role::Tsd).await;
    let path = socket(&world, Role::Tsd);
    assert_eq!(ask(&path, "/healthz").await.status, 200);
    world.kill(Role::Tsd).await;
    assert!(path.exists(), "nobody could tidy up");
    let asked = command(&world, Role::Tsd, &["control", "get", "/healthz"]).await;
    assert_eq!(asked.status.code(), Some(75));
    let said = text(&asked.stderr);
    assert!(said.contains("no daemon answers at") && said.contains("control.sock"), "{said}");
    world.start(Role::Tsd, &[]);
    let answers = |_: &World| std::os::unix::net::UnixStream::connect(&path).is_ok();
    world.until("it answers again", answers).await;
    assert_eq!(ask(&path, "/healthz").await.status, 200);
    // A file that somebody swept away comes back by itself.
    std::fs::remove_file(&path).unwrap();
    world.until("it is opened anew", answers).await;
    world.stop().await;
}

#[tokio::test]
async fn other_users_are_refused_by_the_file_and_by_the_daemon() {
    if !rustix::process::geteuid().is_root() {
        return println!("not root: nobody else can be played");
    }
    let mut world = World::new().await;
    world.start(Role::Nsc, &[]);
    up(&world, Role::Nsc).await;
    let path = socket(&world, Role::Nsc);
    assert_eq!(ask(&path, "/healthz").await.status, 200);
    // Everything on the way is open, the socket alone is not.
    let open = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    for dir in path.ancestors().skip(1).take_while(|dir| dir.starts_with(world.path())) {
        open(dir, 0o755);
    }
    let conf = world.site.conf(Role::Nsc);
    conf.ancestors().take(2).for_each(|path| open(path, 0o755));
    let as_nobody = async || {
        let mut command = tokio::process::Command::new("setpriv");
        let command = command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", PROGRAM]);
        let command = command.args(["control", "get", "/healthz", "--config"]).arg(&conf).kill_on_drop(true);
        command.output().await.unwrap()
    };
    let asked = as_nobody().await;
    let said = text(&asked.stderr);
    assert_eq!(asked.status.code(), Some(78), "{said}");
    assert!(
        said.contains("is not yours: it belongs to root") && said.contains("sudo -u root tsd-import"),
        "{said}"
    );
    open(&path, 0o666);
    let asked = as_nobody().await;
    let said = format!("{}{}", text(&asked.stdout), text(&asked.stderr));
    assert_eq!(asked.status.code(), Some(1), "{said}");
    assert!(said.contains("root alone, and you are uid 65534"), "{said}");
    world.stop().await;
}

#[tokio::test]
async fn it_answers_while_the_main_thread_is_blocked_and_says_so() {
    let mut world = World::new().await;
    world.start(Role::Nsc, &[("FAILPOINTS", "main-thread=20*off->1*sleep(60000)->off")]);
    up(&world, Role::Nsc).await;
    let path = socket(&world, Role::Nsc);
    assert_eq!(ask(&path, "/healthz").await.status, 200);
    let begun = Instant::now();
    let silent = loop {
        let asked = Instant::now();
        let answer = ask(&path, "/healthz").await;
        assert!(asked.elapsed() < Duration::from_secs(1), "it answers at once: {:?}", asked.elapsed());
        if answer.status == 503 {
            break json(&answer);
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", answer.body);
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(silent["alive"] == false && silent["silent_seconds"].as_f64().unwrap() >= 10.0, "{silent}");
    for target in ["/v1/snapshot", "/metrics", "/v1/openapi.json"] {
        let asked = Instant::now();
        assert_eq!(ask(&path, target).await.status, 200, "{target}");
        assert!(asked.elapsed() < Duration::from_secs(1), "{target}: {:?}", asked.elapsed());
    }
    let ready = ask(&path, "/readyz").await;
    assert!(ready.status == 503 && ready.body.contains("\"silent\""), "{}", ready.body);
    signal(&world, Role::Nsc, Signal::TERM);
    tokio::time::sleep(Duration::from_millis(200)).await;
    signal(&world, Role::Nsc, Signal::TERM);
    assert_eq!(ended(&mut world, Role::Nsc, Duration::from_secs(4)).await.code(), Some(75));
}

#[tokio::test]
async fn over_the_port_every_request_brings_the_token_and_names_the_loopback() {
    const TOKEN: &str = "5fe2b1c07d9a4e68b3f01c2d4e5f60718293a4b5";
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = free.local_addr().unwrap();
    drop(free);
    let mut world = World::new().await;
    let file = world.path().join("control-token");
    tsd_import::fs::write_durably(&file, format!("{TOKEN}\n").as_bytes()).unwrap();
    tsd_import::fs::set_mode(&file, 0o600).unwrap();
    let (listen, token_file) = (at.to_string(), file.display().to_string());
    let env =
        [("TSD_IMPORT__CONTROL__LISTEN", listen.as_str()), ("TSD_IMPORT__CONTROL__TOKEN_FILE", &token_file)];
    world.start(Role::Nsc, &env);
    world.until("the port is open", |_| std::net::TcpStream::connect(at).is_ok()).await;
    let with = async |host: &str, authorization: &str, target: &str| {
        let request =
            format!("GET {target} HTTP/1.1\r\nconnection: close\r\nhost: {host}\r\n{authorization}\r\n");
        exchange(TcpStream::connect(at).await.unwrap(), &request).await
    };
    let right = format!("authorization: Bearer {TOKEN}\r\n");
    for target in ["/healthz", "/metrics", "/v1/snapshot", "/none", "/v1/events"] {
        for (authorization, host, status) in [
            ("", listen.as_str(), 401),
            ("authorization: Bearer 5fe2b1c07d9a4e68b3f01c2d4e5f60718293a4b6\r\n", &listen, 401),
            (right.as_str(), "evil.example", 421),
        ] {
            let answer = with(host, authorization, target).await;
            assert_eq!(answer.status, status, "{target} {host} {authorization}");
            assert_eq!(status == 401, answer.head.to_ascii_lowercase().contains("www-authenticate: bearer"));
        }
    }
    assert_eq!(with(&listen, &right, "/healthz").await.status, 200);
    assert_eq!(with("localhost:9", &right, "/none").await.status, 404);
    assert_eq!(
        ask(&socket(&world, Role::Nsc), "/healthz").await.status,
        200,
        "over the socket the kernel vouches"
    );
    world.stop().await;
    assert!(!world.stderr(Role::Nsc).contains(TOKEN), "the token is in the log");
}

#[tokio::test]
async fn clients_that_say_nothing_are_cut_off_and_harm_nobody() {
    let mut world = World::new().await;
    let dna = world.samples(3, 300_000);
    world.start_both();
    up(&world, Role::Nsc).await;
    let path = socket(&world, Role::Nsc);
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(connected(&path).await);
    }
    // One head, a byte at a time.
    let mut slow = connected(&path).await;
    let begun = Instant::now();
    for _ in 0..20 {
        let asked = Instant::now();
        assert_eq!(ask(&path, "/healthz").await.status, 200);
        assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
        if slow.write_all(b"G").await.is_err() {
            break;
        }
    }
    let mut rest = Vec::new();
    let cut = async {
        while slow.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), cut).await.expect("a head that never ends is cut off");
    println!("the slow one was cut off after {:?}", begun.elapsed());
    assert!(begun.elapsed() > Duration::from_secs(8), "it had its time");
    for mut stream in idle {
        rest.clear();
        let end = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "an idle one is still there");
    }
    let ids = sample_ids(&dna);
    world.see_it_through(&ids).await;
}

/// Reads a stream until it holds this; what was read.
async fn until(stream: &mut UnixStream, holds: impl Fn(&str) -> bool) -> String {
    let (mut seen, mut piece) = (String::new(), vec![0; 1 << 14]);
    while !holds(&seen) {
        let n = tokio::time::timeout(Duration::from_secs(40), stream.read(&mut piece)).await;
        let n = n.unwrap_or_else(|_| panic!("not within 40 s:\n{}", tail(&seen))).unwrap();
        assert!(n > 0, "it ended:\n{}", tail(&seen));
        seen.push_str(&text(&piece[..n]));
    }
    seen
}

#[tokio::test]
async fn what_happens_is_told_as_it_happens_and_who_comes_back_misses_nothing() {
    let mut world = World::new().await;
    world.start_both();
    up(&world, Role::Nsc).await;
    let path = socket(&world, Role::Nsc);
    let request = "GET /v1/events HTTP/1.1\r\nhost: localhost\r\n";
    let mut stream = connected(&path).await;
    stream.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
    let head = until(&mut stream, |seen| seen.contains("event: beat")).await;
    assert!(head.contains("text/event-stream") && head.contains("retry: 2000"), "{head}");
    let dna = world.samples(1, 200_000);
    let seen = until(&mut stream, |seen| seen.contains("\"to\":\"transferred\"")).await;
    assert!(seen.contains(&dna[0]) && seen.contains("event: line"), "{seen}");
    let ids = |text: &str| -> Vec<u64> {
        text.lines().filter_map(|l| l.strip_prefix("id: ")?.trim().parse().ok()).collect()
    };
    let first = ids(&seen);
    assert!(first.windows(2).all(|w| w[1] == w[0] + 1), "{first:?}");
    drop(stream);
    world.until_ready(&sample_ids(&dna)).await;

    let mut again = connected(&path).await;
    let back = format!("{request}last-event-id: {}\r\n\r\n", first[2]);
    again.write_all(back.as_bytes()).await.unwrap();
    let last = world.events(Role::Nsc).last().unwrap().seq;
    let seen = until(&mut again, |seen| ids(seen).contains(&last)).await;
    assert_eq!(ids(&seen)[0], first[2] + 1);
    assert!(ids(&seen).windows(2).all(|w| w[1] == w[0] + 1) && !seen.contains("lagged"), "{seen}");

    // By the command, while the daemon is killed.
    let mut child = tokio::process::Command::new(PROGRAM);
    let child = child.args(["control", "get", "/v1/events", "--sse", "--after", "0", "--config"]);
    let child = child.arg(world.site.conf(Role::Nsc)).stdout(std::process::Stdio::piped());
    let mut child = child.stderr(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let (mut got, mut piece) = (String::new(), vec![0; 1 << 14]);
    let mut out = child.stdout.take().unwrap();
    while !got.contains("\"to\":\"transferred\"") {
        let n = tokio::time::timeout(Duration::from_secs(20), out.read(&mut piece)).await.unwrap().unwrap();
        assert!(n > 0, "{got}");
        got.push_str(&text(&piece[..n]));
    }
    world.kill(Role::Nsc).await;
    drop(out);
    let end = tokio::time::timeout(Duration::from_secs(10), child.wait_with_output()).await.unwrap().unwrap();
    let said = text(&end.stderr);
    assert_eq!(end.status.code(), Some(75), "{said}");
    assert!(said.contains("the daemon") && said.contains("see `tsd-import status`"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    world.stop().await;
}

#[tokio::test]
async fn a_configuration_that_lets_others_in_does_not_start() {
    let keys = "control.listen = \"0.0.0.0:0\"\n".to_owned();
    let more_of = vec![(Role::Nsc, keys)];
    let world = World::with(SiteOptions { more_of, ..SiteOptions::default() }).await;
    let refused = command(&world, Role::Nsc, &["run"]).await;
    assert_eq!(refused.status.code(), Some(78));
    let said = text(&refused.stderr);
    assert!(
        said.contains("can be reached from other hosts") && said.contains("control.token_file: must be set"),
        "{said}"
    );
}
