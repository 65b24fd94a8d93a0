//! Claims of ours that no journal knows of: after the journal was lost, open steps are the only trace of what was begun.
//!
//! They are looked for once, at the first look of a process whose journal has no order at all, and remembered until the
//! journal knows them: there may be more than may be under way at the same time.
use super::super::exporter::Exporter;
use super::history::Orders;
use super::memory::Memory;
use super::survey::Entry;
use crate::blame::Failure;
use crate::clarity::LimsId;

/// Open steps of ours with their inputs.
async fn ask(_exporter: &Exporter) -> Result<Vec<(LimsId, Vec<LimsId>)>, Failure> {
    Ok(Vec::new())
}

/// Looks for them if that is due.
pub(super) async fn find(exporter: &Exporter, orders: &Orders, memory: &mut Memory) -> Result<(), Failure> {
    if !memory.looked_for_orphans {
        let found = if orders.none() { ask(exporter).await? } else { Vec::new() };
        remember(found, memory);
    }
    Ok(())
}

/// Keeps what was found.
pub(super) fn remember(found: Vec<(LimsId, Vec<LimsId>)>, memory: &mut Memory) {
    let text = |ids: Vec<LimsId>| ids.into_iter().map(String::from).collect();
    memory.orphans = found.into_iter().map(|(step, inputs)| (step.into(), text(inputs))).collect();
    memory.looked_for_orphans = true;
}

/// What is still to be ordered of them.
pub(super) fn pending(orders: &Orders, memory: &mut Memory) -> Vec<Entry> {
    memory.orphans.retain(|(_, inputs)| inputs.iter().all(|artifact| orders.count(artifact) == 0));
    let entries =
        memory.orphans.iter().flat_map(|(step, inputs)| inputs.iter().map(move |input| (step, input)));
    let entry = |(step, input): (&String, &String)| {
        Some(Entry { artifact: LimsId::new(input).ok()?, queued_at: None, claim: Some(step.clone()) })
    };
    entries.filter_map(entry).collect()
}
