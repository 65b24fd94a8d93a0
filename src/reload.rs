//! Reading the configuration again while the daemon runs.
//!
//! The new file is checked whole, as at a start; one fault and everything stays as it was. Of a good one only the keys that
//! may change under running work are taken (one table, [`crate::conf::class`]), the others are named as waiting for a
//! restart, and named again at every reload until it comes.
use std::path::PathBuf;

use crate::conf::{Class, Complaints, Conf, Role, Settings, class};

/// Where the configuration came from, and the settings that count now.
#[derive(Clone, Debug)]
pub struct Reloader {
    file: Option<PathBuf>,
    role: Option<Role>,
    counting: Settings,
}

/// A configuration that may be taken over.
#[derive(Debug)]
pub struct Reread {
    /// What counts from now on: the old configuration with the new values of the live keys.
    pub conf: Conf,
    /// Live keys with new values.
    pub changed: Vec<String>,
    /// Other keys with new values; they wait for a restart.
    pub needs_restart: Vec<String>,
    settings: Settings,
}

impl Reloader {
    /// `role` as given on the command line: it overrules the file again.
    pub fn new(file: Option<PathBuf>, role: Option<Role>, counting: Settings) -> Self {
        Self { file, role, counting }
    }

    /// Reads and checks everything; blocks on the disk. Changes nothing yet.
    pub fn read(
        &self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Reread, Complaints> {
        let new = Settings::read(self.file.as_deref(), environment)?;
        fail::fail_point!("reload");
        Conf::check(&new, self.role)?.check_files()?;
        let differing = self.counting.differing(&new);
        let (changed, needs_restart) = differing.into_iter().partition(|key| class(key) == Class::Live);
        let settings = self.counting.with_live_of(&new);
        // A live key may be right only together with one that waits: then both wait.
        let conf = Conf::check(&settings, self.role).map_err(|complaints| {
            let after = "that goes only together with a change that needs a restart";
            Complaints(complaints.0.into_iter().map(|c| format!("{c}; {after}")).collect())
        })?;
        Ok(Reread { conf, changed, needs_restart, settings })
    }

    /// From now on these count.
    pub fn adopt(&mut self, reread: Reread) {
        self.counting = reread.settings;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::time::Duration;

    struct Here {
        dir: tempfile::TempDir,
    }

    impl Here {
        /// A small but complete configuration of role tsd.
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for sub in ["a", "b"] {
                crate::fs::create_dir(&dir.path().join(sub)).unwrap();
            }
            let secret = dir.path().join("secret");
            crate::fs::write_durably(&secret, b"s3cret-key\n").unwrap();
            std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
            Self { dir }
        }

        fn file(&self) -> PathBuf {
            self.dir.path().join("tsd.toml")
        }

        fn write(&self, more: &str) {
            let d = self.dir.path().display();
            let text = format!(
                "role = \"tsd\"\nhost = \"h\"\nstate.dir = \"{d}/state\"\nlog.dir = \"{d}/log\"\nstore.endpoint = \"http://127.0.0.1:1\"\n\
                 store.access_key = \"k\"\nstore.secret_key_file = \"{d}/secret\"\nlanding.samples.destination = \"{d}/a\"\n\
                 landing.samples.ready = true\n{more}"
            );
            crate::fs::write_durably(&self.file(), text.as_bytes()).unwrap();
        }

        fn reloader(&self) -> Reloader {
            Reloader::new(Some(self.file()), None, Settings::read(Some(&self.file()), []).unwrap())
        }

        fn d(&self) -> &Path {
            self.dir.path()
        }
    }

    const BASE: &str = "store.bucket = \"one\"\n";

    #[test]
    fn live_keys_count_at_once_and_the_others_are_named_until_the_restart() {
        let here = Here::new();
        here.write(BASE);
        let mut reloader = here.reloader();
        let same = reloader.read([]).unwrap();
        assert!(same.changed.is_empty() && same.needs_restart.is_empty(), "{same:?}");
        let more = format!(
            "store.bucket = \"two\"\nwork.max_failures = 7\nalarm.seen = \"\"\nstore.headers.x = \"1\"\n\
             landing.analyses = {{ destination = \"{}/b\", ready = false }}\n",
            here.d().display()
        );
        here.write(&more);
        let first = reloader.read([]).unwrap();
        let live =
            ["alarm.seen", "landing.analyses.destination", "landing.analyses.ready", "work.max_failures"];
        assert_eq!(first.changed, live);
        assert_eq!(first.needs_restart, ["store.bucket", "store.headers.x"]);
        assert_eq!((first.conf.work.max_failures, first.conf.alarm.seen), (7, None));
        assert_eq!(first.conf.store.bucket, "one", "not under running work");
        assert!(first.conf.store.headers.is_empty());
        reloader.adopt(first);
        let again = reloader.read([]).unwrap();
        assert!(again.changed.is_empty(), "{again:?}");
        assert_eq!(again.needs_restart, ["store.bucket", "store.headers.x"], "still waiting");
        here.write(BASE);
        let back = reloader.read([]).unwrap();
        assert_eq!(
            (back.changed.len(), back.needs_restart.len()),
            (4, 0),
            "taken back: nothing waits any more"
        );
    }

    #[test]
    fn one_fault_and_nothing_changes_whatever_kind_of_key_it_is_in() {
        let here = Here::new();
        here.write(BASE);
        let reloader = here.reloader();
        let told = |more: &str| {
            here.write(&format!("{BASE}{more}"));
            reloader.read([]).unwrap_err().to_string()
        };
        let all = told("work.max_failures = 0\nlog.level = \"a=loud\"\nroel = 1\n");
        for key in ["work.max_failures", "log.level", "roel: unknown key"] {
            assert!(all.contains(key), "{all}");
        }
        let gone =
            told(&format!("landing.x = {{ destination = \"{}/gone\", ready = true }}\n", here.d().display()));
        assert!(gone.contains("landing.x.destination") && gone.contains("is not a directory"), "{gone}");
        std::fs::remove_file(here.file()).unwrap();
        assert!(reloader.read([]).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn a_live_key_that_is_right_only_with_a_waiting_one_waits_too() {
        let here = Here::new();
        here.write(BASE);
        let reloader = here.reloader();
        // A shorter stall is right with shorter requests, but those need a restart.
        here.write(&format!("{BASE}store.attempt_timeout = \"1 s\"\nwork.unit_stall = \"3 min\"\n"));
        let said = reloader.read([]).unwrap_err().to_string();
        assert!(said.contains("work.unit_stall") && said.contains("needs a restart"), "{said}");
    }

    #[test]
    fn the_same_environment_counts_again() {
        let here = Here::new();
        here.write(BASE);
        let env = [("TSD_IMPORT__WORK__MAX_FAILURES".to_owned(), "5".to_owned())];
        let settings = Settings::read(Some(&here.file()), env.clone()).unwrap();
        let reloader = Reloader::new(Some(here.file()), Some(Role::Tsd), settings);
        here.write(&format!("{BASE}work.max_failures = 9\nwork.rhythm = \"2 s\"\n"));
        let reread = reloader.read(env).unwrap();
        assert_eq!(reread.changed, ["work.rhythm"], "the environment overrules the file");
        assert_eq!((reread.conf.work.max_failures, reread.conf.work.rhythm), (5, Duration::from_secs(2)));
    }
}
