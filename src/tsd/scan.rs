//! How the bucket is looked through, so that a look stays cheap however much lies there.
//!
//! A *pass* goes through all keys, page by page; a small bucket is passed through at every look, a large one in pieces, a piece a
//! look, and then once in `watch.whole`. In between *glances* list names of packages alone (S3's delimiter), kind by kind: what lies
//! in a package that is known is not listed again. A new revision of a known package is no new name: the sender's heartbeat
//! tells of it, and the next pass finds it. Nothing found here is believed; it is only where to look.
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use crate::package::{COMMIT, Kind, Name, PackageId};
use crate::store::{Entry, Look, Reach, Store, StoreError};
use crate::supervisor::meter::Meter;

/// Requests of one piece of a pass.
const PIECE: usize = 50;
/// A pass of so many objects is made at every look.
const SMALL: u64 = 10_000;
/// Requests of one glance at one kind.
const GLANCE: usize = 20;
/// Packages whose revisions are asked for at the same time.
const AT_ONCE: usize = 16;
/// Requests for the revisions of one package.
const REVISIONS: usize = 2;
/// Keys that are nobody's package are remembered up to here.
const ODD: usize = 1000;

/// How far the looks have got. Worth nothing but the time to begin again.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pass: Option<Pass>,
    /// When the last whole one ended, and how many objects it found.
    ended: Option<(Instant, u64)>,
    /// Behind which key each kind is glanced at next; none: from its beginning.
    glances: BTreeMap<Kind, String>,
}

/// A pass that is under way.
#[derive(Debug, Default)]
struct Pass {
    after: Option<String>,
    objects: u64,
    odd: BTreeMap<String, String>,
}

/// What is looked for, and how much of it is wanted.
pub(super) struct Wanted<'a> {
    /// Below which the packages lie.
    pub prefix: &'a str,
    /// Whether nothing is known of a package of this name.
    pub name: &'a dyn Fn(&Kind, &Name) -> bool,
    /// Whether this one is worth reading, of which nobody knows whether it is committed.
    pub package: &'a dyn Fn(&PackageId) -> bool,
    /// Whether this one is, which is.
    pub commit: &'a dyn Fn(&PackageId) -> bool,
    /// So many; the others are found at a later look.
    pub room: usize,
    /// Told at each answer.
    pub meter: &'a Meter,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Packages that may have a commit.
    pub packages: BTreeSet<PackageId>,
    /// Of a pass that came to its end: keys that look like a package's and are nobody's.
    pub odd: Option<BTreeMap<String, String>>,
}

/// The package that a commit's key belongs to.
pub(super) fn package_of(prefix: &str, key: &str) -> Option<Result<PackageId, String>> {
    let inner = key.strip_prefix(prefix)?.strip_prefix('/')?.strip_suffix(COMMIT)?.strip_suffix('/')?;
    Some(inner.parse().map_err(|e: crate::package::IdError| e.to_string()))
}

impl Scan {
    /// Whether a pass is to be begun or gone on with.
    fn passes(&self, now: Instant, every: Duration) -> bool {
        match (&self.pass, self.ended) {
            (Some(_), _) | (None, None) => true,
            (None, Some((at, objects))) => objects <= SMALL || now.duration_since(at) >= every,
        }
    }

    /// One look. `every`: between two passes through a large bucket.
    pub(super) async fn look(
        &mut self,
        store: &Store,
        kinds: impl Iterator<Item = Kind>,
        every: Duration,
        wanted: &Wanted<'_>,
    ) -> Result<Found, StoreError> {
        let (mut found, now) = (Found::default(), Instant::now());
        if self.passes(now, every) {
            self.pass(store, now, wanted, &mut found).await?;
        }
        if self.pass.is_some() || self.ended.is_none_or(|(at, _)| at < now) {
            for kind in kinds {
                self.glance(store, &kind, wanted, &mut found).await?;
            }
        }
        Ok(found)
    }

    async fn pass(
        &mut self,
        store: &Store,
        now: Instant,
        wanted: &Wanted<'_>,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        let pass = self.pass.get_or_insert_default();
        let (after, below) = (pass.after.clone(), format!("{}/", wanted.prefix));
        let look = Look { below: &below, after: after.as_deref(), shallow: false, pages: PIECE };
        let each = |entry| {
            wanted.meter.alive();
            let Entry::Object(object) = entry else { return ControlFlow::Continue(()) };
            pass.objects += 1;
            match package_of(wanted.prefix, &object.key) {
                Some(Ok(id)) if (wanted.commit)(&id) => return found.take(id, wanted.room),
                Some(Err(why)) if pass.odd.len() < ODD => drop(pass.odd.insert(object.key, why)),
                _ => {}
            }
            ControlFlow::Continue(())
        };
        match store.browse(look, each).await? {
            Reach::Until(key) => pass.after = Some(key).filter(|key| !key.is_empty()),
            Reach::All => {
                let pass = self.pass.take().unwrap_or_default();
                self.ended = Some((now, pass.objects));
                found.odd = Some(pass.odd);
            }
        }
        Ok(())
    }

    async fn glance(
        &mut self,
        store: &Store,
        kind: &Kind,
        wanted: &Wanted<'_>,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        let (below, after) = (format!("{}/{kind}/", wanted.prefix), self.glances.get(kind).cloned());
        let look = Look { below: &below, after: after.as_deref(), shallow: true, pages: GLANCE };
        let (mut names, room) = (BTreeSet::new(), wanted.room.saturating_sub(found.packages.len()));
        let each = |entry: Entry| {
            wanted.meter.alive();
            let Entry::Below(prefix) = entry else { return ControlFlow::Continue(()) };
            let name = prefix.strip_prefix(&below).and_then(|rest| rest.strip_suffix('/'));
            // A name that is none is reported by the pass.
            let Some(Ok(name)) = name.map(str::parse::<Name>) else { return ControlFlow::Continue(()) };
            if !(wanted.name)(kind, &name) {
                return ControlFlow::Continue(());
            }
            if names.len() >= room {
                return ControlFlow::Break(());
            }
            let _first = names.insert(name);
            ControlFlow::Continue(())
        };
        match store.browse(look, each).await? {
            Reach::Until(key) if !key.is_empty() => drop(self.glances.insert(kind.clone(), key)),
            _ => drop(self.glances.remove(kind)),
        }
        let jobs = names.into_iter().map(|name| revisions(store, wanted.prefix, kind, name));
        let mut answers = stream::iter(jobs).buffer_unordered(AT_ONCE);
        while let Some(ids) = answers.next().await {
            wanted.meter.alive();
            found.packages.extend(ids?.into_iter().filter(|id| (wanted.package)(id)));
        }
        Ok(())
    }
}

impl Found {
    fn take(&mut self, id: PackageId, room: usize) -> ControlFlow<()> {
        if self.packages.len() >= room {
            return ControlFlow::Break(());
        }
        let _first = self.packages.insert(id);
        ControlFlow::Continue(())
    }
}

/// The revisions of a package that lie in the bucket, committed or not.
async fn revisions(
    store: &Store,
    prefix: &str,
    kind: &Kind,
    name: Name,
) -> Result<Vec<PackageId>, StoreError> {
    let below = format!("{prefix}/{kind}/{name}/");
    let look = Look { below: &below, after: None, shallow: true, pages: REVISIONS };
    let mut ids = Vec::new();
    let each = |entry: Entry| {
        if let Entry::Below(prefix) = entry {
            let revision = prefix.strip_prefix(&below).and_then(|rest| rest.strip_suffix('/'));
            if let Some(Ok(revision)) = revision.map(str::parse) {
                ids.push(PackageId { kind: kind.clone(), name: name.clone(), revision });
            }
        }
        ControlFlow::Continue(())
    };
    let _how_far = store.browse(look, each).await?;
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_keys_are_packages() {
        let of = |key| package_of("in", key);
        assert_eq!(of("in/samples/Diag-1/r1/COMMIT").unwrap().unwrap().to_string(), "samples/Diag-1/r1");
        for other in [
            "in/samples/Diag-1/r1/SHA256SUMS",
            "in/heartbeat/gdx-login/1",
            "in/doctor/0123456789ab/raced",
            "out/samples/x/r1/COMMIT",
            "in/samples/x/r1/COMMIT.sig",
        ] {
            assert!(of(other).is_none(), "{other}");
        }
        for odd in [
            "in/samples/../r1/COMMIT",
            "in/samples/a b/r1/COMMIT",
            "in/COMMIT/COMMIT",
            "in/samples/x/COMMIT",
            "in/a/b/c/x/r1/COMMIT",
        ] {
            assert!(of(odd).unwrap().is_err(), "{odd}");
        }
    }
}
