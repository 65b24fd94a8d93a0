//! Full replacement: `PUT /steps/{id}/details` and `PUT /artifacts/{id}`.
//!
//! There is no partial update in this API: what a PUT leaves out is deleted or reset. There is no version either, the
//! last writer wins. So a client has to send back the document it got, changed, and soon.
//!
//! UDFs are taken only if configured, of the configured type, and not blank. Trap: numbers come back without their
//! trailing zeros.

use super::answer::{Answer, Outcome, Refusal, Uris};
use super::read::Received;
use super::settings::{Field, StepState, Udf, UdfKind};
use super::world::{Kind, World};

impl World {
    /// `PUT /steps/{id}/details`: replaces all fields of the step; the map cannot be changed.
    pub(super) fn put_details(&mut self, id: &str, body: &Received, uris: &Uris) -> Outcome {
        let run = self.step_run(id)?;
        if !body.is("stp:details") {
            return Err(Refusal::bad("The request is not step details (stp:details)"));
        }
        if matches!(run.state, StepState::Started | StepState::UnderReview | StepState::Completed) {
            return Err(Refusal::bad(format!(
                "Details of step {id} cannot be changed in state {}",
                run.state.word()
            )));
        }
        let process = self.processes.get(id).ok_or_else(|| Refusal::not_found("Step", id))?;
        if let Some(maps) = body.child("input-output-maps") {
            let given = maps.children("input-output-map").map(|map| {
                let uri = map.child("input").and_then(|input| input.attr("uri")).unwrap_or_default();
                uris.id("artifacts", uri).unwrap_or_default()
            });
            let mut given: Vec<String> = given.collect();
            let mut known: Vec<String> = process.maps.iter().map(|map| map.input.clone()).collect();
            given.sort();
            known.sort();
            if given != known {
                return Err(Refusal::bad(format!("The inputs given are not those of step {id}")));
            }
        }
        let now = self.now();
        let mut udfs = Vec::new();
        for field in body.child("fields").iter().flat_map(|fields| fields.children("udf:field")) {
            udfs.push(accepted_udf(field, &self.settings.step_fields)?);
        }
        if let Some(process) = self.processes.get_mut(id) {
            process.udfs = udfs;
            process.modified = now;
        }
        Ok(Answer::ok(self.details_document(id, uris)?))
    }

    /// `PUT /artifacts/{id}`: full replacement of name, QC flag, reagent labels and UDFs; the rest is not writable.
    pub(super) fn put_artifact(&mut self, id: &str, body: &Received, uris: &Uris) -> Outcome {
        let artifact = self.artifacts.get(id).ok_or_else(|| Refusal::not_found("Artifact", id))?;
        if !body.is("art:artifact") || body.attr("limsid").is_some_and(|given| given != id) {
            return Err(Refusal::bad(format!("The request is not artifact {id}")));
        }
        let mut known: Vec<Field> = Vec::new();
        for other in self.artifacts.values().filter(|other| other.kind == artifact.kind) {
            known.extend(other.udfs.iter().map(|udf| Field {
                name: udf.name.clone(),
                kind: udf.kind,
                required: false,
            }));
        }
        if artifact.kind == Kind::Analyte {
            known.extend(self.settings.artifact_fields.iter().cloned());
        }
        let name =
            body.child("name").map(|name| name.text().to_owned()).filter(|name| !name.trim().is_empty());
        let name = name.ok_or_else(|| Refusal::bad("An artifact needs a name"))?;
        let qc = body.child("qc-flag").map_or("UNKNOWN", |flag| flag.text());
        if !["UNKNOWN", "PASSED", "FAILED", "CONTINUE"].contains(&qc) {
            return Err(Refusal::bad(format!("Unknown qc-flag: {qc}")));
        }
        let labels = body
            .children("reagent-label")
            .filter_map(|label| label.attr("name").map(str::to_owned))
            .collect();
        let udfs =
            body.children("udf:field").map(|field| accepted_udf(field, &known)).collect::<Result<_, _>>()?;
        if let Some(artifact) = self.artifacts.get_mut(id) {
            let changed = artifact.qc != qc;
            (artifact.name, artifact.qc, artifact.labels, artifact.udfs) =
                (name, qc.to_owned(), labels, udfs);
            artifact.state += u64::from(changed);
        }
        Ok(Answer::ok(self.artifact_document(id, uris)?))
    }
}

/// A UDF as the server takes it: configured, of the configured type, not blank; numbers lose trailing zeros.
fn accepted_udf(field: &Received, known: &[Field]) -> Result<Udf, Refusal> {
    let name = field.attr("name").unwrap_or_default();
    let known = known.iter().find(|field| field.name == name);
    let known = known.ok_or_else(|| Refusal::bad(format!("UDF {name:?} is not configured")))?;
    if field.attr("type").is_some_and(|kind| kind != known.kind.word()) {
        return Err(Refusal::bad(format!("UDF {name:?} is of type {}", known.kind.word())));
    }
    let value = field.text();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let good = match known.kind {
        _ if value.trim().is_empty() => false,
        UdfKind::Boolean => value == "true" || value == "false",
        UdfKind::Numeric => {
            let (whole, part) = value.split_once('.').unwrap_or((value, "0"));
            digits(whole.strip_prefix('-').unwrap_or(whole)) && digits(part)
        }
        UdfKind::Date => value.parse::<jiff::civil::Date>().is_ok() && value.len() == 10,
        UdfKind::String => !value.contains('\n'),
        UdfKind::Text | UdfKind::Uri => true,
    };
    if !good {
        return Err(Refusal::bad(format!(
            "{value:?} is no value for UDF {name:?} of type {}",
            known.kind.word()
        )));
    }
    let value = match known.kind {
        UdfKind::Numeric if value.contains('.') => value.trim_end_matches('0').trim_end_matches('.'),
        _ => value,
    };
    Ok(Udf::new(known.kind, name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(kind: UdfKind, given: &str, value: &str) -> Result<String, u16> {
        let xml = format!(
            "<udf:field xmlns:udf='http://genologics.com/ri/userdefined' name='x' type='{given}'>{value}</udf:field>"
        );
        let known = [Field { name: "x".to_owned(), kind, required: false }];
        let field = Received::parse(xml.as_bytes()).unwrap();
        accepted_udf(&field, &known).map(|udf| udf.value).map_err(|refusal| refusal.status)
    }

    #[test]
    fn values_are_checked_against_the_configured_type() {
        assert_eq!(put(UdfKind::Numeric, "Numeric", "88.900"), Ok("88.9".to_owned()));
        assert_eq!(put(UdfKind::Numeric, "Numeric", "-100"), Ok("-100".to_owned()));
        assert_eq!(put(UdfKind::Numeric, "Numeric", "35.00"), Ok("35".to_owned()));
        assert_eq!(put(UdfKind::Numeric, "Numeric", "NaN"), Err(400));
        assert_eq!(put(UdfKind::Numeric, "String", "1"), Err(400));
        assert_eq!(put(UdfKind::String, "String", " "), Err(400));
        assert_eq!(put(UdfKind::String, "String", " a "), Ok(" a ".to_owned()));
        assert_eq!(put(UdfKind::Boolean, "Boolean", "True"), Err(400));
        assert_eq!(put(UdfKind::Date, "Date", "2026-02-30"), Err(400));
        assert_eq!(put(UdfKind::Date, "Date", "2026-02-28"), Ok("2026-02-28".to_owned()));
    }
}
