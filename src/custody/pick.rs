//! What a person calls a package.
use std::collections::BTreeSet;

use crate::package::PackageId;

/// Those that may be meant by `kind/name/rN`, `kind/name`, a name, the beginning of one, or a part of one (a sample's number stands behind its
/// project). The first of these that fits any counts, so a whole name is never mistaken for the beginning of a longer one.
pub fn pick<'a>(wanted: &str, known: &'a BTreeSet<PackageId>) -> Vec<&'a PackageId> {
    let whole = |id: &PackageId| id.to_string() == wanted;
    let of_kind = |id: &PackageId| format!("{}/{}", id.kind, id.name) == wanted;
    let named = |id: &PackageId| id.name.as_str() == wanted;
    let begins = |id: &PackageId| id.name.as_str().starts_with(wanted);
    let holds = |id: &PackageId| id.name.as_str().contains(wanted);
    let rules: [&dyn Fn(&PackageId) -> bool; 5] = [&whole, &of_kind, &named, &begins, &holds];
    let found = |rule: &&dyn Fn(&PackageId) -> bool| known.iter().filter(|id| rule(id)).collect::<Vec<_>>();
    rules.iter().map(found).find(|found| !found.is_empty()).unwrap_or_default()
}
