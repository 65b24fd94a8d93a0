//! Who and what there is: researchers, process types, the index of the API, and the configured fields.
//!
//! Field configuration is gathered from [`super::Settings`] and from the fields that the world was built with: whatever
//! a real server shows somewhere it has configured. `/configuration/udfs` lists links only; what type a field has and
//! which values are offered stands in its own document.

use super::answer::{Answer, Outcome, Refusal, Uris};
use super::config::process_type_id;
use super::lists::{Query, page};
use super::settings::UdfKind;
use super::world::{API_USER, Kind, LAB_USER, Researcher, World};
use super::xml::Element;

/// A field and what it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Configured {
    /// `ProcessType` for fields of processes and steps, empty otherwise.
    category: &'static str,
    /// `Sample`, `Project`, `Analyte`, `ResultFile`, or the name of a process type.
    owner: String,
    name: String,
    kind: &'static str,
    required: bool,
}

impl Configured {
    /// Stays the same while other fields come and go (FNV-1a over owner and name).
    fn number(&self) -> u32 {
        let text = format!("{}\n{}", self.owner, self.name);
        text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
            % 1_000_000
    }
}

const RESOURCES: [&str; 9] = [
    "artifacts",
    "configuration/protocols",
    "configuration/udfs",
    "configuration/workflows",
    "containers",
    "processes",
    "projects",
    "researchers",
    "samples",
];

impl World {
    /// `GET /api/v2`.
    pub(super) fn index(&self, uris: &Uris) -> Answer {
        let link = |path: &str| {
            Element::new("link")
                .attr("uri", uris.to(path))
                .attr("rel", path.rsplit('/').next().unwrap_or(path))
        };
        Answer::ok(Element::root("ri:index", &[]).all(RESOURCES.map(link)))
    }

    fn researchers(&self) -> [(Researcher, String); 2] {
        [(API_USER, self.settings.user.clone()), (LAB_USER, "ada".to_owned())]
    }

    /// `GET /researchers`.
    pub(super) fn researcher_list(&self, query: &Query, uris: &Uris) -> Outcome {
        super::lists::check(query, &["username", "firstname", "lastname"])?;
        let rows = self.researchers().into_iter().filter(|(who, user)| {
            super::lists::fits(query, |name, value| match name {
                "username" => user == value,
                "firstname" => who.first == value,
                _ => who.last == value,
            })
        });
        let rows = rows.map(|(who, _)| super::resources::person("researcher", uris, who)).collect();
        page(
            Element::root("res:researchers", &[]),
            None,
            rows,
            "researchers",
            query,
            self.settings.page_size,
            uris,
        )
    }

    /// `GET /researchers/{id}`.
    pub(super) fn researcher_document(&self, id: &str, uris: &Uris) -> Outcome {
        let found = self.researchers().into_iter().find(|(who, _)| who.id.to_string() == id);
        let (who, user) = found.ok_or_else(|| Refusal::not_found("Researcher", id))?;
        let mut body = super::resources::person("res:researcher", uris, who);
        body.attributes.insert(0, ("xmlns:res".to_owned(), super::xml::namespace("res")));
        let credentials = Element::new("credentials")
            .child(Element::leaf("username", user))
            .child(Element::leaf("account-locked", "false"));
        let initials: String = [who.first, who.last].iter().filter_map(|name| name.chars().next()).collect();
        Ok(Answer::ok(body.child(credentials).child(Element::leaf("initials", initials))))
    }

    /// `GET /processtypes/{id}`, with the name only: parameters are not simulated.
    pub(super) fn process_type_document(&self, id: &str, uris: &Uris) -> Outcome {
        let steps = self.config().steps.into_iter().map(|step| (process_type_id(step.id), step.name));
        let others = self.processes.values().map(|process| (process.type_id, process.type_name.clone()));
        let found = steps.chain(others).find(|(known, _)| known.to_string() == id);
        let (_, name) = found.ok_or_else(|| Refusal::not_found("Process type", id))?;
        let body = Element::root("ptp:process-type", &[])
            .attr("name", name)
            .attr("uri", uris.to(format_args!("processtypes/{id}")));
        Ok(Answer::ok(body))
    }

    fn configured_fields(&self) -> Vec<Configured> {
        let mut all = Vec::new();
        let mut add = |category, owner: &str, name: &str, kind: UdfKind, required| {
            let field = Configured {
                category,
                owner: owner.to_owned(),
                name: name.to_owned(),
                kind: kind.word(),
                required,
            };
            if !all.iter().any(|known: &Configured| known.owner == field.owner && known.name == field.name) {
                all.push(field);
            }
        };
        let settings = &self.settings;
        for (category, owner, fields) in [
            ("ProcessType", settings.export_step_name.as_str(), &settings.step_fields),
            ("", "Analyte", &settings.artifact_fields),
            ("", "Sample", &settings.sample_fields),
            ("", "Project", &settings.project_fields),
        ] {
            fields.iter().for_each(|field| add(category, owner, &field.name, field.kind, field.required));
        }
        for udf in self.samples.values().flat_map(|sample| &sample.udfs) {
            add("", "Sample", &udf.name, udf.kind, false);
        }
        for udf in self.projects.values().flat_map(|project| &project.udfs) {
            add("", "Project", &udf.name, udf.kind, false);
        }
        for artifact in self.artifacts.values() {
            let owner = if artifact.kind == Kind::Analyte { "Analyte" } else { "ResultFile" };
            artifact.udfs.iter().for_each(|udf| add("", owner, &udf.name, udf.kind, false));
        }
        for process in self.processes.values() {
            process
                .udfs
                .iter()
                .for_each(|udf| add("ProcessType", &process.type_name, &udf.name, udf.kind, false));
        }
        all.sort();
        all
    }

    /// `GET /configuration/udfs`.
    pub(super) fn udf_list(&self, query: &Query, uris: &Uris) -> Outcome {
        super::lists::check(query, &["name", "attach-to-name", "attach-to-category"])?;
        let rows = self.configured_fields().into_iter().filter(|field| {
            super::lists::fits(query, |name, value| match name {
                "name" => field.name == value,
                "attach-to-name" => field.owner == value,
                _ => field.category == value,
            })
        });
        let link = |field: Configured| {
            Element::new("udfconfig")
                .attr("attach-to-name", &field.owner)
                .attr("attach-to-category", field.category)
                .attr("name", &field.name)
                .attr("uri", uris.to(format_args!("configuration/udfs/{}", field.number())))
        };
        let rows = rows.map(link).collect();
        page(
            Element::root("cnf:udfs", &[]),
            None,
            rows,
            "configuration/udfs",
            query,
            self.settings.page_size,
            uris,
        )
    }

    /// `GET /configuration/udfs/{id}`.
    pub(super) fn udf_document(&self, id: &str, uris: &Uris) -> Outcome {
        let found = self.configured_fields().into_iter().find(|field| field.number().to_string() == id);
        let field = found.ok_or_else(|| Refusal::not_found("Field", id))?;
        let presets = self.settings.presets.iter().filter(|(name, _)| *name == field.name);
        let presets =
            presets.flat_map(|(_, values)| values.iter().map(|value| Element::leaf("preset", value)));
        Ok(Answer::ok(
            Element::root("cnf:field", &[])
                .attr("type", field.kind)
                .attr("uri", uris.to(format_args!("configuration/udfs/{id}")))
                .child(Element::leaf("name", &field.name))
                .child(Element::leaf("attach-to-name", &field.owner))
                .child(Element::leaf("attach-to-category", field.category))
                .child(Element::leaf("show-in-lablink", "false"))
                .child(Element::leaf("allow-non-preset-values", "true"))
                .child(Element::leaf("first-preset-is-default-value", "false"))
                .child(Element::leaf("show-in-tables", "true"))
                .child(Element::leaf("is-editable", "true"))
                .child(Element::leaf("is-deviation", "false"))
                .child(Element::leaf("is-controlled-vocabulary", "false"))
                .all(presets)
                .child(Element::leaf("is-required", if field.required { "true" } else { "false" })),
        ))
    }
}
