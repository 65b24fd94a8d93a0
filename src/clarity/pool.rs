//! A pool taken apart: which samples are in it under which index label.
//!
//! Pools can be pooled again. Only an artifact that is not itself taken apart further is one library; the levels above
//! it repeat its samples and labels in no order, so that nothing can be concluded from them. Depth is bounded by the
//! parser.
use super::fault::Fault;
use super::ids::LimsId;
use super::ns;
use super::read::{Identified, Record, id, ids, names};
use super::tree::Element;
use std::collections::BTreeSet;

/// A pool taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demux {
    /// The artifact that was asked for.
    pub artifact: LimsId,
    /// Whether it is a pool at all.
    pub pooled: bool,
    /// What is in it, pools of pools resolved; empty if it is not a pool.
    pub parts: Vec<DemuxPart>,
}

/// One library in a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemuxPart {
    /// The artifact before pooling.
    pub artifact: LimsId,
    /// Its name.
    pub name: Option<String>,
    /// Its samples; none on a control.
    pub samples: Vec<LimsId>,
    /// Its index labels.
    pub labels: Vec<String>,
}

impl Demux {
    /// The samples that carry this label. For patient data this must be exactly one, and it must be the one that the
    /// demultiplexing output claims: Clarity is known to put the wrong sample there.
    pub fn samples_with(&self, label: &str) -> BTreeSet<&LimsId> {
        let labelled = self.parts.iter().filter(|part| part.labels.iter().any(|own| own == label));
        labelled.flat_map(|part| &part.samples).collect()
    }
}

impl Record for Demux {
    const NAMESPACE: &'static str = ns::ARTIFACT;
    const ROOT: &'static str = "demux";
    const PATH: &'static str = "artifacts";

    fn from_element(e: &Element) -> Result<Self, Fault> {
        let asked = e.child("artifact").ok_or_else(|| Fault::new("there is no artifact"))?;
        let inner = e.child("demux");
        let mut parts = Vec::new();
        if let Some(inner) = inner {
            leaves(inner, &mut parts)?;
        }
        Ok(Self { artifact: id(asked, "artifacts")?, pooled: inner.is_some(), parts })
    }
}

fn leaves(demux: &Element, parts: &mut Vec<DemuxPart>) -> Result<(), Fault> {
    for artifact in demux.child("artifacts").into_iter().flat_map(|list| list.all("artifact")) {
        if let Some(inner) = artifact.child("demux") {
            leaves(inner, parts)?;
            continue;
        }
        let list = |name| artifact.child(name).into_iter();
        parts.push(DemuxPart {
            artifact: id(artifact, "artifacts")?,
            name: artifact.attr("name").map(str::to_owned),
            samples: ids(list("samples").flat_map(|list| list.all("sample")), "samples")?,
            labels: list("reagent-labels").flat_map(|list| names(list, "reagent-label")).collect(),
        });
    }
    Ok(())
}

impl Identified for Demux {
    fn id(&self) -> &LimsId {
        &self.artifact
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lims(text: &str) -> LimsId {
        LimsId::new(text).unwrap()
    }

    fn part(artifact: &str, samples: &[&str], labels: &[&str]) -> DemuxPart {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        DemuxPart {
            artifact: lims(artifact),
            name: None,
            samples: samples.iter().map(|s| lims(s)).collect(),
            labels,
        }
    }

    #[test]
    fn a_label_that_two_samples_share_gives_both() {
        let parts = vec![
            part("2-1", &["A1"], &["BC01"]),
            part("2-2", &["A2"], &["BC02"]),
            part("2-3", &["A3"], &["BC02"]),
            part("8C-1PA1", &[], &["BC03"]),
        ];
        let demux = Demux { artifact: lims("2-9"), pooled: true, parts };
        assert_eq!(demux.samples_with("BC01"), BTreeSet::from([&lims("A1")]));
        assert_eq!(demux.samples_with("BC02"), BTreeSet::from([&lims("A2"), &lims("A3")]));
        assert!(demux.samples_with("BC03").is_empty() && demux.samples_with("BC04").is_empty());
    }

    #[test]
    fn only_the_leaves_of_a_pool_of_pools_are_its_parts() {
        let body = r#"<art:demux xmlns:art="http://genologics.com/ri/artifact" uri="h/api/v2/artifacts/2-9/demux">
          <artifact uri="h://h/api/v2/artifacts/2-9" name="outer"/>
          <demux><artifacts>
            <artifact uri="h://h/api/v2/artifacts/2-8" name="inner"><samples><sample limsid="A1"/><sample limsid="A2"/></samples>
              <reagent-labels><reagent-label name="L1"/><reagent-label name="L2"/></reagent-labels>
              <demux><artifacts>
                <artifact uri="h://h/api/v2/artifacts/2-1" name="one"><samples><sample limsid="A1"/></samples>
                  <reagent-labels><reagent-label name="L1"/></reagent-labels></artifact>
              </artifacts></demux></artifact>
            <artifact uri="h://h/api/v2/artifacts/8C-4PA1" name="PhiX"><samples/><reagent-labels/></artifact>
          </artifacts></demux></art:demux>"#;
        let part = |id, name: &str, samples: &[&str], labels: &[&str]| DemuxPart {
            artifact: lims(id),
            name: Some(name.to_owned()),
            samples: samples.iter().map(|s| lims(s)).collect(),
            labels: labels.iter().map(|l| (*l).to_owned()).collect(),
        };
        let demux = Demux::read(&Element::parse(body.as_bytes()).unwrap()).unwrap();
        assert_eq!((demux.artifact, demux.pooled), (lims("2-9"), true));
        assert_eq!(demux.parts, [part("2-1", "one", &["A1"], &["L1"]), part("8C-4PA1", "PhiX", &[], &[])]);
    }
}
