//! People are told what is out of order and when it is over, by mail, webhook and command, and no name of a sample leaves; a channel
//! that is out of order itself holds nothing up.
mod far;
mod tls;

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use tsd_import::conf::Role;
use tsd_import::demo::site::{PROJECT, SiteOptions};
use tsd_import::demo::store::{FaultKind, FaultRule};
use tsd_import::package::State;

use crate::signals::snapshot;
use crate::world::{World, sample_ids, text};
use far::{Far, Mood, mail_server, paged, program, secret, webhook};

pub struct Ends {
    mail: Far,
    hook: Far,
    dir: tempfile::TempDir,
}

impl Ends {
    pub async fn new() -> Self {
        Self { mail: mail_server().await, hook: webhook().await, dir: tempfile::tempdir().unwrap() }
    }

    pub fn conf(&self) -> String {
        let dir = self.dir.path();
        let url = format!("http://127.0.0.1:{}/hooks/hook-url-secret\n", self.hook.port);
        let (url, token) = (secret(dir, "url", &url), secret(dir, "token", "hook-token-secret\n"));
        let page = program(dir);
        format!(
            r#"tell.gather = "1 s"
tell.calm = "1 s"
tell.degraded = "2 s"
tell.escalate = ["4 s"]
tell.channel.duty = {{ kind = "mail", to = ["duty@example.org", "b@example.org"], from = "tsd-import@example.org", server = "127.0.0.1:{}", security = "none", deadline = "2 s" }}
tell.channel.chat = {{ kind = "webhook", url_file = "{}", token_file = "{}", from_level = "notice", deadline = "2 s" }}
tell.channel.pager = {{ kind = "command", program = "{}", from_level = "none", escalate = true }}
"#,
            self.mail.port,
            url.display(),
            token.display(),
            page.display()
        )
    }

    /// All that was received, by anybody.
    pub fn all(&self) -> Vec<String> {
        [self.mail.came(), self.hook.came(), paged(self.dir.path())].concat()
    }
}

async fn world(role: Role, more: String) -> World {
    let more_of = vec![(role, format!("store.attempts = 1\n{more}"))];
    World::with(SiteOptions { token_life: Duration::from_secs(600), more_of, ..SiteOptions::default() }).await
}

/// Ids of samples, of packages and of files hold one of these.
const CANARIES: [&str; 4] = ["HG3000", "hg3000", PROJECT, ".fastq"];
/// So do names of other pipelines' results.
const RESULTS: [&str; 2] = ["Diag-result", "diag-result"];

pub fn no_name_in(what: &str, text: &str) {
    for canary in CANARIES.iter().chain(&RESULTS) {
        assert!(!text.contains(canary), "{canary} in {what}: {text}");
    }
}

/// One more byte in a delivered file: its md5 is not the delivery's.
fn spoil(world: &World, dna: &str) {
    let file = world.site.delivered(dna).unwrap().remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.push(0);
    tsd_import::fs::write_durably(&file, &bytes).unwrap();
}

// The servers answer while a command is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_night_is_told_on_all_channels_and_no_name_leaves() {
    let ends = Ends::new().await;
    let mut world = world(Role::Nsc, format!("alarm.committed = \"2 s\"\n{}", ends.conf())).await;
    let tried = world.command(Role::Nsc, &["tell", "--test"]);
    assert!(tried.status.success(), "{}{}", text(&tried.stdout), text(&tried.stderr));
    assert_eq!((ends.mail.came().len(), ends.hook.came().len(), paged(ends.dir.path()).len()), (1, 1, 1));
    let none = world.command(Role::Nsc, &["tell", "--test", "nobody"]);
    assert_eq!(none.status.code(), Some(78), "{}", text(&none.stderr));

    world.site.store.fault(FaultRule { times: 100_000, ..FaultRule::next(FaultKind::SlowDown) });
    let dna = world.samples(3, 200_000);
    spoil(&world, &dna[2]);
    world.start(Role::Nsc, &[]);
    let far = &ends.mail;
    let mailed = |word: &'static str| move |_: &World| ends_with(far, word);
    fn ends_with(far: &Far, word: &str) -> bool {
        far.came().iter().any(|mail| mail.contains(word))
    }
    world.until("the silence is mailed", mailed("silent: committed")).await;
    world.until("an outage is mailed", mailed("uploader cannot work")).await;
    world.until("it is escalated", |_| paged(ends.dir.path()).iter().any(|t| t.contains("escalated"))).await;
    world.site.store.mend();
    world.start(Role::Tsd, &[]);
    let good = sample_ids(&dna[..2]);
    world.until_ready(&good).await;
    world.until("the stopped package is mailed", mailed("stopped (md5-mismatch)")).await;
    world.until("the end is mailed", mailed("over: ")).await;
    world
        .until("the end of the silence is posted", |_| {
            ends.hook
                .came()
                .iter()
                .any(|body| body.contains("\"kind\":\"cleared\"") && body.contains("silent: committed"))
        })
        .await;
    assert_eq!(world.state(Role::Nsc, &sample_ids(&dna)[2]), Some(State::Quarantined));
    for received in ends.all() {
        no_name_in("what was received", &received);
    }
    assert_eq!((ends.mail.faults(), ends.hook.faults()), (vec![], vec![]));
    let silences = ends.mail.came().iter().filter(|mail| mail.contains("ALARM: silent: committed")).count();
    assert_eq!(silences, 1, "{:?}", ends.mail.came());

    // The pseudonym in the mail is resolved here.
    let mails = ends.mail.came();
    let stopped = mails.iter().find_map(|mail| mail.split_once("ALARM: stopped (md5-mismatch)")).unwrap().1;
    let at = stopped.find("samples/P-").unwrap() + "samples/".len();
    let pseudonym = stopped.get(at..at + 11).unwrap();
    let said = text(&world.command(Role::Nsc, &["pseudonym", pseudonym]).stdout);
    assert!(said.contains(&format!("{pseudonym}  {PROJECT}-{}", dna[2])), "{said}");
    let back = text(&world.command(Role::Nsc, &["pseudonym", &dna[2]]).stdout);
    assert!(back.contains(pseudonym), "{back}");
    let unknown = world.command(Role::Nsc, &["pseudonym", "P-zzzz-zzzz"]);
    assert_eq!(unknown.status.code(), Some(1));

    bundle(&world, Role::Nsc, "b", pseudonym);
    world.stop().await;
    // A damaged journal is when a bundle is wanted most.
    let path = world.site.state(Role::Nsc).join("journal.jsonl");
    let mut journal = std::fs::read(&path).unwrap();
    let second = journal.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    journal.splice(second..second + 9, *b"{\"damage\"");
    tsd_import::fs::write_durably(&path, &journal).unwrap();
    let said = bundle(&world, Role::Nsc, "damaged", pseudonym);
    assert!(said.contains("names behind that were taken from lines that are whole"), "{said}");
}

/// The bundle is unpacked by the system's own tar and searched.
pub fn bundle(world: &World, role: Role, name: &str, pseudonym: &str) -> String {
    let out = world.path().join(format!("{name}.tar.gz"));
    let made = world.command(role, &["support-bundle", "--out", out.to_str().unwrap()]);
    assert!(made.status.success(), "{}{}", text(&made.stdout), text(&made.stderr));
    assert_eq!(std::fs::metadata(&out).unwrap().mode() & 0o777, 0o600);
    let again = world.command(role, &["support-bundle", "--out", out.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(78));
    assert!(text(&again.stderr).contains("is there already"), "{}", text(&again.stderr));
    let to = world.path().join(name);
    tsd_import::fs::create_dir(&to).unwrap();
    let tar = std::process::Command::new("tar").arg("-xzf").arg(&out).arg("-C").arg(&to).status().unwrap();
    assert!(tar.success());
    let files: Vec<_> =
        walkdir::WalkDir::new(&to).into_iter().map(|entry| entry.unwrap().into_path()).collect();
    let mut secrets = vec![
        "sender-secret-for-the-demonstration".to_owned(),
        "hook-url-secret".into(),
        "hook-token-secret".into(),
        "duty@example.org".into(),
        read(&world.site.dir.join("nsc/secrets/token")),
        read(&world.site.state(role).join("pseudonym.key")),
    ];
    if role == Role::Nsc {
        // It is a word that stands among the keys of the other side.
        secrets.push(read(&world.site.dir.join("nsc/secrets/lims")));
    }
    let mut all = String::new();
    for path in files.iter().filter(|path| path.is_file()) {
        let said = read(path);
        let name = path.strip_prefix(&to).unwrap().display().to_string();
        no_name_in(&name, &name);
        // The project's own name is no sample's.
        for canary in ["HG3000", "hg3000", &format!("{PROJECT}-")].into_iter().chain(RESULTS) {
            assert!(!said.contains(canary), "{canary} in {name}");
        }
        for secret in &secrets {
            assert!(!said.contains(secret.trim()), "the secret {secret} in {name}");
        }
        all += &said;
    }
    assert!(all.contains(pseudonym), "the same pseudonym as in the mail");
    for name in
        ["index.json", "config.json", "host.json", "status.json", "journal.jsonl", "review.txt", "tell.json"]
    {
        assert!(files.iter().any(|path| path.ends_with(name)), "{name} in {files:?}");
    }
    assert!(files.iter().any(|path| path.parent().is_some_and(|dir| dir.ends_with("logs"))), "{files:?}");
    let journal = read(&to.join("tsd-import-support/journal.jsonl"));
    let whole =
        journal.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).count();
    assert!(whole > 10 && whole + 1 >= journal.lines().count(), "{journal}");
    text(&made.stdout)
}

fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    let _n = std::fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    text(&bytes)
}

#[tokio::test]
async fn channels_that_hang_and_fail_hold_nothing_up_and_tell_all_when_they_are_well() {
    async fn deliver(more: String) -> (World, Vec<String>, Duration) {
        let mut world = world(Role::Nsc, more).await;
        let dna = world.samples(8, 400_000);
        spoil(&world, &dna[0]);
        let begun = Instant::now();
        world.start_both();
        let ids = sample_ids(&dna[1..]);
        world.until_ready(&ids).await;
        (world, ids, begun.elapsed())
    }
    let (mut quiet, _, alone) = deliver(String::new()).await;
    quiet.stop().await;
    let ends = Ends::new().await;
    ends.mail.be(Mood::Hanging);
    ends.hook.be(Mood::Failing);
    let (mut world, _, with) = deliver(ends.conf()).await;
    assert!(with < alone * 2 + Duration::from_secs(3), "{with:?} with sick channels, {alone:?} without any");
    let sick = |w: &World| {
        let failing =
            snapshot(w, Role::Nsc).map_or(0, |s| s.channels.iter().filter(|c| c.why.is_some()).count());
        failing == 2
    };
    world.until("both are seen to be sick", sick).await;
    let status = text(&world.command(Role::Nsc, &["status"]).stdout);
    assert!(
        status.contains("! channel chat (webhook) cannot send since") && status.contains("500"),
        "{status}"
    );
    assert!(
        status.contains("! channel duty (mail) cannot send since") && status.contains("deadline"),
        "{status}"
    );
    assert!(!status.contains("hook-url-secret") && !status.contains("hook-token-secret"), "{status}");

    // A kill -9 forgets nothing of what waits, and tells nothing twice.
    world.kill(Role::Nsc).await;
    ends.mail.be(Mood::Well);
    ends.hook.be(Mood::Well);
    world.start(Role::Nsc, &[]);
    let both = |_: &World| {
        let crash = |all: Vec<String>| all.iter().any(|t| t.contains("the daemon was restarted"));
        let stop = |all: Vec<String>| all.iter().any(|t| t.contains("stopped (md5-mismatch)"));
        crash(ends.mail.came()) && crash(ends.hook.came()) && stop(ends.mail.came()) && stop(ends.hook.came())
    };
    world.until("all that waited is told", both).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let stops = |all: Vec<String>| all.iter().filter(|t| t.contains("ALARM: stopped (md5-mismatch)")).count();
    assert_eq!(stops(ends.mail.came()), 1, "{:?}", ends.mail.came());
    for received in ends.all() {
        no_name_in("what was received", &received);
    }
    world.stop().await;
}
