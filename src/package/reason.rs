//! Why a package was stopped: a code that never changes its meaning, and what a person does about it.
//!
//! The codes stand in the journal, beside quarantined packages and in `docs/operations.md`; a test keeps that table
//! complete.
use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $remedy:literal;)*) => {
        /// Why a package was quarantined.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[$doc])* #[serde(rename = $code)] $name,)*
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// What to do now.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy),* }
            }
        }
    };
}

reasons! {
    /// The bytes of a FASTQ differ from the delivery's `md5sum.txt`.
    Md5Mismatch = "md5-mismatch", "have the file delivered again (or md5sum.txt corrected), then have the package taken up again";
    /// A file is shorter or longer than its `.sample` says.
    SizeMismatch = "size-mismatch", "find out who changed the file after delivery, deliver it again, then have the package taken up again";
    /// A file that belongs to the package is not there.
    FileMissing = "file-missing", "restore the file named in the detail, then have the package taken up again";
    /// A file changed while it was being read.
    SourceChanged = "source-changed", "wait until nobody writes to the package any more, then have it taken up again";
    /// A link, a socket, an unsafe name: something a package may not hold.
    UnsafeContent = "unsafe-content", "remove or rename what the detail names, then have the package taken up again";
    /// `.sample` or `.analysis` missing, unreadable or about something else.
    BadDocument = "bad-document", "correct the document named in the detail and export the package again";
    /// A package of this name has been sent, or lies in the way.
    NameTaken = "name-taken", "decide whether this is a new revision; if so export it as one, else remove it";
    /// The work failed again and again.
    TooManyFailures = "too-many-failures", "read the last errors (`review --package NAME`), mend the cause, then have the package taken up again";
    /// A package that had to leave before it was stopped.
    MemberStopped = "member-stopped", "see to the package named in the detail first; this one was never built";
    /// The LIMS says something that cannot be true.
    LimsContradiction = "lims-contradiction", "compare the sample, its demultiplexing output and its reagent label in the LIMS before anything else";
    /// The LIMS holds a value that nothing can be made of.
    LimsInvalid = "lims-invalid", "correct the field named in the detail in the LIMS; the sample is read again at every look";
    /// A sample was taken back in the LIMS while it was on its way.
    Withdrawn = "withdrawn", "nothing, if that was meant; else put the sample back into the queue";
    /// A FASTQ file is not what its name says: broken gzip, cut off, or no FASTQ inside.
    BadReads = "bad-reads", "have the file named in the detail delivered again, then have the package taken up again";
    /// R1 and R2 do not belong together.
    PairMismatch = "pair-mismatch", "have both files of the pair named in the detail delivered again, then have the package taken up again";
    /// The LIMS step of the package is gone or was closed by somebody else.
    LimsStepLost = "lims-step-lost", "find the step of the sample in the LIMS; put the sample back in the queue or complete it there";
    /// `COMMIT` unreadable, misplaced or impossible.
    BadCommit = "bad-commit", "ask the sending side what it sent; nothing of this package was copied in";
    /// Its sender gave a number out twice, or forgot what it had sent.
    CommitFork = "commit-fork", "ask the sending side whether its state directory was copied or set back; the package is sent again as a new revision, under a new journal";
    /// No signature, or not one of an allowed signer.
    BadSignature = "bad-signature", "treat as an attempt to bring in foreign data until the sending side has explained it";
    /// `SHA256SUMS` is not the one that was committed, or not one this program accepts.
    BadManifest = "bad-manifest", "ask the sending side to send the package again as a new revision";
    /// The bucket holds other bytes than the manifest promises.
    BytesDiffer = "bytes-differ", "ask the sending side to send the package again as a new revision";
    /// What was read back from the production disk is wrong, repeatedly.
    ReadBackDiffers = "read-back-differs", "have the disk and its controller checked before anything else is trusted to it";
    /// A kind that has no place here.
    UnknownKind = "unknown-kind", "add a [kinds] entry to the configuration or ask the sender why it sent this";
    /// It promises more than a package of its kind may have here.
    TooLarge = "too-large", "ask the sending side whether it really is that large; if so raise the limit named in the detail, then have the package taken up again";
    /// A package of this name was handed over with other content.
    Supersedes = "supersedes", "ask the sending side which of the two counts: a report may stand on the other one. If it is this one: `supersede KIND/NAME/rN --reason TEXT` while the daemon is stopped";
    /// Another host that shares the bucket has stopped it.
    StoppedElsewhere = "stopped-elsewhere", "see the reason at the host that the detail names";
    /// Another host was about to put it in place and fell silent; it lies nowhere.
    HandoverUnknown = "handover-unknown", "ask the journal of the host in the detail whether the package became ready there (`review --package NAME`) and the consumer whether it has it; only if neither has, have it sent again as a new revision";
    /// When a lost journal was rebuilt, nothing showed whether it had been handed over before.
    LandedBefore = "landed-before", "ask the consumer whether it has the package. If it has: nothing, it stays stopped. If it certainly has not: `reconcile --fix --new KIND/NAME/rN` while the daemon is stopped";
    /// The destination exists.
    DestinationExists = "destination-exists", "compare the two; nothing is overwritten. Move the old one away or keep it";
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_every_remedy_says_something() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|r| r.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(Reason::ALL.iter().all(|r| r.remedy().len() > 20));
    }
}
