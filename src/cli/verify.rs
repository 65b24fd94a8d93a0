//! `verify DIR`: is this package whole and right?
use std::path::PathBuf;

use clap::Args;

use super::exit::{Exit, say};
use crate::disk::OnDisk;
use crate::package::{Kind, MANIFEST, PackageId};
use crate::tsd::check;

/// Options of `verify`.
#[derive(Args, Debug, Clone)]
pub struct VerifyArgs {
    /// The package directory
    dir: PathBuf,
    /// Also check its structure as a package of this kind (samples, analyses, …)
    #[arg(long)]
    kind: Option<Kind>,
}

/// Kinds whose structure is known.
const KNOWN: [&str; 2] = ["samples", "analyses"];

/// Reads every byte back from the disk.
pub fn verify(args: &VerifyArgs) -> Result<(), Exit> {
    let dir = args.dir.canonicalize().map_err(|e| Exit::no(format!("{}: {e}", args.dir.display())))?;
    if !dir.join(MANIFEST).is_file() {
        return Err(Exit::no(format!("{} is not a package: there is no SHA256SUMS in it", dir.display())));
    }
    if let Some(kind) = args.kind.as_ref().filter(|k| !KNOWN.contains(&k.as_str())) {
        return Err(Exit::no(format!(
            "no structure is known for kind {kind}; known are {}",
            KNOWN.join(" and ")
        )));
    }
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let id = match &args.kind {
        None => None,
        Some(kind) => {
            let name = name.parse().map_err(|e| Exit::no(format!("{}: {e}", dir.display())))?;
            Some(PackageId::first(kind.clone(), name))
        }
    };
    let mut bytes = 0;
    match check::verify(&OnDisk::alone(), &dir, id.as_ref(), |n| bytes += n) {
        Ok(_) => {
            let structure =
                args.kind.as_ref().map_or(String::new(), |k| format!(", and it is built as {k} are"));
            say(format_args!(
                "{}: every byte is right ({}){structure}",
                dir.display(),
                bytesize::ByteSize(bytes)
            ))
        }
        Err(fault @ (check::Fault::Fs(_) | check::Fault::NoPermit(_))) => Err(Exit::no(crate::chain(&fault))),
        Err(check::Fault::Wrong { reason, detail }) => {
            Err(Exit::no(format!("{}: {reason}: {detail}\nwhat to do: {}", dir.display(), reason.remedy())))
        }
    }
}
