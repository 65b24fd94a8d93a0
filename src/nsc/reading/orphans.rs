//! Claims of ours that no journal knows of: after the journal was lost, open steps are the only trace of what was begun.
//!
//! They are looked for at the first look of a process, and remembered until the journal knows them: there may be more than may be
//! under way at the same time.
use super::super::exporter::Exporter;
use super::history::Orders;
use super::memory::Memory;
use super::survey::Entry;
use crate::blame::Failure;
use crate::clarity::LimsId;

/// Looks for them if that is due; those that are known are looked at again, because a person may end them meanwhile.
/// `us`: as whom the LIMS knows us, if the journal knows.
pub(super) async fn find(
    exporter: &Exporter,
    orders: &Orders,
    us: Option<&str>,
    memory: &mut Memory,
) -> Result<(), Failure> {
    if !memory.looked_for_orphans {
        // With orders and without an answer to "who are we?" nothing can be told apart; the journal has its own steps.
        let due = orders.none() || us.is_some();
        let found = if due { exporter.orphans(us).await? } else { Vec::new() };
        remember(found.into_iter().filter(|(step, _)| !orders.has_step(step.as_str())).collect(), memory);
    } else if !memory.orphans.is_empty() {
        let found = exporter.orphans(us).await?;
        memory.orphans.retain(|(step, _)| found.iter().any(|(open, _)| open.as_str() == step));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Holder, Journal, Owner};
    use crate::package::{Order, OrderId};

    #[tokio::test]
    async fn a_claim_is_remembered_until_the_journal_knows_it() {
        let dir = tempfile::tempdir().unwrap();
        let me = Holder::this("h".into(), "nsc".into());
        let owner = Owner::acquire(dir.path(), &me, std::time::Duration::from_secs(30), false).unwrap();
        let journal = Journal::open(dir.path(), &owner).unwrap();
        let id = |text: &str| LimsId::new(text).unwrap();
        let mut memory = Memory::default();
        assert!(Orders::of(&journal).none() && !memory.looked_for_orphans);
        remember(vec![(id("24-1"), vec![id("A1")]), (id("24-2"), vec![id("A2"), id("A3")])], &mut memory);
        let claims = |memory: &mut Memory| -> Vec<String> {
            let pending = pending(&Orders::of(&journal), memory);
            pending.into_iter().map(|e| format!("{} in {}", e.artifact, e.claim.unwrap())).collect()
        };
        assert_eq!(claims(&mut memory), ["A1 in 24-1", "A2 in 24-2", "A3 in 24-2"]);
        let artifacts = vec!["A2".to_owned(), "A3".to_owned()];
        let order = Order { id: OrderId("A2".into()), artifacts, packages: vec![], note: None };
        assert!(journal.order(order, None, 10).await.unwrap());
        assert_eq!(claims(&mut memory), ["A1 in 24-1"]);
        assert!(!Orders::of(&journal).none() && memory.looked_for_orphans);
    }
}
