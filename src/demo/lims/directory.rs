//! Who and what there is: researchers, and the configured fields.
//!
//! What is configured is what a PUT takes (see [`super::Settings`]) and what the world was built with. A list of fields has
//! links only; the type of a field stands in its own document.

use super::answer::{Answer, Outcome, Refusal, Uris};
use super::lists::{Query, check, fits, page};
use super::resources::person;
use super::settings::{Field, Udf};
use super::world::{API_USER, Kind, LAB_USER, Researcher, World};
use super::xml::{Element, namespace};

/// A field, and what it belongs to.
struct Configured {
    owner: String,
    category: &'static str,
    field: Field,
}

impl World {
    fn researchers(&self) -> [(Researcher, String); 2] {
        [(API_USER, self.settings.user.clone()), (LAB_USER, "ada".to_owned())]
    }

    /// `GET /researchers`.
    pub(super) fn researcher_list(&self, query: &Query, uris: &Uris) -> Outcome {
        check(query, &["username", "firstname", "lastname"])?;
        let found = self.researchers().into_iter().filter(|(who, account)| {
            fits(query, |filter, value| match filter {
                "username" => account == value,
                "firstname" => who.first == value,
                _ => who.last == value,
            })
        });
        let rows = found.map(|(who, _)| person("researcher", uris, who)).collect();
        let body = Element::root("res:researchers", &[]);
        page(body, false, rows, "researchers", query, self.settings.page_size, uris)
    }

    /// `GET /researchers/{id}`.
    pub(super) fn researcher_document(&self, id: &str, uris: &Uris) -> Outcome {
        let found = self.researchers().into_iter().find(|(who, _)| who.id.to_string() == id);
        let (who, account) = found.ok_or_else(|| Refusal::not_found("Researcher", id))?;
        let mut body = person("res:researcher", uris, who);
        body.attributes.insert(0, ("xmlns:res".to_owned(), namespace("res")));
        let locked = Element::leaf("account-locked", "false");
        let credentials = Element::new("credentials").child(Element::leaf("username", account)).child(locked);
        Ok(Answer::ok(body.child(credentials)))
    }

    /// All fields, each once; the place in the list is the number.
    fn configured(&self) -> Vec<Configured> {
        let mut all: Vec<Configured> = Vec::new();
        let mut add = |owner: &str, category, field: Field| {
            if !all.iter().any(|known| known.owner == owner && known.field.name == field.name) {
                all.push(Configured { owner: owner.to_owned(), category, field });
            }
        };
        let settings = &self.settings;
        let step = &settings.export_step_name;
        settings.step_fields.iter().for_each(|field| add(step, "ProcessType", field.clone()));
        settings.artifact_fields.iter().for_each(|field| add("Analyte", "", field.clone()));
        let of = |udf: &Udf| Field { name: udf.name.clone(), kind: udf.kind, required: false };
        self.samples.values().flat_map(|it| &it.udfs).for_each(|udf| add("Sample", "", of(udf)));
        self.projects.values().flat_map(|it| &it.udfs).for_each(|udf| add("Project", "", of(udf)));
        for artifact in self.artifacts.values() {
            let owner = if artifact.kind == Kind::Analyte { "Analyte" } else { "ResultFile" };
            artifact.udfs.iter().for_each(|udf| add(owner, "", of(udf)));
        }
        for process in self.processes.values() {
            process.udfs.iter().for_each(|udf| add(&process.type_name, "ProcessType", of(udf)));
        }
        all
    }

    /// `GET /configuration/udfs`.
    pub(super) fn udf_list(&self, query: &Query, uris: &Uris) -> Outcome {
        check(query, &["name", "attach-to-name", "attach-to-category"])?;
        let rows = self.configured().into_iter().enumerate().filter(|(_, one)| {
            fits(query, |filter, value| match filter {
                "name" => one.field.name == value,
                "attach-to-name" => one.owner == value,
                _ => one.category == value,
            })
        });
        let link = |(place, one): (usize, Configured)| {
            Element::new("udfconfig")
                .attr("attach-to-name", one.owner)
                .attr("attach-to-category", one.category)
                .attr("uri", uris.to(format_args!("configuration/udfs/{}", place + 1)))
                .attr("name", one.field.name)
        };
        let rows = rows.map(link).collect();
        let body = Element::root("cnf:udfs", &[]);
        page(body, false, rows, "configuration/udfs", query, self.settings.page_size, uris)
    }

    /// `GET /configuration/udfs/{id}`.
    pub(super) fn udf_document(&self, id: &str, uris: &Uris) -> Outcome {
        let place = id.parse::<usize>().ok().and_then(|place| place.checked_sub(1));
        let found = place.and_then(|place| self.configured().into_iter().nth(place));
        let Configured { owner, category, field } = found.ok_or_else(|| Refusal::not_found("Field", id))?;
        Ok(Answer::ok(
            Element::root("cnf:field", &[])
                .attr("type", field.kind.word())
                .attr("uri", uris.to(format_args!("configuration/udfs/{id}")))
                .child(Element::leaf("name", field.name))
                .child(Element::leaf("attach-to-name", owner))
                .child(Element::leaf("allow-non-preset-values", "true"))
                .child(Element::leaf("is-required", if field.required { "true" } else { "false" }))
                .child(Element::leaf("attach-to-category", category)),
        ))
    }
}
