//! Open steps of ours that no journal knows of: for a state directory that was lost.
use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Exporter, list};
use crate::blame::Failure;
use crate::clarity::{LimsId, State};
use crate::clock;

/// Older ones are somebody's to clear up by hand.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Steps of that time that are looked at.
const MOST: usize = 5000;

/// The oldest change that is searched for, as the LIMS wants it.
fn since(now: Timestamp) -> String {
    (now - LOOK_BACK).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Exporter {
    /// The open runs of the export step that are ours, with their inputs: opened by our account (`us`, if it is known) or with
    /// our key, which is the id of one of the inputs.
    ///
    /// # Errors
    /// If it cannot be told which account is ours and there is no key either: then nothing may be taken for ours.
    pub async fn orphans(&self, us: Option<&str>) -> Result<Vec<(LimsId, Vec<LimsId>)>, Failure> {
        let us = match us {
            Some(us) => Some(us.to_owned()),
            None => self.who_we_are().await?,
        };
        if us.is_none() && self.conf.key_field.is_none() {
            return Err(Failure::Outage(format!(
                "the LIMS does not tell which researcher {:?} is, so open steps of this program cannot be told from those of \
                 others: set lims.key_field, or have the account given the right to read researchers",
                self.conf.user
            )));
        }
        let configured = self.step_as_configured().await?;
        let kind = configured.process_type.clone().unwrap_or_default();
        let since = since(clock::now());
        let hits = self.client.find_processes(&[("type", &kind), ("last-modified", &since)]).await?;
        if hits.len() > MOST {
            return Err(Failure::Outage(format!(
                "the LIMS names {} runs of {kind:?} since {since}, more than {MOST}: it does not seem to heed the search",
                hits.len()
            )));
        }
        let mut ours = Vec::new();
        for id in hits {
            let Some(process) = self.process(&id).await? else { continue };
            if process.kind.as_deref() != Some(kind.as_str()) || process.date_run.is_some() {
                continue;
            }
            let Some(input) = process.maps.first().map(|map| map.input.clone()) else { continue };
            let Some((step, details, by)) = self.candidate(&id, &configured, &input).await? else { continue };
            if step.state == State::Completed {
                continue;
            }
            let inputs: BTreeSet<&LimsId> = details.inputs();
            let key = self.key_in(&details).filter(|key| !key.is_empty());
            let mine = match key {
                // An order that repeats one is called ARTIFACT#2.
                Some(key) => {
                    let artifact = key.split('#').next().unwrap_or_default();
                    inputs.iter().any(|input| artifact == input.as_str())
                }
                None => us.is_some() && us == by,
            };
            if mine {
                tracing::warn!(step = %id, inputs = list(inputs.clone()), "an open step of ours that the journal does not know");
                ours.push((id, inputs.into_iter().cloned().collect()));
            }
        }
        Ok(ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_goes_thirty_days_back() {
        assert_eq!(since("2026-03-02T10:00:00.5Z".parse().unwrap()), "2026-01-31T10:00:00Z");
    }
}
