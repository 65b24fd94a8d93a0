//! Whether several hosts can receive from the bucket: by the race that a daemon runs before it trusts the store with claims.
use super::exam::Exam;
use super::facts::{Answered, Facts};
use super::judge::Judge;
use super::judge::Mark;
use crate::store::NoRace;

impl Exam {
    /// On a key of its own, which is used again the next time.
    pub(super) async fn sharing(&mut self) {
        let Some(base) = self.claims.clone() else { return };
        let key = format!("{base}/proof/doctor");
        self.facts.sharing = match self.probe.race(&key).await {
            Ok(seen) => {
                self.keeps(&key);
                seen.fault().map_or(Answered::Yes, Answered::No)
            }
            Err(NoRace::Denied(said)) => Answered::No(format!(
                "{said}: this key may not put below {base}/, or the store knows no conditional puts"
            )),
            Err(NoRace::Unclear(why)) => Answered::Unknown(why),
        };
    }
}

impl Judge {
    pub(super) fn sharing(&mut self, facts: &Facts) {
        let what = "several receiving hosts";
        match (&facts.sharing, facts.configured.claims) {
            (Answered::Yes, true) => {
                self.say(Mark::Ok, what, "share.claims = true is right: conditional puts hold, also by eight writers at once");
            }
            (Answered::Yes, false) => self.say(
                Mark::Ok,
                what,
                "can share this bucket: conditional puts hold, also by eight writers at once. If there is more than one host: [share] claims = true",
            ),
            (Answered::No(said), true) => self.mend(
                what,
                format!("share.claims = true cannot work ({said}): have it mended, or set it to false and let one host alone receive"),
            ),
            (other, _) => self.plain(what, other, "", "cannot share this bucket: let one host alone receive"),
        }
    }
}
