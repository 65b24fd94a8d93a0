//! Whether the site's words are those of the LIMS: each configured field exists where it is read, and the offered values of
//! priority and relation are known here. For `config check --against-lims`; nothing is changed.
use super::Exporter;
use super::preflight::{Answer, Check, Verdict, heard};
use crate::clarity::{Error, Field, FieldLink};
use crate::conf::LimsConf;

/// What a field is attached to, as the LIMS calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    name: String,
    category: &'static str,
}

impl Owner {
    fn of(name: &str) -> Self {
        Self { name: name.to_owned(), category: "" }
    }

    fn has(&self, link: &FieldLink) -> bool {
        link.owner == self.name && (self.category.is_empty() || link.category == self.category)
    }
}

/// Where each of the program's fields is read.
fn owner(ours: &str, lims: &LimsConf) -> Owner {
    match ours {
        "run_id" => Owner { name: lims.sequencing.clone(), category: "ProcessType" },
        "sheet_id" | "sheet_position" | "read_passes" | "ora" | "reads" | "q30" | "quality"
        | "perfect_index" | "one_mismatch" => Owner::of("ResultFile"),
        _ => Owner::of("Sample"),
    }
}

/// Where a further field of `.sample` is read, and its name there.
fn further(text: &str) -> (Owner, &str) {
    match text.split_once(':') {
        Some(("project", name)) => (Owner::of("Project"), name),
        Some(("output", name)) => (Owner::of("ResultFile"), name),
        _ => (Owner::of("Sample"), text),
    }
}

/// Setting, what it is read from, name in the LIMS.
fn wanted(lims: &LimsConf) -> Vec<(String, Owner, &str)> {
    let fields = lims
        .fields
        .iter()
        .map(|(ours, name)| (format!("lims.fields.{ours}"), owner(ours, lims), name.as_str()));
    let sample = lims.sample_fields.iter().map(|(ours, text)| {
        let (owner, name) = further(text);
        (format!("lims.sample_fields.{ours}"), owner, name)
    });
    let analysis = lims.analysis_fields.iter();
    let analysis = analysis
        .map(|(ours, name)| (format!("lims.analysis_fields.{ours}"), Owner::of("Sample"), name.as_str()));
    fields.chain(sample).chain(analysis).collect()
}

/// One check for each name.
pub fn names(lims: &LimsConf, links: &[FieldLink]) -> Vec<Check> {
    let check = |(setting, owner, name): (String, Owner, &str)| {
        let same = |link: &&FieldLink| link.name == name;
        if links.iter().filter(same).any(|link| owner.has(link)) {
            return Check::new(setting, Verdict::Fine(format!("{name:?} of {}", owner.name)));
        }
        let alike = |link: &&FieldLink| owner.has(link) && link.name.trim().eq_ignore_ascii_case(name.trim());
        let near = links.iter().find(alike).map(|link| format!("; it has {:?}", link.name));
        let elsewhere = || links.iter().find(same).map(|link| format!("; {} has one", link.owner));
        let hint = near.or_else(elsewhere).unwrap_or_default();
        let why = format!("{} has no field {name:?} in the LIMS{hint}: correct the name", owner.name);
        Check::new(setting, Verdict::Fault(why))
    };
    wanted(lims).into_iter().map(check).collect()
}

/// The values that the LIMS offers for the priority must mean something here.
pub fn priorities(lims: &LimsConf, field: &Field) -> Check {
    let unknown =
        field.presets.iter().filter(|word| !lims.priorities.contains_key(&word.trim().to_lowercase()));
    let unknown: Vec<String> = unknown.map(|word| format!("{word:?}")).collect();
    let verdict = match (field.presets.is_empty(), unknown.is_empty()) {
        (true, _) => Verdict::Unknown(format!("the LIMS offers no values for {:?}", field.name)),
        (_, true) => Verdict::Fine(format!("{} offered values are known", field.presets.len())),
        (_, false) => Verdict::Fault(format!(
            "{:?} offers {}, which samples would wait with: add it to lims.priorities",
            field.name,
            unknown.join(", ")
        )),
    };
    Check::new("lims.priorities", verdict)
}

/// The words for the members of a trio must be among the values that the LIMS offers.
pub fn relations(lims: &LimsConf, field: &Field) -> Check {
    let offered =
        |word: &str| field.presets.iter().any(|preset| preset.trim().eq_ignore_ascii_case(word.trim()));
    let absent = lims.relations.iter().filter(|(_, word)| !offered(word));
    let absent: Vec<String> = absent.map(|(ours, word)| format!("{word:?} ({ours})")).collect();
    let offers = field.presets.join(", ");
    let verdict = match (field.presets.is_empty(), absent.is_empty(), field.others) {
        (true, ..) => Verdict::Unknown(format!("the LIMS offers no values for {:?}", field.name)),
        (_, true, _) => Verdict::Fine("all are offered".into()),
        (_, false, others) => {
            let why = format!("{:?} does not offer {}, only: {offers}", field.name, absent.join(", "));
            match others {
                true => Verdict::Remark(format!("{why}; other values may be typed in")),
                false => Verdict::Fault(format!("{why}: correct lims.relations")),
            }
        }
    };
    Check::new("lims.relations", verdict)
}

impl Exporter {
    /// Version and queue: whether the LIMS can be worked with at all. The first question needs nothing but the account.
    pub async fn reachable(&self) -> Result<Vec<Check>, Error> {
        let version = self.client.version().await?;
        let mut checks = vec![Check::new("LIMS", Verdict::Fine(format!("answers, API v2 {version}")))];
        let what = format!("queue of step {}", self.conf.step);
        let verdict = match heard(self.client.queue(self.conf.step).await)? {
            Answer::There(queue) => Verdict::Fine(format!("readable, {} sample(s) wait", queue.items.len())),
            Answer::Missing => Verdict::Fault("there is no such queue: correct lims.step".into()),
            Answer::Unknown(why) => Verdict::Fault(format!("cannot be read: {why}")),
        };
        checks.push(Check::new(what, verdict));
        Ok(checks)
    }

    /// Everything that the configuration says of fields and their values.
    pub async fn field_checks(&self) -> Result<Vec<Check>, Error> {
        let links = match heard(self.client.field_links(&[]).await)? {
            Answer::There(links) if !links.is_empty() => links,
            Answer::There(_) | Answer::Missing => {
                let why = "the LIMS shows no fields at all: the account may lack the right; compare the names by hand";
                return Ok(vec![Check::new("fields", Verdict::Unknown(why.into()))]);
            }
            Answer::Unknown(why) => {
                let why = format!("{why}; compare the names by hand");
                return Ok(vec![Check::new("fields", Verdict::Unknown(why))]);
            }
        };
        let mut checks = names(&self.conf, &links);
        let sample = Owner::of("Sample");
        for (ours, judge) in
            [("priority", priorities as fn(&LimsConf, &Field) -> Check), ("relation", relations)]
        {
            let name = self.field(ours);
            let Some(link) = links.iter().find(|link| link.name == name && sample.has(link)) else {
                continue;
            };
            checks.push(match heard(self.client.field(link).await)? {
                Answer::There(field) => judge(&self.conf, &field),
                Answer::Missing => {
                    Check::new(format!("values of {name:?}"), Verdict::Unknown("not shown".into()))
                }
                Answer::Unknown(why) => Check::new(format!("values of {name:?}"), Verdict::Unknown(why)),
            });
        }
        Ok(checks)
    }
}
