//! The analysis of a single sample or of a trio, and the order that it all goes into.
use serde_json::Value;

use super::{NotYet, Part, Queued, field, kind, package_name, site_fields, text};
use crate::conf::LimsConf;
use crate::package::{
    Analysis, Content, Draft, Member, Name, Order, OrderId, PackageId, Params, Pedigree, Priority,
};

/// What every `params` may hold; a site's field cannot have one of these names.
const OWN: [&str; 2] = ["genepanel", "pedigree"];

/// A queued sample and what there is of it for an analysis.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The sample.
    pub one: &'a Queued,
    /// The sample package that the analysis names.
    pub package: Name,
    /// What becomes of that package; none: it is the one of an earlier sample.
    pub part: Option<Part>,
}

/// The analysis of one subject, or of three in the order proband, father, mother.
pub fn draft_analysis(
    conf: &LimsConf,
    subjects: &[Subject<'_>],
    priority: Priority,
) -> Result<Draft, NotYet> {
    let (one, pedigree) = match subjects {
        [single] => (single.one, None),
        [proband, father, mother] => {
            let of = |s: &Subject<'_>| Member { sample: s.package.clone() };
            (proband.one, Some(Pedigree { proband: of(proband), father: of(father), mother: of(mother) }))
        }
        others => {
            return Err(NotYet::waits(format!(
                "{} samples are neither a single one nor a trio",
                others.len()
            )));
        }
    };
    let mut name = package_name(&one.sample, &one.project)?;
    if pedigree.is_some() {
        name = format!("{name}-TRIO")
            .parse()
            .map_err(|e| NotYet::invalid(format!("no name for the analysis: {e}")))?;
    }
    let asked = |ours: &str| text(&one.sample.udfs, field(conf, ours)).map(str::to_owned);
    let find = |theirs: &str| one.sample.udfs.get(theirs).map(|udf| udf.value.clone()).into_iter().collect();
    let panel = asked("gene_panel").ok_or_else(|| {
        let name = field(conf, "gene_panel");
        NotYet::invalid(format!("field {name:?} is not set, and an analysis cannot do without a gene panel"))
    })?;
    let ella = match priority {
        Priority::Urgent => "3",
        Priority::High => "2",
        Priority::Normal => "1",
    };
    let doc = Analysis {
        name: name.clone(),
        kind: Some(if pedigree.is_some() { "trio" } else { "single" }.into()),
        samples: subjects.iter().map(|s| s.package.clone()).collect(),
        priority: Value::from(ella),
        params: Params {
            genepanel: Some(panel),
            pedigree,
            more: site_fields(&conf.analysis_fields, &OWN, find)?,
        },
        date_analysis_requested: asked("registered"),
        more: serde_json::Map::new(),
    };
    let id = PackageId::first(kind("analyses"), name);
    let content = Content::Analysis { doc: Box::new(doc) };
    Ok(Draft { id, priority, artifact: None, after: Vec::new(), content })
}

/// The order: sample packages first, then the analysis, which leaves after them. What was sent before and is the same is not
/// sent again.
pub fn assemble(
    id: OrderId,
    subjects: Vec<Subject<'_>>,
    analysis: Option<Part>,
    priority: Priority,
) -> Order {
    let artifacts = subjects.iter().map(|s| s.one.artifact.clone()).collect();
    let (mut packages, mut notes) = (Vec::new(), Vec::new());
    for subject in &subjects {
        if subject.part.is_none() {
            notes.push(format!("{} is analysed anew", subject.package));
        }
    }
    let parts = subjects.into_iter().filter_map(|s| s.part).chain(analysis);
    for part in parts {
        match part {
            Part::Sent(id) => notes.push(format!("{id} was sent before and is the same")),
            Part::Send { draft, note } => {
                notes.extend(note);
                packages.push(*draft);
            }
        }
    }
    let samples: Vec<PackageId> =
        packages.iter().filter(|d| d.artifact.is_some()).map(|d| d.id.clone()).collect();
    for draft in &mut packages {
        draft.priority = priority; // an analysis waits for the slowest of its samples
        if matches!(draft.content, Content::Analysis { .. }) {
            draft.after.clone_from(&samples);
        }
    }
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    Order { id, artifacts, packages, note }
}
