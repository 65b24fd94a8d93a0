//! Whether the export step can be worked with unattended: asked at start, and by `config check --against-lims`.
//!
//! Everything is looked at before anything is said, so that the laboratory gets one list. Decisions are pure; what must be
//! asked of the LIMS for them is asked around them. What an account has no right to read is said and not held against it.
use super::plan::{self, titles};
use super::{Exporter, everybody};
use crate::blame::Failure;
use crate::chain;
use crate::clarity::{
    Class, Error, Field, FieldLink, LimsId, ProtocolStep, Researcher, StageConfig, UdfKind,
};
use crate::conf::{LimsConf, OnFailure, OnInvalid, OrdersConf};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub what: String,
    /// How it is.
    pub verdict: Verdict,
}

/// How something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Good; in words.
    Fine(String),
    /// It works, but somebody should know.
    Remark(String),
    /// Could not be looked at; why.
    Unknown(String),
    /// It cannot work; why, and the remedy.
    Fault(String),
}

impl Check {
    pub(super) fn new(what: impl Into<String>, verdict: Verdict) -> Self {
        Self { what: what.into(), verdict }
    }

    fn fine(what: &str, how: impl Into<String>) -> Self {
        Self::new(what, Verdict::Fine(how.into()))
    }

    fn remark(what: &str, how: impl Into<String>) -> Self {
        Self::new(what, Verdict::Remark(how.into()))
    }

    fn fault(what: &str, why: impl Into<String>) -> Self {
        Self::new(what, Verdict::Fault(why.into()))
    }
}

/// What the LIMS said when it was asked for something that need not be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// It is there.
    There(T),
    /// It is not.
    Missing,
    /// It may not be asked, or answers in a way that is not understood.
    Unknown(String),
}

/// `Err` only if the LIMS does not answer at all.
pub fn heard<T>(answer: Result<T, Error>) -> Result<Answer<T>, Error> {
    match answer {
        Ok(there) => Ok(Answer::There(there)),
        Err(e) => match e.class() {
            Class::NotFound => Ok(Answer::Missing),
            Class::Outage | Class::Fenced => Err(e),
            _ => Ok(Answer::Unknown(chain(&e))),
        },
    }
}

/// Is it the step that is meant?
pub fn named(step: &ProtocolStep, lims: &LimsConf) -> Check {
    let name = step.name.as_deref().unwrap_or_default();
    match name == lims.step_name {
        true => Check::fine("export step", format!("{} {name:?} of protocol {}", lims.step, lims.protocol)),
        false => Check::fault(
            "export step",
            format!(
                "step {} of protocol {} is called {name:?} in the LIMS, but lims.step_name is {:?}: correct the numbers",
                lims.step, lims.protocol, lims.step_name
            ),
        ),
    }
}

/// Does it want a signature?
pub fn unsigned(step: &ProtocolStep) -> Check {
    let name = step.name.as_deref().unwrap_or_default();
    match step.needs_signature() {
        false => Check::fine("signature", "none is asked for"),
        true => Check::fault(
            "signature",
            format!(
                "step {name:?} wants an electronic signature, which no program can give: ask the laboratory to switch it off"
            ),
        ),
    }
}

/// Everything that follows from how the step itself is configured.
pub fn of_the_step(step: &ProtocolStep, lims: &LimsConf, orders: &OrdersConf) -> Vec<Check> {
    let mut checks = vec![named(step, lims), unsigned(step)];
    checks.push(match plan::onward(step, lims) {
        Err(why) => Check::fault("next step", why),
        Ok(_) => match step.transitions.iter().find(|t| Some(*t) != plan::to_failed(step, lims)) {
            None => Check::fine("next step", "none: exported samples are completed"),
            Some(onward) => Check::fine("next step", format!("exported samples go to {}", titles([onward]))),
        },
    });
    checks.push(match step.permitted_containers.as_slice() {
        [] => Check::fine("outputs", "none"),
        types => Check::fault(
            "outputs",
            format!(
                "the step makes outputs in containers ({}), which somebody must place: ask the laboratory for a step type without \
                 outputs",
                types.join(", ")
            ),
        ),
    });
    checks.push(match step.required_kits.as_slice() {
        [] => Check::fine("reagents", "none are required"),
        kits => Check::fault(
            "reagents",
            format!(
                "the step wants lots of {}: ask the laboratory to take the reagent kits off it",
                kits.join(", ")
            ),
        ),
    });
    for program in step.automatic() {
        let when =
            [program.status.as_deref(), program.point.as_deref()].into_iter().flatten().collect::<Vec<_>>();
        checks.push(Check::remark(
            &format!("program {:?}", program.name.as_deref().unwrap_or("?")),
            format!(
                "runs by itself ({}): each step waits for it, at most {:?} in each state; if it fails or leaves a message, the step \
                 stands still until somebody closes that in the LIMS",
                when.join(" "),
                lims.step_deadline
            ),
        ));
    }
    for (property, says) in [
        (
            "qcProtocolStep",
            "it is a step of a quality control protocol, where other next steps may be allowed",
        ),
        ("eppLocksNextSteps", "a program chooses the next steps, and may refuse those that are set here"),
        ("autoStartNextStep", "the LIMS starts the step after it by itself"),
    ] {
        if step.is_set(property) {
            checks.push(Check::remark(property, says));
        }
    }
    checks.extend(failed_step(step, lims, orders));
    checks
}

fn failed_step(step: &ProtocolStep, lims: &LimsConf, orders: &OrdersConf) -> Option<Check> {
    let number = lims.failed_step?;
    let what = "lims.failed_step";
    let others = || match step.transitions.is_empty() {
        true => "it leads nowhere".to_owned(),
        false => format!("it leads to: {}", titles(&step.transitions)),
    };
    Some(match (plan::to_failed(step, lims), lims.failed_stage) {
        _ if number == lims.step => Check::fault(
            what,
            "it is the export step itself: failed samples would come back for ever; correct the number",
        ),
        (Some(to), _) => Check::fine(what, titles([to])),
        (None, Some((workflow, stage))) => Check::remark(
            what,
            format!(
                "the export step does not lead to step {number} ({}): failed samples are taken out of the workflow and put into \
                 stage {stage} of workflow {workflow} (lims.failed_stage)",
                others()
            ),
        ),
        (None, None) => {
            let why = format!(
                "the export step does not lead to step {number} ({}): correct the number, or set lims.failed_stage",
                others()
            );
            match orders.on_failure == OnFailure::FailedStep {
                true => Check::fault(what, why),
                false => Check::remark(what, why),
            }
        }
    })
}

/// Where failed samples are put.
pub fn failed_stage(stage: (u32, u32), found: &Answer<StageConfig>, lims: &LimsConf) -> Check {
    let what = "lims.failed_stage";
    let (workflow, number) = stage;
    match found {
        Answer::Missing => Check::fault(
            what,
            format!(
                "there is no stage {number} in workflow {workflow}: correct it (a stage's number is not that of its step)"
            ),
        ),
        Answer::Unknown(why) => Check::new(what, Verdict::Unknown(why.clone())),
        Answer::There(found) if found.step == Some(lims.step) => Check::fault(
            what,
            format!(
                "stage {number} of workflow {workflow} is the export step itself: failed samples would come back for ever; correct it"
            ),
        ),
        Answer::There(found) => {
            Check::fine(what, format!("{workflow}/{number} {:?}", found.name.as_deref().unwrap_or("?")))
        }
    }
}

/// Who is asked.
pub fn reviewer(number: u32, found: &Answer<Researcher>) -> Check {
    let what = "lims.reviewer";
    match found {
        Answer::Missing => Check::fault(what, format!("there is no researcher {number}: correct the number")),
        Answer::Unknown(why) => Check::new(what, Verdict::Unknown(why.clone())),
        Answer::There(found) if found.locked || found.username.is_none() => Check::fault(
            what,
            format!(
                "researcher {number} cannot log in (no account, or it is locked), so nobody would answer: name another"
            ),
        ),
        Answer::There(found) => {
            Check::fine(what, format!("{number}, account {:?}", found.username.as_deref().unwrap_or("?")))
        }
    }
}

/// A field that this program writes.
pub fn written(what: &str, name: &str, owner: &str, found: &Answer<Vec<Field>>) -> Check {
    match found {
        Answer::Unknown(why) => Check::new(what, Verdict::Unknown(format!("{name:?} of {owner}: {why}"))),
        Answer::Missing => Check::fault(
            what,
            format!("{owner} has no field {name:?}: correct the name, or have the field made"),
        ),
        Answer::There(fields) => match fields.first() {
            None => Check::fault(
                what,
                format!("{owner} has no field {name:?}: correct the name, or have the field made"),
            ),
            Some(field) if !matches!(field.kind, UdfKind::String | UdfKind::Text) => Check::fault(
                what,
                format!(
                    "the field {name:?} of {owner} is of type {}, and text is to be written into it: name another",
                    field.kind
                ),
            ),
            Some(field) if !field.others => Check::fault(
                what,
                format!(
                    "the field {name:?} of {owner} takes only offered values, and text is to be written into it: name another"
                ),
            ),
            Some(field) => Check::fine(what, format!("{name:?} of {owner} ({})", field.kind)),
        },
    }
}

/// Fields that somebody must set before the step can end.
pub fn required(step: &ProtocolStep, lims: &LimsConf, fields: &Answer<Vec<Field>>) -> Check {
    let what = "required fields";
    let fields = match fields {
        Answer::There(fields) => fields.as_slice(),
        Answer::Missing => &[],
        Answer::Unknown(why) => return Check::new(what, Verdict::Unknown(why.clone())),
    };
    let ours = |field: &Field| lims.key_field.as_deref() == Some(field.name.as_str());
    let must = |field: &&Field| {
        field.required && !field.has_default && !ours(field) && step.fields.contains(&field.name)
    };
    let names: Vec<String> = fields.iter().filter(must).map(|field| format!("{:?}", field.name)).collect();
    match names.is_empty() {
        true => Check::fine(what, "none that somebody must set"),
        false => Check::fault(
            what,
            format!(
                "{} must be set before the step can end, and this program does not know with what: ask the laboratory not to \
                 require it",
                names.join(", ")
            ),
        ),
    }
}

impl Exporter {
    /// The whole pre-flight. `Err` only if the LIMS does not answer, or refuses the account.
    pub async fn checks(&self) -> Result<Vec<Check>, Error> {
        let (lims, orders) = (&self.conf, &self.orders);
        let step = match self.client.protocol_step(lims.protocol, lims.step).await {
            Err(e) if e.class() == Class::NotFound => {
                let why = format!("{}; correct lims.protocol and lims.step", chain(&e));
                return Ok(vec![Check::fault("export step", why)]);
            }
            step => step?,
        };
        let mut checks = of_the_step(&step, lims, orders);
        let kind = step.process_type.as_deref().unwrap_or_default();
        let of_the_type = [("attach-to-name", kind), ("attach-to-category", "ProcessType")];
        let shown = |link: &FieldLink| step.fields.contains(&link.name);
        let fields = heard(self.fields_of(&of_the_type, shown).await)?;
        checks.push(required(&step, lims, &fields));
        if let Some(stage) = lims.failed_stage {
            let found = heard(self.client.stage(stage.0, stage.1).await)?;
            checks.push(failed_stage(stage, &found, lims));
        }
        if let Some(number) = lims.reviewer {
            let id = LimsId::new(&number.to_string());
            if let Ok(id) = id {
                checks.push(reviewer(number, &heard(self.client.researcher(&id).await)?));
            }
        }
        if let Some(name) = &lims.failure_field {
            let filters = [("name", name.as_str()), ("attach-to-name", "Analyte")];
            let found = heard(self.fields_of(&filters, |link| link.name == *name).await)?;
            checks.push(written("lims.failure_field", name, "Analyte", &found));
        } else if orders.on_failure != OnFailure::Delete || orders.on_invalid == OnInvalid::Route {
            let says = "not set: the LIMS will not say of a failed sample why it failed";
            checks.push(Check::remark("lims.failure_field", says));
        }
        if let Some(name) = &lims.key_field {
            let filters = [("name", name.as_str()), of_the_type[0], of_the_type[1]];
            let found = heard(self.fields_of(&filters, |link| link.name == *name).await)?;
            checks.push(written("lims.key_field", name, kind, &found));
        }
        checks.push(match heard(self.client.researcher_named(&lims.user).await)? {
            Answer::There(Some(us)) => Check::fine("lims.user", format!("researcher {}", us.id)),
            Answer::There(None) | Answer::Missing => {
                Check::remark("lims.user", self.nameless("no researcher has this account"))
            }
            Answer::Unknown(why) => Check::remark("lims.user", self.nameless(&why)),
        });
        Ok(checks)
    }

    fn nameless(&self, why: &str) -> String {
        let so = match self.conf.key_field {
            Some(_) => "a step of this program is known by lims.key_field alone",
            None => {
                "after a crash at its very first claim a step of this program may not be known again (lims.key_field would help)"
            }
        };
        format!("the LIMS does not tell which researcher {:?} is ({why}): {so}", self.conf.user)
    }

    /// Fields that the filters select, each looked at itself; what the search gives beside them is left out.
    async fn fields_of(
        &self,
        filters: &[(&str, &str)],
        wanted: impl Fn(&FieldLink) -> bool,
    ) -> Result<Vec<Field>, Error> {
        let fits = |link: &FieldLink| {
            filters.iter().all(|(filter, value)| match *filter {
                "name" => link.name == *value,
                "attach-to-name" => link.owner == *value,
                _ => link.category == *value,
            })
        };
        let mut fields = Vec::new();
        for link in self.client.field_links(filters).await?.iter().filter(|link| fits(link) && wanted(link)) {
            fields.push(self.client.field(link).await?);
        }
        Ok(fields)
    }

    pub(super) async fn can_run_unattended(&self) -> Result<Vec<String>, Failure> {
        let (mut remarks, mut faults) = (Vec::new(), Vec::new());
        for Check { what, verdict } in self.checks().await.map_err(everybody)? {
            match verdict {
                Verdict::Fine(_) => {}
                Verdict::Remark(says) => remarks.push(format!("{what}: {says}")),
                Verdict::Unknown(why) => remarks.push(format!("{what} could not be looked at: {why}")),
                Verdict::Fault(why) => faults.push(format!("{what}: {why}")),
            }
        }
        match faults.is_empty() {
            true => Ok(remarks),
            false => Err(Failure::Outage(format!(
                "the export step cannot be worked with unattended: {}",
                faults.join("; ")
            ))),
        }
    }
}
