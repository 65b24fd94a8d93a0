//! The state directory in the hands of a command: there is one writer of the journal, so a command that writes does it as a daemon would,
//! and only when none runs.
use super::exit::Exit;
use crate::chain;
use crate::conf::Conf;
use crate::journal::{Holder, Journal, JournalError, Owner, OwnerError};
use crate::lease;

/// Who this command is for others who want the directory.
pub(super) fn me(conf: &Conf) -> Holder {
    Holder::this(conf.host.to_string(), conf.role.to_string())
}

/// Takes the directory; everything that this process changes is governed by that from now on.
pub(super) fn take(conf: &Conf) -> Result<Owner, Exit> {
    let owner = Owner::acquire(&conf.state_dir, &me(conf), conf.lease, false).map_err(|e| match e {
        OwnerError::Foreign { .. } | OwnerError::Alive { .. } => Exit::config(chain(&e)),
        _ => Exit::temporary(chain(&e)),
    })?;
    lease::govern(owner.lease().clone());
    Ok(owner)
}

/// The journal of a directory that was taken.
pub(super) fn journal(conf: &Conf, owner: &Owner) -> Result<Journal, Exit> {
    Journal::open(&conf.state_dir, owner).map_err(|e| match e {
        JournalError::Damaged { .. } | JournalError::Version { .. } => Exit::config(chain(&e)),
        _ => Exit::temporary(chain(&e)),
    })
}
