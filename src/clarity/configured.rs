//! What the LIMS is configured with, beside protocols: stages of workflows, and user-defined fields.
//!
//! A *stage* is a step inside one workflow: routing and the history of an artifact speak of stages, queues and actions of
//! steps. Which stage is which step stands in the stage's own document.
use super::client::{Client, Pages, doing};
use super::error::Error;
use super::fault::Fault;
use super::ids::number_in;
use super::lists::next_page;
use super::ns;
use super::read::{Record, parsed};
use super::tree::Element;
use super::words::UdfKind;

/// A stage of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageConfig {
    /// Its name.
    pub name: Option<String>,
    /// Number of its workflow.
    pub workflow: Option<u32>,
    /// Number of the step that it is; none for a stage that is a whole protocol.
    pub step: Option<u32>,
}

impl Record for StageConfig {
    const NAMESPACE: &'static str = ns::STAGE;
    const ROOT: &'static str = "stage";
    const PATH: &'static str = "configuration/workflows";

    fn from_element(e: &Element) -> Result<Self, Fault> {
        let uri = |child: &str| e.child(child).and_then(|child| child.attr("uri"));
        Ok(Self {
            name: e.attr("name").map(str::to_owned),
            workflow: uri("workflow").and_then(|uri| number_in(uri, "workflows")),
            step: uri("step").and_then(|uri| number_in(uri, "steps")),
        })
    }
}

/// A configured field, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldLink {
    /// Its name.
    pub name: String,
    /// What has it: `Sample`, `Project`, `Analyte`, `ResultFile`, or the name of a process type.
    pub owner: String,
    /// `ProcessType` if the owner is one.
    pub category: String,
    /// Its own document.
    pub uri: String,
}

/// A configured field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: UdfKind,
    /// Whether a person must set it.
    pub required: bool,
    /// Values that are offered.
    pub presets: Vec<String>,
    /// Whether values other than those are taken.
    pub others: bool,
    /// Whether the first of them stands there unless somebody changes it.
    pub has_default: bool,
}

impl Record for Field {
    const NAMESPACE: &'static str = ns::CONFIGURATION;
    const ROOT: &'static str = "field";
    const PATH: &'static str = "configuration/udfs";

    fn from_element(e: &Element) -> Result<Self, Fault> {
        let flag = |child: &str| parsed::<bool>(e, child, "true or false");
        let presets: Vec<String> = e.all("preset").map(Element::text).collect();
        Ok(Self {
            name: e.child("name").map(Element::text).ok_or_else(|| Fault::new("it has no name"))?,
            kind: UdfKind::parse(e.attr("type").unwrap_or_default()),
            required: flag("is-required")?.unwrap_or(false),
            others: flag("allow-non-preset-values")?.unwrap_or(true),
            has_default: flag("first-preset-is-default-value")?.unwrap_or(false) && !presets.is_empty(),
            presets,
        })
    }
}

struct Fields {
    links: Vec<FieldLink>,
    next_page: Option<String>,
}

impl Record for Fields {
    const NAMESPACE: &'static str = ns::CONFIGURATION;
    const ROOT: &'static str = "udfs";
    const PATH: &'static str = "configuration/udfs";

    fn from_element(e: &Element) -> Result<Self, Fault> {
        let text = |link: &Element, name: &str| link.attr(name).unwrap_or_default().to_owned();
        let link = |link: &Element| FieldLink {
            name: text(link, "name"),
            owner: text(link, "attach-to-name"),
            category: text(link, "attach-to-category"),
            uri: text(link, "uri"),
        };
        Ok(Self { links: e.all("udfconfig").map(link).collect(), next_page: next_page(e) })
    }
}

impl Client {
    /// A stage of a workflow.
    pub async fn stage(&self, workflow: u32, stage: u32) -> Result<StageConfig, Error> {
        let url = self.wire.url(&format!("configuration/workflows/{workflow}/stages/{stage}"), &[]);
        let found: StageConfig = self.fetch(&url).await?;
        match found.workflow {
            Some(other) if other != workflow => {
                let fault = Fault::new(format!("it is a stage of workflow {other}"));
                Err(Error::malformed(&doing(&url), fault))
            }
            _ => Ok(found),
        }
    }

    /// All configured fields that the filters (`name`, `attach-to-name`, `attach-to-category`) select, all pages. Check
    /// each against the filters. Some installations let only administrators ask.
    pub async fn field_links(&self, filters: &[(&str, &str)]) -> Result<Vec<FieldLink>, Error> {
        let mut pages = Pages::new(self.wire.url("configuration/udfs", filters));
        let mut found = Vec::new();
        while let Some(url) = pages.next()? {
            let page: Fields = self.fetch(&url).await?;
            pages.queue(&self.wire, page.next_page.as_deref())?;
            found.extend(page.links);
        }
        Ok(found)
    }

    /// A configured field, whole.
    pub async fn field(&self, link: &FieldLink) -> Result<Field, Error> {
        let url = self
            .wire
            .follow(&link.uri)
            .map_err(|fault| Error::malformed("GET /configuration/udfs", fault))?;
        let found: Field = self.fetch(&url).await?;
        if found.name == link.name {
            return Ok(found);
        }
        let fault = Fault::new(format!("the field {:?} was asked for and {:?} came", link.name, found.name));
        Err(Error::malformed(&doing(&url), fault))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, Reply, exception};
    use super::*;

    const STAGE: &str = r#"<stg:stage xmlns:stg="http://genologics.com/ri/stage" index="1" name="Export failed"
        uri="https://own/api/v2/configuration/workflows/7/stages/8">
        <workflow uri="https://own/api/v2/configuration/workflows/7"/><protocol uri="https://own/api/v2/configuration/protocols/5"/>
        <step uri="https://own/api/v2/configuration/protocols/5/steps/61"/></stg:stage>"#;
    const FIELD: &str = r#"<cnf:field xmlns:cnf="http://genologics.com/ri/configuration" type="Text"
        uri="https://own/api/v2/configuration/udfs/12"><name>Priority Diag</name><attach-to-name>Sample</attach-to-name>
        <allow-non-preset-values>false</allow-non-preset-values><first-preset-is-default-value>true</first-preset-is-default-value>
        <preset>Høy</preset><preset>Normal</preset><is-required>true</is-required></cnf:field>"#;

    #[tokio::test]
    async fn stages_and_fields_are_read_and_compared_with_what_was_asked() {
        let fake = Fake::start(|seen, _| match seen.path.as_str() {
            "configuration/workflows/7/stages/8" | "configuration/workflows/6/stages/8" => {
                Reply::Xml(200, STAGE.to_owned())
            }
            "configuration/udfs?name=Priority+Diag" => Reply::Xml(
                200,
                r#"<cnf:udfs xmlns:cnf="http://genologics.com/ri/configuration">
                <udfconfig attach-to-name="Sample" attach-to-category="" name="Priority Diag" uri="https://own/api/v2/configuration/udfs/12"/>
                <next-page uri="https://own/api/v2/configuration/udfs?start-index=1&amp;name=Priority+Diag"/></cnf:udfs>"#.to_owned(),
            ),
            "configuration/udfs?start-index=1&name=Priority+Diag" => Reply::Xml(
                200,
                r#"<cnf:udfs xmlns:cnf="http://genologics.com/ri/configuration"><udfconfig attach-to-name="Export"
                attach-to-category="ProcessType" name="Other" uri="https://own/api/v2/configuration/udfs/12"/></cnf:udfs>"#.to_owned(),
            ),
            "configuration/udfs/12" => Reply::Xml(200, FIELD.to_owned()),
            _ => Reply::Xml(404, exception("none")),
        })
        .await;
        let client = fake.client();
        let stage = client.stage(7, 8).await.unwrap();
        assert_eq!(
            stage,
            StageConfig { name: Some("Export failed".into()), workflow: Some(7), step: Some(61) }
        );
        let other = crate::chain(&client.stage(6, 8).await.unwrap_err());
        assert!(other.contains("it is a stage of workflow 7"), "{other}");
        let links = client.field_links(&[("name", "Priority Diag")]).await.unwrap();
        let owners: Vec<&str> = links.iter().map(|link| link.owner.as_str()).collect();
        assert_eq!(owners, ["Sample", "Export"]);
        let field = client.field(&links[0]).await.unwrap();
        assert_eq!(
            (field.kind, field.presets.as_slice()),
            (UdfKind::Text, &["Høy".to_owned(), "Normal".to_owned()][..])
        );
        assert!(field.required && field.has_default && !field.others);
        let wrong = crate::chain(&client.field(&links[1]).await.unwrap_err());
        assert!(wrong.contains("\"Other\" was asked for and \"Priority Diag\" came"), "{wrong}");
    }
}
