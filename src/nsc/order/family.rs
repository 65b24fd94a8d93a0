//! Who belongs together: the members of a trio by the fields of the LIMS.
use super::{NotYet, field, text};
use crate::clarity::Sample;
use crate::conf::LimsConf;

/// A member's part in a trio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// The patient.
    Proband,
    /// The patient's father.
    Father,
    /// The patient's mother.
    Mother,
}

impl Relation {
    /// In the order of packages and documents.
    pub const ALL: [Self; 3] = [Self::Proband, Self::Father, Self::Mother];

    /// The word, also the key in `lims.relations`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proband => "proband",
            Self::Father => "father",
            Self::Mother => "mother",
        }
    }
}

impl std::fmt::Display for Relation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which member of which family, if the LIMS calls it a trio.
pub fn family(conf: &LimsConf, sample: &Sample) -> Result<Option<(String, Relation)>, NotYet> {
    let kind = text(&sample.udfs, field(conf, "analysis_type")).unwrap_or_default();
    if !kind.eq_ignore_ascii_case("trio") {
        return Ok(None);
    }
    let must = |ours: &str| {
        let name = field(conf, ours);
        text(&sample.udfs, name)
            .ok_or_else(|| NotYet::invalid(format!("it is of a trio, but field {name:?} is not set")))
    };
    let (number, said) = (must("family")?, must("relation")?);
    let is = |relation: &Relation| {
        conf.relations.get(relation.as_str()).is_some_and(|word| word.eq_ignore_ascii_case(said))
    };
    match Relation::ALL.into_iter().find(is) {
        Some(relation) => Ok(Some((number.to_owned(), relation))),
        None => {
            let name = field(conf, "relation");
            Err(NotYet::invalid(format!(
                "field {name:?} says {said:?}, which is not in lims.relations: correct one of the two"
            )))
        }
    }
}
