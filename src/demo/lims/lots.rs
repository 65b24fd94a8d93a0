//! Reagent lots of a step: `GET` and `PUT /steps/{id}/reagentlots`.
//!
//! A step that is configured with reagent kits does not leave Record Details until a lot of every kit is named. A lot
//! of the store room is made by [`super::Lims::add_lot`]; an unknown one is refused.

use super::Lims;
use super::answer::{Answer, Outcome, Refusal, Uris};
use super::read::Received;
use super::resources::link;
use super::settings::StepState;
use super::world::World;
use super::xml::Element;

impl Lims {
    /// A lot of a reagent kit comes into the store room; gives its limsid (`41-…`).
    pub fn add_lot(&self, kit: &str) -> String {
        let world = &mut self.lock().world;
        let id = world.id("41");
        let _ = world.lots.insert(id.clone(), kit.to_owned());
        id
    }
}

impl World {
    pub(super) fn lots_document(&self, id: &str, uris: &Uris) -> Result<Element, Refusal> {
        let run = self.step_run(id)?;
        let lots = run.lots.iter().map(|lot| link("reagent-lot", uris, "reagentlots", lot));
        Ok(Element::root("stp:lots", &[])
            .attr("uri", uris.to(format_args!("steps/{id}/reagentlots")))
            .all(self.step_heading(id, run, uris))
            .child(Element::new("reagent-lots").all(lots)))
    }

    pub(super) fn put_lots(&mut self, id: &str, body: &Received, uris: &Uris) -> Outcome {
        let run = self.step_run(id)?;
        if !body.is("stp:lots") {
            return Err(Refusal::bad("The request is not the lots of a step (stp:lots)"));
        }
        if matches!(run.state, StepState::Started | StepState::UnderReview | StepState::Completed) {
            return Err(Refusal::bad(format!(
                "Lots of step {id} cannot be set in state {}",
                run.state.word()
            )));
        }
        let mut lots = Vec::new();
        for lot in body.child("reagent-lots").iter().flat_map(|list| list.children("reagent-lot")) {
            let uri = lot.attr("uri").unwrap_or_default();
            let known = uris.id("reagentlots", uri).filter(|lot| self.lots.contains_key(lot));
            let known = known.ok_or_else(|| Refusal::bad(format!("No such reagent lot: {uri}")))?;
            let kit = self.lots.get(&known).map(String::as_str).unwrap_or_default();
            if !self.settings.required_kits.iter().any(|wanted| wanted == kit) {
                return Err(Refusal::bad(format!(
                    "Reagent lot {known} is of {kit:?}, which step {id} does not use"
                )));
            }
            lots.push(known);
        }
        self.step_run_mut(id)?.lots = lots;
        Ok(Answer::ok(self.lots_document(id, uris)?))
    }

    /// The first kit of which the step has no lot.
    pub(super) fn kit_without_lot(&self, id: &str) -> Option<&str> {
        let lots = self.steps.get(id).map(|run| run.lots.as_slice()).unwrap_or_default();
        let has = |kit: &str| lots.iter().any(|lot| self.lots.get(lot).is_some_and(|known| known == kit));
        self.settings.required_kits.iter().map(String::as_str).find(|kit| !has(kit))
    }
}
