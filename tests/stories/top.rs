//! `top` in a real terminal: what is seen there, what keys do, and that the terminal is given back however it ends.
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tsd_import::conf::Role;
use tsd_import::package::State;

use crate::world::{PROGRAM, World, sample_ids, text};

/// A terminal with a program in it.
struct Pty {
    master: Option<File>,
    /// Kept open, so that what the terminal was left as can be looked at.
    slave: File,
    child: Child,
    seen: Arc<Mutex<vt100::Parser>>,
}

impl Pty {
    fn run(world: &World, role: Role, size: (u16, u16), env: &[(&str, &str)]) -> Self {
        let conf = world.site.conf(role);
        Self::of(&[PROGRAM, "top", "--config", conf.to_str().unwrap()], size, env)
    }

    fn of(program: &[&str], (rows, columns): (u16, u16), env: &[(&str, &str)]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        let noctty = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
        let slave = File::options().read(true).write(true).custom_flags(noctty).open(&name).unwrap();
        size(&master, rows, columns);
        // A session of its own with this as its terminal; without a fork, so the child is the program.
        let mut command = Command::new("setsid");
        let command = command.arg("--ctty").args(program);
        let command = command.env("TERM", "xterm-256color").env_remove("NO_COLOR").env_remove("COLUMNS");
        let command = command.env_remove("LINES").envs(env.iter().copied());
        let end = || Stdio::from(OwnedFd::from(slave.try_clone().unwrap()));
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let seen = Arc::new(Mutex::new(vt100::Parser::new(cells(rows), cells(columns), 0)));
        let (screen, master) = (seen.clone(), File::from(master));
        fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK).unwrap();
        let mut reader = master.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                match reader.read(&mut bytes) {
                    Ok(0) => return,
                    Ok(n) => screen.lock().unwrap().process(&bytes[..n]),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        std::thread::sleep(Duration::from_millis(5));
                        if Arc::strong_count(&screen) == 1 {
                            return;
                        }
                    }
                    Err(_gone) => return,
                }
            }
        });
        Self { master: Some(master), slave, child, seen }
    }

    fn text(&self) -> String {
        self.seen.lock().unwrap().screen().contents()
    }

    async fn until(&self, what: &str, there: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let text = self.text();
            if there(&text) {
                return text;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "not within 30 s: {what}\n{text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_shown(&self, word: &str) -> String {
        self.until(word, |text| text.contains(word)).await
    }

    fn press(&mut self, keys: &str) {
        self.master.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    fn resize(&mut self, rows: u16, columns: u16) {
        self.seen.lock().unwrap().screen_mut().set_size(cells(rows), cells(columns));
        size(self.master.as_ref().unwrap(), rows, columns);
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Its exit code, at most ten seconds from now.
    async fn ended(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                tokio::time::sleep(Duration::from_millis(50)).await; // its last words are read
                return status.code();
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "it runs on\n{}", self.text());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// As a shell wants to find it: lines, echo, its own screen, and a cursor.
    fn is_given_back(&self) {
        let modes = tcgetattr(&self.slave).unwrap().local_modes;
        let seen = self.seen.lock().unwrap();
        let screen = seen.screen();
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG), "{modes:?}");
        assert!(!screen.alternate_screen() && !screen.hide_cursor(), "{}", screen.contents());
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

fn size(master: impl std::os::fd::AsFd, ws_row: u16, ws_col: u16) {
    tcsetwinsize(master, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

fn cells(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap()
}

const SCREEN: (u16, u16) = (24, 80);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_is_watched_and_the_daemon_is_killed_meanwhile() {
    let mut world = World::new().await;
    let dna = world.samples(3, 60_000);
    world.start_both();
    world.until_ready(&sample_ids(&dna)).await;
    let mut top = Pty::run(&world, Role::Nsc, SCREEN, &[]);
    let shown = top.until("packages", |text| text.contains("runs for") && text.contains("transferred")).await;
    for expected in
        ["poller", "packager", "uploader", "throughput", "packages 3: all", "events", "w why", "q quit"]
    {
        assert!(shown.contains(expected), "{expected} in\n{shown}");
    }
    assert!(dna.iter().all(|number| shown.contains(number)), "{shown}");
    assert!(top.seen.lock().unwrap().screen().alternate_screen());
    // Its events come while they happen.
    let more = world.samples(1, 60_000);
    top.until("the new one", |text| text.contains(&format!("{}/r1 transferred by", more[0]))).await;
    // The newest stands first, the cursor on what it was on.
    top.press("g\r");
    let why = top.until("why", |text| text.contains("its way")).await;
    assert!(why.contains("why samples/") && why.contains("waits for"), "{why}");
    top.press("\x1b");
    top.until("the window has gone", |text| !text.contains("its way")).await;
    top.press(&format!("/{}", dna[1]));
    let one = top.until_shown("packages 1 of 4").await;
    let rows = one
        .lines()
        .filter(|line| line.contains("transferred ") && line.contains("/r1") && !line.contains(" by "));
    assert_eq!(rows.count(), 1, "{one}");
    top.press("\x1b");
    top.until_shown("packages 4: all").await;
    // Larger and smaller; too small, and large again.
    top.resize(40, 120);
    top.until("a larger one", |text| text.lines().any(|line| line.chars().count() > 100)).await;
    top.resize(10, 50);
    top.until_shown("This window is 50 × 10").await;
    top.resize(SCREEN.0, SCREEN.1);
    top.until_shown("packages 4: all").await;
    world.kill(Role::Nsc).await;
    let dead = top.until_shown("NOT RUNNING; from the journal; no answer since").await;
    assert!(dead.contains("packages 4: all") && dna.iter().all(|number| dead.contains(number)), "{dead}");
    top.press("w");
    top.until("why from the journal", |text| text.contains("its way")).await;
    top.press("\x1b");
    world.start(Role::Nsc, &[]);
    top.until_shown("runs for").await;
    top.until_shown("the daemon began: nsc").await;
    top.press("q");
    assert_eq!(top.ended().await, Some(0));
    top.is_given_back();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_runs_and_the_terminal_is_given_back_however_it_ends() {
    let world = World::new().await;
    for (how, code) in
        [("q", Some(0)), ("\x03", Some(0)), ("TERM", Some(143)), ("HUP", Some(129)), ("INT", Some(130))]
    {
        let mut top = Pty::run(&world, Role::Nsc, SCREEN, &[]);
        top.until_shown("NOT RUNNING; from the journal").await;
        if how.len() == 1 {
            top.press(how)
        } else {
            top.signal(how)
        }
        assert_eq!(top.ended().await, code, "{how:?}");
        top.is_given_back();
    }
    let mut small = Pty::run(&world, Role::Tsd, (10, 50), &[]);
    small.until_shown("top needs 60 × 15").await;
    small.press("q");
    assert_eq!(small.ended().await, Some(0));
    // A panic of ours: the terminal first, then the words, so that they are read.
    let mut panics = Pty::run(
        &world,
        Role::Nsc,
        SCREEN,
        &[("FAILPOINTS", "top-drawn=panic(oops)"), ("RUST_BACKTRACE", "0")],
    );
    assert_eq!(panics.ended().await, Some(101));
    panics.is_given_back();
    assert!(panics.text().contains("oops"), "{}", panics.text());
    // The terminal goes away below it.
    let mut gone = Pty::run(&world, Role::Nsc, SCREEN, &[]);
    gone.until_shown("NOT RUNNING").await;
    gone.seen = Arc::new(Mutex::new(vt100::Parser::default()));
    drop(gone.master.take());
    let code = gone.ended().await;
    assert!([Some(129), Some(1)].contains(&code), "{code:?}");
    // No colours where nobody wants them.
    for (env, coloured) in [(&[][..], true), (&[("NO_COLOR", "1")][..], false)] {
        let mut top = Pty::run(&world, Role::Nsc, SCREEN, env);
        top.until_shown("NOT RUNNING").await;
        let colour = top.seen.lock().unwrap().screen().cell(0, 0).unwrap().fgcolor();
        assert_eq!(colour != vt100::Color::Default, coloured, "{env:?}: {colour:?}");
        top.press("q");
        assert_eq!(top.ended().await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_terminal_it_says_what_to_use_and_a_daemon_that_hangs_holds_nobody() {
    let mut world = World::new().await;
    let done = world.command(Role::Nsc, &["top"]);
    let said = text(&done.stderr);
    assert!(done.status.code() == Some(2) && done.stdout.is_empty(), "{done:?}");
    assert!(said.contains("`tsd-import status --watch`") && said.lines().count() == 1, "{said}");
    world.start(Role::Nsc, &[]);
    let mut top = Pty::run(&world, Role::Nsc, SCREEN, &[]);
    top.until_shown("runs for").await;
    let pid = world.daemons[0].1.pid().unwrap().to_string();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    signal("-STOP");
    top.until_shown("NO ANSWER").await;
    top.press("?");
    top.until_shown("Ctrl-C").await;
    top.press("?p");
    top.until_shown("PAUSED").await;
    signal("-CONT");
    top.until_shown("runs for").await;
    top.press("q");
    assert_eq!(top.ended().await, Some(0));
    top.is_given_back();
    world.stop().await;
}

/// Ctrl-Z is the shell's matter: it has to find its terminal as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_gets_its_terminal_while_it_is_set_aside() {
    let world = World::new().await;
    let conf = world.site.conf(Role::Nsc);
    let mut shell = Pty::of(&["bash", "--norc", "--noprofile", "-i"], SCREEN, &[("PS1", "shell: ")]);
    shell.until_shown("shell:").await;
    shell.press(&format!("{PROGRAM} top --config {}\r", conf.display()));
    let alternate = |pty: &Pty| pty.seen.lock().unwrap().screen().alternate_screen();
    for _ in 0..2 {
        shell.until("the screen", |text| text.contains("NOT RUNNING") && text.contains("packages")).await;
        assert!(alternate(&shell));
        shell.press("\x1a");
        shell.until_shown("Stopped").await;
        assert!(!alternate(&shell));
        shell.press("clear; echo ask$((40 + 2))\r");
        shell.until_shown("ask42").await;
        shell.press("fg\r");
    }
    shell.until("the screen", |text| text.contains("NOT RUNNING") && text.contains("packages")).await;
    shell.press("q");
    shell.until("the shell", |text| !text.contains("packages")).await;
    shell.press("exit 7\r");
    assert_eq!(shell.ended().await, Some(7));
    shell.is_given_back();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_is_held_and_released_from_the_screen() {
    let mut world = World::new().await;
    world.start_both();
    let paused = world.command(Role::Nsc, &["pause", "uploads", "--reason", "the night"]);
    assert!(paused.status.success(), "{}", text(&paused.stderr));
    let dna = world.samples(1, 60_000);
    let ids = sample_ids(&dna);
    world.until("it is packed", |w| w.state(Role::Nsc, &ids[0]) == Some(State::Packed)).await;
    let mut top = Pty::run(&world, Role::Nsc, SCREEN, &[]);
    top.until_shown("> packed").await;
    top.press("h");
    top.until_shown("why? ").await;
    top.press("is this the right one?\r");
    top.until_shown("undo: tsd-import release").await;
    top.until_shown("> held").await;
    assert_eq!(world.state(Role::Nsc, &ids[0]), Some(State::Held));
    let why = text(&world.command(Role::Nsc, &["why", &dna[0]]).stdout);
    assert!(why.contains("is this the right one?"), "{why}");
    // What makes no sense is refused with its remedy.
    top.press("\x1b");
    top.until("the window has gone", |text| !text.contains("undo:")).await;
    top.press("tagain\r");
    let refused = top.until_shown("! refused").await;
    assert!(refused.contains("what to do: `release` takes it up again"), "{refused}");
    top.press("r");
    top.until_shown("why? ").await;
    top.press("it is\r");
    top.until_shown("> packed").await;
    world.kill(Role::Nsc).await;
    top.until_shown("NOT RUNNING").await;
    top.press("\x1b");
    top.press("h");
    top.until_shown("why? ").await;
    top.press("nobody does it\r");
    top.until_shown("no daemon runs").await;
    top.press("q");
    assert_eq!(top.ended().await, Some(0));
    top.is_given_back();
    world.start(Role::Nsc, &[]);
    let resumed = world.command(Role::Nsc, &["resume", "uploads", "--reason", "morning"]);
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    world.see_it_through(&ids).await;
}
