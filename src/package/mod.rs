//! What flows: names, states, digests and the files that describe a package. Pure: no actor, no network, no clock.
mod chain;
mod commit;
mod decimal;
mod digest;
mod documents;
mod family;
mod heartbeat;
mod id;
mod manifest;
mod mates;
mod order;
mod reason;
pub mod receipt;
mod state;
mod window;

pub use chain::{Chains, Gap, Link, Place};
pub use commit::{Commit, CommitError, MAX_BYTES as MAX_COMMIT_BYTES, Sender};
pub use decimal::{Decimal, NoNumber};
pub use digest::{Digests, HashState, Md5Hex, Sha256Hex};
pub use documents::{
    Analysis, DocumentError, MAX_BYTES as MAX_DOCUMENT_BYTES, Member, Params, Pedigree, Read, SampleDoc,
    Stats, check_structure, expected_reads, is_document, without_uuid,
};
pub use family::{FamilyError, needed};
pub use heartbeat::{Heartbeat, RECENT};
pub use id::{IdError, Kind, Name, PackageId, Priority, RelPath, Revision};
pub use manifest::{MANIFEST, MAX_BYTES as MAX_MANIFEST_BYTES, Manifest, ManifestError, alike};
pub use mates::{Unpaired, mates};
pub use order::{Content, Draft, Fastq, Order, OrderId};
pub use reason::Reason;
pub use receipt::Receipt;
pub use state::State;
pub use window::Window;

/// The empty file that hands a package to the automation system; created last, by role tsd alone.
pub const READY: &str = "READY";
/// The object that makes a package exist for the other side; put last.
pub const COMMIT: &str = "COMMIT";
/// The SSH signature of the bytes of `COMMIT`.
pub const COMMIT_SIG: &str = "COMMIT.sig";
