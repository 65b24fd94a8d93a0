//! What a host that fell silent while it put a package in place has left on the disk that both see.
//!
//! Its directory in the incoming area is taken over by a rename. The other's rename into place has the same source, so only one of the two
//! can succeed, however long the other was suspended: if ours does, the other's never will, and nothing was put in place. If there is
//! nothing to rename, the other's was done: the package lies at its destination, or its consumer has it.
use std::io::ErrorKind;

use crate::disk::OnDisk;
use crate::fs::{self, FsError};
use crate::package::PackageId;
use crate::tsd::Landing;

/// Where the package is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// In our own incoming directory now.
    Incoming,
    /// At its destination.
    InPlace,
    /// Nowhere: it was handed over, or it is lost. Nobody here can know.
    Nowhere,
}

/// Takes it over. `others`: the seats from which it was inherited.
pub fn take(on: &OnDisk, landing: &Landing, id: &PackageId, others: &[String]) -> Result<Left, FsError> {
    let Some((own, destination)) = landing.heir(id).zip(landing.destination(id)) else {
        return Ok(Left::Nowhere);
    };
    // By an earlier attempt of ours.
    if fs::dir_exists(&own)? {
        return Ok(Left::Incoming);
    }
    for other in landing.bequeathed(id, others) {
        on.moved();
        match fs::publish(&other, &own) {
            Ok(()) => return Ok(Left::Incoming),
            Err(e) if e.source.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    on.moved();
    if fs::dir_exists(&destination)? {
        return Ok(Left::InPlace);
    }
    // Both areas must answer, or an unmounted disk would look like a package that was taken away.
    for area in [own.parent(), destination.parent()].into_iter().flatten() {
        fs::answers(area)?;
    }
    Ok(Left::Nowhere)
}

/// Removes what was copied of a package that is another host's now: it copies it itself, from the bucket.
pub fn clear(on: &OnDisk, landing: &Landing, id: &PackageId) -> Result<(), FsError> {
    for dir in [landing.incoming(id), landing.parts(id)].iter().flatten() {
        fs::discard_scratch(dir)?;
        on.moved();
    }
    Ok(())
}
