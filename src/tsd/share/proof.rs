//! Proven before trusted: at each start the store is raced.
use super::{Bucket, Refusal};
use crate::store::NoRace;

/// Says no if the store is not seen to hold every condition.
pub(super) async fn prove(bucket: &Bucket, seat: &str) -> Result<(), Refusal> {
    // One key for each journal, so that nobody else writes it.
    let seen = bucket.store.race(&bucket.proof(seat)).await.map_err(|none| match none {
        NoRace::Denied(said) => Refusal::Config(bucket.denied(&said)),
        NoRace::Unclear(why) => {
            Refusal::Later(format!("whether the store can keep two hosts apart is not known: {why}"))
        }
    })?;
    match seen.fault() {
        None => Ok(()),
        Some(why) => Err(Refusal::Config(format!(
            "share.claims: this store cannot keep two hosts apart: {why}. Set share.claims = false and let one host alone receive, or use a \
             store that holds conditional writes (`tsd-import doctor` tells)"
        ))),
    }
}
