//! A work order: what the LIMS wants exported together, decided before anything is claimed.
//!
//! One order is one LIMS step: a single sample, or a trio with its analysis. It is journalled whole before the claim, so
//! that after a crash nothing has to be asked again to know what was meant.
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Analysis, Md5Hex, PackageId, Priority, RelPath, SampleDoc};

/// Identifies an order: the LIMS id of its first artifact, with `#2`, `#3`… behind it when that is ordered again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub String);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is to be exported in one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// LIMS ids of the queued artifacts, each once.
    pub artifacts: Vec<String>,
    /// The packages to make. None: everything that the artifacts stand for was delivered before.
    pub packages: Vec<Draft>,
    /// Why, if its samples were exported before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A package to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// Its id.
    pub id: PackageId,
    /// How soon.
    pub priority: Priority,
    /// The queued artifact that is exported by it; none: it concerns all of the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    /// It leaves only when these have left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<PackageId>,
    /// What goes in.
    pub content: Content,
}

/// What goes into a package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// A sample with its reads.
    Sample {
        /// The `.sample`, complete. Kept as text, because a number would lose its form on the way through the journal.
        #[serde(with = "as_text")]
        doc: Box<SampleDoc>,
        /// The delivered files that are linked in.
        files: Vec<Fastq>,
    },
    /// An analysis.
    Analysis {
        /// The `.analysis`, complete.
        doc: Box<Analysis>,
    },
}

/// A delivered file and its name in the package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fastq {
    /// Where it was delivered.
    pub from: PathBuf,
    /// Its name in the package.
    pub to: RelPath,
    /// As the delivery's `md5sum.txt` says; of an SNP-ID result, which is listed nowhere, as it was when the order was made.
    pub md5: Option<Md5Hex>,
    /// Bytes when the order was made.
    pub size: u64,
}

/// A `.sample` inside an order: its JSON as one text. Orders of older journals hold it as a value.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de, ser};
    use serde_json::Value;

    use crate::package::SampleDoc;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Value(Value),
    }

    pub(super) fn serialize<S: Serializer>(doc: &SampleDoc, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&serde_json::to_string(doc).map_err(ser::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Box<SampleDoc>, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Text(text) => SampleDoc::parse(text.as_bytes()),
            Written::Value(value) => serde_json::from_value(value),
        }
        .map(Box::new)
        .map_err(de::Error::custom)
    }
}

#[cfg(test)]
impl Draft {
    /// An analysis of nothing: the smallest draft there is.
    pub(crate) fn bare(id: PackageId) -> Self {
        let params = super::Params { genepanel: None, pedigree: None, more: serde_json::Map::new() };
        let doc = Analysis {
            name: id.name.clone(),
            kind: None,
            samples: vec![],
            priority: "1".into(),
            params,
            date_analysis_requested: None,
            more: serde_json::Map::new(),
        };
        let content = Content::Analysis { doc: Box::new(doc) };
        Self { id, priority: Priority::Normal, artifact: None, after: vec![], content }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orders_numbers_come_out_of_the_journal_as_they_went_in() {
        let doc = r#"{"name":"Diag-1-HG1","sample_id":"HG1","project":"Diag-1","sequencer_id":"L","flowcell_id":"F",
            "flowcell":"A","lane":1,"capturekit":"wgs","taqman":null,"stats":{"q30_bases_pct":97.760},"reads":[],"unit":"æ"}"#;
        let content = |doc: String| {
            format!(
                r#"{{"id":"A1","artifacts":["A1"],"packages":[{{"id":"samples/Diag-1-HG1/r1",
            "priority":"normal","content":{{"sample":{{"doc":{doc},"files":[]}}}}}}]}}"#
            )
        };
        let as_value: Order = serde_json::from_str(&content(doc.to_owned())).unwrap();
        let as_text: Order = serde_json::from_str(&content(serde_json::to_string(doc).unwrap())).unwrap();
        let q30 = |order: &Order| match &order.packages[0].content {
            Content::Sample { doc, .. } => doc.stats.q30_bases_pct.clone().unwrap().to_string(),
            Content::Analysis { .. } => panic!("a sample"),
        };
        assert_eq!((q30(&as_value).as_str(), q30(&as_text).as_str()), ("97.76", "97.760"));
        // As the journal writes it: tagged, inside of something flattened.
        #[derive(Serialize, Deserialize)]
        #[serde(tag = "event")]
        enum Event {
            Ordered { order: Box<Order> },
        }
        #[derive(Serialize, Deserialize)]
        struct Line {
            seq: u64,
            #[serde(flatten)]
            event: Event,
        }
        let written = Line { seq: 7, event: Event::Ordered { order: Box::new(as_text.clone()) } };
        let text = serde_json::to_string(&written).unwrap();
        let Line { seq: 7, event: Event::Ordered { order } } = serde_json::from_str(&text).unwrap() else {
            panic!("line 7")
        };
        assert_eq!(*order, as_text);
    }
}
