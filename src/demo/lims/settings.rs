//! What kind of server is simulated: its account, its limits, its configured protocol, and its odd habits.
//!
//! The defaults are a plain well-behaved server: one protocol with a no-output export step that is the last one, no
//! programs, no lag. Everything that real installations do differently is a field here and can be changed while the
//! server runs ([`super::Lims::configure`]).
//!
//! Trap: an export step with transitions does not accept `complete`, as on the real server; give it a `next_step` to
//! succeed into, or allow it with `complete_beside_transitions`.

use jiff::Timestamp;

/// Type of a user-defined field (UDF).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UdfKind {
    /// One line of text.
    String,
    /// Several lines of text.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A decimal number.
    Numeric,
    /// `YYYY-MM-DD`.
    Date,
    /// An address.
    Uri,
}

impl UdfKind {
    /// As the API spells it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::Text => "Text",
            Self::Boolean => "Boolean",
            Self::Numeric => "Numeric",
            Self::Date => "Date",
            Self::Uri => "URI",
        }
    }
}

/// A user-defined field with its value. An unset field is not there at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Udf {
    /// Name as the site configured it.
    pub name: String,
    /// Configured type.
    pub kind: UdfKind,
    /// The value as it stands in the XML.
    pub value: String,
}

impl Udf {
    /// A field of any type.
    pub fn new(kind: UdfKind, name: impl Into<String>, value: impl ToString) -> Self {
        Self { name: name.into(), kind, value: value.to_string() }
    }

    /// A one-line text field.
    pub fn string(name: impl Into<String>, value: impl ToString) -> Self {
        Self::new(UdfKind::String, name, value)
    }

    /// A number; floating point values lose their trailing zeros, as on the real server.
    pub fn numeric(name: impl Into<String>, value: impl ToString) -> Self {
        Self::new(UdfKind::Numeric, name, value)
    }

    /// A yes-or-no field.
    pub fn boolean(name: impl Into<String>, value: bool) -> Self {
        Self::new(UdfKind::Boolean, name, value)
    }
}

/// A UDF that is configured for a step or for artifacts; others are refused in a PUT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Type a value must have.
    pub kind: UdfKind,
    /// For a step: must be set before the step leaves Record Details.
    pub required: bool,
}

/// State of a step, in the order in which a step passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepState {
    /// The server is still setting the step up.
    Started,
    /// A screen to choose files and the like; only with [`Settings::setup_screen`].
    StepSetup,
    /// Fields and actions can be set.
    RecordDetails,
    /// Actions can be set; the last state before the end.
    AssignNextSteps,
    /// A person must look at escalated artifacts.
    UnderReview,
    /// Closed.
    Completed,
}

impl StepState {
    /// As the API spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Started => "Started",
            Self::StepSetup => "Step Setup",
            Self::RecordDetails => "Record Details",
            Self::AssignNextSteps => "Assign Next Steps",
            Self::UnderReview => "Under Review",
            Self::Completed => "Completed",
        }
    }
}

/// How a program of the server (EPP) ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramOutcome {
    /// Success.
    Ok,
    /// Success with a message box that a person must close.
    Warning,
    /// Failure: after the message box was closed, the step is still in the same state.
    Error,
}

/// A program that the server runs by itself when a step leaves a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Name shown in the protocol's configuration.
    pub name: String,
    /// The state it guards. One that guards `Started` begins by itself with the step.
    pub leaving: StepState,
    /// How many reads of the step or its program status still find it queued or running.
    pub reads: u32,
    /// How it ends.
    pub outcome: ProgramOutcome,
    /// With a message, the step waits for a person, whatever the outcome.
    pub message: Option<String>,
}

/// The simulated installation.
#[derive(Clone)]
pub struct Settings {
    /// Account of the API user.
    pub user: String,
    /// Its password.
    pub password: String,
    /// API revision told by `GET /api`.
    pub minor: String,
    /// Rows per page of lists and queues.
    pub page_size: usize,
    /// More links than this in one batch answer 413.
    pub batch_limit: usize,
    /// Larger request bodies (in bytes) answer 413.
    pub max_body: usize,
    /// Id of the workflow that has the export step.
    pub workflow: u32,
    /// Its name.
    pub workflow_name: String,
    /// Id of the protocol that has the export step.
    pub protocol: u32,
    /// Its name.
    pub protocol_name: String,
    /// Id of the export step; also the id of its queue.
    pub export_step: u32,
    /// Name of the export step and of its process type.
    pub export_step_name: String,
    /// A step that success leads to. Makes the export step one with transitions.
    pub next_step: Option<u32>,
    /// A step for failed exports, with a stage in the same workflow.
    pub failed_step: Option<u32>,
    /// Whether the export step has a transition to the failed step, or it is reached by routing only.
    pub failed_step_linked: bool,
    /// Accept the action `complete` although the step has transitions.
    pub complete_beside_transitions: bool,
    /// The step must be signed by a person: the API cannot take it out of Record Details.
    pub e_signature: bool,
    /// The step has a Step Setup screen before Record Details.
    pub setup_screen: bool,
    /// How many reads of a new step still find it in `Started`.
    pub started_reads: u32,
    /// Programs the server runs by itself.
    pub programs: Vec<Program>,
    /// UDFs of the export step.
    pub step_fields: Vec<Field>,
    /// UDFs of analytes that may be written, besides those the world was built with.
    pub artifact_fields: Vec<Field>,
    /// UDFs configured for samples, besides those the world was built with. Read-only: samples are not written here.
    pub sample_fields: Vec<Field>,
    /// UDFs configured for projects, likewise.
    pub project_fields: Vec<Field>,
    /// Values offered for a field of this name (`/configuration/udfs/{id}`).
    pub presets: Vec<(String, Vec<String>)>,
    /// Reagent kits of which a lot must be named before the export step leaves Record Details.
    pub required_kits: Vec<String>,
    /// What routing an artifact to a stage where it waits already does, which is not documented: nothing, or a second
    /// row in the queue and a second entry in its history.
    pub routed_twice_is_twice: bool,
    /// Status of a good batch: some versions answer 202.
    pub batch_status: u16,
    /// List every queued artifact twice, with two queue times.
    pub duplicates: bool,
    /// Base address in `next-page` instead of our own, for example `https://lims.example.org/api/v2`.
    pub next_page_base: Option<String>,
    /// Base address in all answers, instead of the one dialled.
    pub advertised_base: Option<String>,
    /// Write attributes in reverse order and with meaningless namespace prefixes.
    pub odd_xml: bool,
    /// Seed of the order of batch answers.
    pub seed: u64,
    /// Where times come from.
    pub clock: fn() -> Timestamp,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            user: "apiuser".to_owned(),
            password: "secret".to_owned(),
            minor: "r33".to_owned(),
            page_size: 500,
            batch_limit: 500,
            max_body: 1 << 20,
            workflow: 751,
            workflow_name: "Processing of HTS-data diag 2.0".to_owned(),
            protocol: 901,
            protocol_name: "Export of HTS-data diag 2.0".to_owned(),
            export_step: 1601,
            export_step_name: "Lims exporter diag 2.0".to_owned(),
            next_step: None,
            failed_step: None,
            failed_step_linked: true,
            complete_beside_transitions: false,
            e_signature: false,
            setup_screen: false,
            started_reads: 0,
            programs: Vec::new(),
            step_fields: vec![Field {
                name: "Export key".to_owned(),
                kind: UdfKind::String,
                required: false,
            }],
            artifact_fields: vec![Field {
                name: "Export failed description".to_owned(),
                kind: UdfKind::String,
                required: false,
            }],
            sample_fields: Vec::new(),
            project_fields: Vec::new(),
            presets: Vec::new(),
            required_kits: Vec::new(),
            routed_twice_is_twice: false,
            batch_status: 200,
            duplicates: false,
            next_page_base: None,
            advertised_base: None,
            odd_xml: false,
            seed: 1,
            clock: crate::clock::now,
        }
    }
}

impl std::fmt::Debug for Settings {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("user", &self.user)
            .field("export_step", &self.export_step)
            .field("page_size", &self.page_size)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_keeps_the_password_back() {
        let settings = Settings { password: "hunter2".to_owned(), ..Settings::default() };
        let text = format!("{settings:?}");
        assert!(text.contains("apiuser") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn numbers_lose_trailing_zeros() {
        assert_eq!(Udf::numeric("x", 88.90_f64).value, "88.9");
        assert_eq!(Udf::numeric("x", 35.0_f64).value, "35");
    }
}
