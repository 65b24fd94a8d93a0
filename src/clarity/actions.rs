//! What becomes of each artifact when its step ends: the actions document.
//!
//! Rules of the server: a PUT names every active artifact exactly once and no other, or it fails; which ones are active
//! (inputs or outputs) only the server knows. So the list comes from GET and only attributes are set on it. An entry
//! without an action blocks the step; leaving the escalation out clears it.
//!
//! Trap: attributes of the action before (`step-uri`, `rework-step-uri`) must go when the action changes.
use super::fault::Fault;
use super::ids::{LimsId, same_uri};
use super::ns;
use super::read::Record;
use super::step::step_of;
use super::tree::{Element, Node};
use super::words::ActionWord;

/// What to do with one artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The protocol is done with it. Valid only in a step that has no transitions.
    Complete,
    /// On to the next step, a *configuration* URI among the step's transitions.
    NextStep(String),
    /// Back into this step's queue, where the poller will see it again: only with a counter.
    Repeat,
    /// On to the next step and also back into this queue.
    CompleteRepeat(String),
    /// Back to an earlier step *run* (`…/steps/24-…`).
    Rework(String),
    /// Out of the workflow.
    Remove,
    /// Wait for a manager; needs [`Actions::escalate`].
    Review,
    /// Quality control only: leave it.
    Leave,
}

/// Whom to ask about artifacts whose action is [`Action::Review`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// Number of the researcher who is asked.
    pub reviewer: u32,
    /// What is asked.
    pub comment: String,
}

impl Action {
    fn parts(&self) -> (ActionWord, Option<&str>, Option<&str>) {
        match self {
            Self::Complete => (ActionWord::Complete, None, None),
            Self::NextStep(step) => (ActionWord::NextStep, Some(step), None),
            Self::Repeat => (ActionWord::Repeat, None, None),
            Self::CompleteRepeat(step) => (ActionWord::CompleteRepeat, Some(step), None),
            Self::Rework(run) => (ActionWord::Rework, None, Some(run)),
            Self::Remove => (ActionWord::Remove, None, None),
            Self::Review => (ActionWord::Review, None, None),
            Self::Leave => (ActionWord::Leave, None, None),
        }
    }
}

/// One artifact's line in the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextAction {
    /// The artifact.
    pub artifact: LimsId,
    /// What is set; none or `unknown` means that nobody has decided.
    pub action: Option<ActionWord>,
    /// Configured step that it goes on to.
    pub step_uri: Option<String>,
    /// Step run that it goes back to.
    pub rework_step_uri: Option<String>,
}

impl NextAction {
    /// Whether this line says that action, whatever host the URIs carry.
    pub fn says(&self, action: &Action) -> bool {
        let (word, step, rework) = action.parts();
        let same = |own: &Option<String>, wanted: Option<&str>| {
            wanted.is_none_or(|wanted| own.as_deref().is_some_and(|own| same_uri(own, wanted)))
        };
        self.action.as_ref() == Some(&word)
            && same(&self.step_uri, step)
            && same(&self.rework_step_uri, rework)
    }
}

/// The actions of a step, kept as the document they came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actions {
    /// The step.
    pub step: LimsId,
    document: Element,
}

impl Record for Actions {
    const NAMESPACE: &'static str = ns::STEP;
    const ROOT: &'static str = "actions";
    const PATH: &'static str = "steps";

    fn from_element(e: &Element) -> Result<Self, Fault> {
        for line in lines(e) {
            drop(artifact(line)?);
        }
        Ok(Self { step: step_of(e)?, document: e.clone() })
    }
}

fn lines(document: &Element) -> impl Iterator<Item = &Element> {
    document.child("next-actions").into_iter().flat_map(|list| list.all("next-action"))
}

fn artifact(line: &Element) -> Result<LimsId, Fault> {
    let uri = line.attr("artifact-uri").ok_or_else(|| Fault::new("a next-action has no artifact-uri"))?;
    LimsId::from_uri(uri, "artifacts")
}

impl Actions {
    /// The lines, in the server's order.
    pub fn next(&self) -> Vec<NextAction> {
        let text = |line: &Element, name| line.attr(name).map(str::to_owned);
        let read = |line: &Element| {
            Some(NextAction {
                artifact: artifact(line).ok()?, // read once before, in from_element
                action: line.attr("action").map(ActionWord::parse),
                step_uri: text(line, "step-uri"),
                rework_step_uri: text(line, "rework-step-uri"),
            })
        };
        lines(&self.document).filter_map(read).collect()
    }

    /// Sets every artifact's action by asking for it. Other attributes and the escalation stay as they are.
    pub fn set(&mut self, mut choose: impl FnMut(&LimsId) -> Action) {
        let list = self.document.child_mut("next-actions").into_iter();
        for line in list.flat_map(Element::elements_mut).filter(|line| line.name() == "next-action") {
            let Ok(artifact) = artifact(line) else { continue };
            let action = choose(&artifact);
            let (word, step, rework) = action.parts();
            line.set_attr("action", Some(word.as_str()));
            line.set_attr("step-uri", step);
            line.set_attr("rework-step-uri", rework);
        }
    }

    /// Artifacts that nobody has decided on; a step with such cannot be advanced.
    pub fn undecided(&self) -> Vec<LimsId> {
        let open = |line: &NextAction| matches!(line.action, None | Some(ActionWord::Unknown));
        self.next().into_iter().filter(open).map(|line| line.artifact).collect()
    }

    /// Asks a manager (`…/researchers/N`) to look at those artifacts, in place of any escalation before. Their actions
    /// must be [`Action::Review`]. `Err` names an artifact that is not in the list.
    pub fn escalate(&mut self, reviewer_uri: &str, comment: &str, artifacts: &[LimsId]) -> Result<(), Fault> {
        let mut escalated = Element::new("escalated-artifacts");
        for wanted in artifacts {
            let line = lines(&self.document).find(|line| artifact(line).is_ok_and(|id| id == *wanted));
            let uri = line.and_then(|line| line.attr("artifact-uri"));
            let uri = uri.ok_or_else(|| Fault::new(format!("{wanted} is not among the step's artifacts")))?;
            escalated = escalated.with(Element::new("escalated-artifact").with_attr("uri", uri));
        }
        let request = Element::new("request")
            .with(Element::new("reviewer").with_attr("uri", reviewer_uri))
            .with(Element::new("comment").with_text(comment));
        self.clear_escalation();
        let escalation = Element::new("escalation").with(request).with(escalated);
        self.document.children.push(Node::Element(escalation));
        Ok(())
    }

    /// The artifacts that a manager is asked about.
    pub fn escalated(&self) -> Vec<LimsId> {
        let list = self.document.child("escalation").and_then(|e| e.child("escalated-artifacts"));
        let each = list.into_iter().flat_map(|list| list.all("escalated-artifact"));
        each.filter_map(|e| LimsId::from_uri(e.attr("uri")?, "artifacts").ok()).collect()
    }

    /// Takes an escalation back.
    pub fn clear_escalation(&mut self) {
        self.document
            .children
            .retain(|node| !matches!(node, Node::Element(child) if child.name() == "escalation"));
    }

    /// The document to be PUT.
    pub fn document(&self) -> &Element {
        &self.document
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"<stp:actions xmlns:stp="http://genologics.com/ri/step" uri="https://h/api/v2/steps/24-1/actions">
 <step uri="https://h/api/v2/steps/24-1" rel="steps"/><configuration uri="https://h/c/1">Export</configuration>
 <next-actions>
  <next-action artifact-uri="https://h/api/v2/artifacts/A1PA1" action="nextstep" step-uri="https://h/old" extra="kept"/>
  <next-action step-uri="https://h/s" rework-step-uri="https://h/r" artifact-uri="https://h/api/v2/artifacts/A2PA1?state=3"/>
 </next-actions><escalation><request><comment>c</comment></request></escalation>
</stp:actions>"#;

    fn id(text: &str) -> LimsId {
        LimsId::new(text).unwrap()
    }

    fn actions() -> Actions {
        Actions::read(&Element::parse(BODY.as_bytes()).unwrap()).unwrap()
    }

    fn text(actions: &Actions) -> String {
        String::from_utf8(actions.document().to_bytes()).unwrap()
    }

    #[test]
    fn setting_changes_attributes_only_and_drops_those_of_the_action_before() {
        let mut actions = actions();
        assert_eq!(actions.step, id("24-1"));
        assert_eq!(actions.undecided(), [id("A2PA1")]);
        let next = "https://h/api/v2/configuration/protocols/5/steps/6".to_owned();
        actions.set(|artifact| match artifact.as_str() {
            "A1PA1" => Action::Complete,
            _ => Action::NextStep(next.clone()),
        });
        let want = BODY
            .replace(r#"action="nextstep" step-uri="https://h/old""#, r#"action="complete""#)
            .replace(
                r#"<next-action step-uri="https://h/s" rework-step-uri="https://h/r" artifact-uri"#,
                &format!(r#"<next-action step-uri="{next}" artifact-uri"#),
            )
            .replace(r#"?state=3"/>"#, r#"?state=3" action="nextstep"/>"#);
        assert_eq!(text(&actions), format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{want}\n"));
        assert!(actions.undecided().is_empty());
        let lines = actions.next();
        assert!(lines[0].says(&Action::Complete) && !lines[0].says(&Action::Remove));
        assert!(
            lines[1].says(&Action::NextStep("http://other/api/v2/configuration/protocols/5/steps/6".into()))
        );
        assert!(
            !lines[1].says(&Action::NextStep("http://other/api/v2/configuration/protocols/5/steps/7".into()))
        );
    }

    #[test]
    fn an_escalation_replaces_the_one_before() {
        let mut actions = actions();
        actions.escalate("https://h/api/v2/researchers/3", "se på denne", &[id("A2PA1")]).unwrap();
        assert_eq!(actions.escalated(), [id("A2PA1")]);
        let text = text(&actions);
        assert_eq!(text.matches("<escalation>").count(), 1);
        assert!(text.contains(
            "<escalation><request><reviewer uri=\"https://h/api/v2/researchers/3\"/><comment>se p&#xe5; denne</comment>\
             </request><escalated-artifacts><escalated-artifact uri=\"https://h/api/v2/artifacts/A2PA1?state=3\"/>\
             </escalated-artifacts></escalation>"
        ));
        let stranger = actions.escalate("r", "c", &[id("A9PA1")]).unwrap_err();
        assert_eq!(stranger.to_string(), "A9PA1 is not among the step's artifacts");
        actions.clear_escalation();
        assert!(!self::text(&actions).contains("escalation"));
    }
}
