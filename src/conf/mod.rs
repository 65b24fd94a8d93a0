//! The configuration: read once, checked whole, then trusted by its types. Actors get only their part.
mod control;
mod live;
mod read;
mod reader;
pub mod reference;
mod settings;
mod tell;
mod types;
mod wire;
mod zone;

use std::path::Path;

use crate::chain;
use crate::lease;
use crate::secret::Secret;

pub use control::{ControlConf, token};
pub use live::{Class, class};
use reader::Reader;
pub use reader::{Complaints, length_of_time};
pub use settings::{DEFAULTS, Settings};
pub use tell::{Address, ChannelConf, Format, From, Names, OfDay, Server, Span, TellConf, Through, Tls, Via};
pub use types::{
    Again, AlarmConf, CleaningConf, CompleteAfter, Conf, LimsConf, LogConf, NscConf, OnFailure, OnInvalid,
    OrderSource, OrdersConf, ReadsCheck, Role, Side, StoreConf, SupervisorConf, TransferConf, WorkConf,
};
pub use wire::{CHECKSUMS, Checksum, Endurance, PaceConf, Proxy, RATE_WINDOW};
pub use zone::{Group, LandingConf, Members, Notifications, ReceiptsConf, Revisions, ShareConf, TsdConf};

impl Conf {
    /// Reads defaults, the file and the environment. `role` overrules the file's. Says everything that is wrong at once.
    pub fn load(file: Option<&Path>, role: Option<Role>) -> Result<Self, Complaints> {
        Self::load_with(file, role, std::env::vars())
    }

    /// The same with a given environment.
    pub fn load_with(
        file: Option<&Path>,
        role: Option<Role>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Complaints> {
        Self::check(&Settings::read(file, environment)?, role)
    }

    /// Turns settings into types, or says everything that is wrong with them.
    pub fn check(settings: &Settings, role: Option<Role>) -> Result<Self, Complaints> {
        let mut r = Reader::over(settings);
        let from_file: Option<Role> = r.optional("role", "nsc or tsd");
        let role = role.or(from_file);
        if role.is_none() {
            r.complain("role", "must be set here or with --role");
        }
        let host = r.optional("host", "a host name").or_else(|| read::system_host().parse().ok());
        let state_dir = r.path("state.dir");
        let lease = r.duration("state.lease");
        if !(lease::SHORTEST..=lease::LONGEST).contains(&lease) {
            r.complain(
                "state.lease",
                format!("{lease:?} is not between {:?} and {:?}", lease::SHORTEST, lease::LONGEST),
            );
        }
        let log = LogConf {
            dir: r.path("log.dir"),
            level: r.checked("log.level", "a level or filter", crate::log::check_level).unwrap_or_default(),
            keep_days: r.number("log.keep_days", 1),
        };
        let control = control::control(&mut r, &state_dir);
        let supervisor = read::supervisor(&mut r);
        if let Some(s) = supervisor.as_ref().filter(|s| s.stall <= lease / 2) {
            let why = format!(
                "half of it is waited for a renewal, so it must be shorter than twice supervisor.stall ({:?}), or an actor that \
                 waits would be taken for blocked",
                s.stall
            );
            r.complain("state.lease", why);
        }
        let work = read::work(&mut r);
        let alarm = read::alarm(&mut r);
        let tell = tell::tell(&mut r);
        let store = read::store(&mut r);
        // Bytes that move, or that a limit of ours holds back, are signs of life however long they take; nothing else needs time of a store
        // that does not answer.
        let silent = store.endurance().whole(0);
        if let Some(work) = work.as_ref().filter(|w| w.unit_stall <= silent) {
            let why = format!(
                "{:?} must be longer than one request to the store may take while nothing moves ({silent:?}: store.attempts times \
                 store.attempt_timeout, and the pauses), or a store that hangs would be blamed on packages",
                work.unit_stall
            );
            r.complain("work.unit_stall", why);
        }
        let nsc = read::nsc(&mut r, role == Some(Role::Nsc));
        r.required(role == Some(Role::Tsd));
        let tsd = read::tsd(&mut r, role == Some(Role::Tsd));
        r.finish(|| {
            let side = match role? {
                Role::Nsc => Side::Nsc(Box::new(nsc)),
                Role::Tsd => Side::Tsd(Box::new(tsd)),
            };
            Some(Self {
                role: role?,
                host: host?,
                state_dir,
                lease,
                log,
                control,
                supervisor: supervisor?,
                work: work?,
                alarm,
                tell,
                store,
                side,
            })
        })
    }

    /// Complains about every file and directory that must exist before work begins.
    pub fn check_files(&self) -> Result<(), Complaints> {
        let mut missing = Vec::new();
        let mut file = |key: &str, path: &Path| {
            if let Err(e) = std::fs::File::open(path) {
                missing.push(format!("{key}: cannot read {}: {e}", path.display()));
            }
        };
        let mut secrets: Vec<(&str, &Path)> = vec![("store.secret_key_file", &self.store.secret_key_file)];
        self.store.ca_file.iter().for_each(|p| file("store.ca_file", p));
        for (name, path) in &self.store.header_files {
            file(&format!("store.header_files.{name}"), path);
        }
        let mut dirs: Vec<(String, &Path)> = Vec::new();
        match &self.side {
            Side::Nsc(nsc) => {
                match &nsc.orders.source {
                    OrderSource::Clarity => {
                        secrets.push(("lims.password_file", &nsc.lims.password_file));
                        nsc.lims.ca_file.iter().for_each(|p| file("lims.ca_file", p));
                    }
                    OrderSource::Directory(root) => dirs.push(("orders.directory".into(), root)),
                }
                dirs.push(("delivery.root".into(), &nsc.delivery_root));
                dirs.push(("transfer.root".into(), &nsc.transfer.root));
                nsc.cleaning.allowed_signers.iter().for_each(|p| file("cleaning.allowed_file", p));
            }
            Side::Tsd(tsd) => {
                tsd.allowed_signers.iter().for_each(|p| file("signers.allowed_file", p));
                for (kind, landing) in &tsd.landing {
                    dirs.push((format!("landing.{kind}.destination"), &landing.destination));
                }
            }
        }
        for (key, path) in secrets {
            if let Err(e) = Secret::from_file(path) {
                missing.push(format!("{key}: {}", chain(&e)));
            }
        }
        if let Some(Err(why)) = self.control.token_file.as_deref().map(token) {
            missing.push(format!("control.token_file: {why}"));
        }
        if let Side::Nsc(nsc) = &self.side
            && let Some(Err(e)) = nsc.signing_key.as_deref().map(Secret::pem_from_file)
        {
            missing.push(format!("signing.key_file: {}", chain(&e)));
        }
        if let Side::Tsd(tsd) = &self.side
            && let Some(Err(e)) =
                tsd.receipts.as_ref().and_then(|r| r.key_file.as_deref()).map(Secret::pem_from_file)
        {
            missing.push(format!("receipts.key_file: {}", chain(&e)));
        }
        for (key, dir) in dirs.into_iter().filter(|(_, dir)| !dir.is_dir()) {
            missing.push(format!(
                "{key}: {} is not a directory; create it or correct the setting",
                dir.display()
            ));
        }
        if missing.is_empty() { Ok(()) } else { Err(Complaints(missing)) }
    }
}

impl Conf {
    /// Complains about directories of receipts: packages are delivered without them too, so a missing mount is no reason not to start.
    pub fn check_receipts(&self) -> Result<(), Complaints> {
        let (key, dir) = match &self.side {
            Side::Nsc(nsc) => ("cleaning.receipts", nsc.cleaning.receipts.as_deref()),
            Side::Tsd(tsd) => ("receipts.dir", tsd.receipts.as_ref().map(|receipts| receipts.dir.as_path())),
        };
        match dir.filter(|dir| !dir.is_dir()) {
            None => Ok(()),
            Some(dir) => Err(Complaints(vec![format!(
                "{key}: {} is not a directory; create it or correct the setting",
                dir.display()
            )])),
        }
    }
}

#[cfg(test)]
mod tests;
