//! `pseudonym`: whom a pseudonym means, and what a name is called.
use clap::Args;

use super::exit::say;
use super::{ConfArgs, Exit};
use crate::journal::{self, Fold};
use crate::snapshot::Snapshot;
use crate::tell::names::Known;
use crate::tell::pseudonym::{Key, is_pseudonym};

/// So many answers at most.
const MOST: usize = 50;

/// Options of `pseudonym`.
#[derive(Args, Debug, Clone)]
pub struct PseudonymArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// A pseudonym such as P-7f3a-k2m9, or a name or a part of one: of a package, a sample, a file, an order
    #[arg(value_name = "NAME|PSEUDONYM")]
    what: String,
}

/// Prints pairs, one a line: pseudonym, name.
pub fn pseudonym(args: &PseudonymArgs) -> Result<(), Exit> {
    let conf = args.conf.load()?;
    let mut fold = Fold::default();
    let read = journal::read(&conf.state_dir, |line| fold.apply(&line));
    let _report = read.map_err(|e| Exit::no(crate::chain(&e)))?;
    let key = Key::of(&conf.state_dir).map_err(|e| Exit::config(crate::chain(&e)))?;
    let known = Known::of(&fold, Snapshot::read(&conf.state_dir).as_ref());
    let wanted = args.what.trim();
    // `samples/NAME/r1`: messages show kind and revision as they are.
    let name =
        wanted.parse::<crate::package::PackageId>().map_or(wanted.to_owned(), |id| id.name.to_string());
    let lower = name.to_ascii_lowercase();
    let mut found: Vec<&String> = if is_pseudonym(wanted) {
        key.whose(wanted, known.iter())
    } else {
        known.iter().filter(|one| one.to_ascii_lowercase().contains(&lower)).collect()
    };
    found.sort_by_key(|one| (one.len(), one.as_str()));
    for one in found.iter().take(MOST) {
        say(format_args!("{}  {one}", key.pseudonym(one)))?;
    }
    if found.len() > MOST {
        say(format_args!("and {} more: give more of the name", found.len() - MOST))?;
    }
    match found.is_empty() {
        false => Ok(()),
        true if is_pseudonym(wanted) => Err(Exit::no(format!(
            "nobody in {} is called {wanted}: was it given out by another host, or under another {}?",
            conf.state_dir.display(),
            crate::tell::pseudonym::FILE
        ))),
        true => {
            say(format_args!("{}  {name}", key.pseudonym(&name)))?;
            Err(Exit::no(format!(
                "no name in {} holds {name:?}; it would be called so",
                conf.state_dir.display()
            )))
        }
    }
}
