//! `demo`: the whole way of a package, here and now.
use crate::demo::Options;

use super::Exit;

/// Options of `demo`.
pub type DemoArgs = Options;

/// Runs it; the exit code says whether everything that should arrive did.
pub fn demo(args: &DemoArgs) -> Result<(), Exit> {
    crate::demo::run(args).map_err(Exit::no)
}
