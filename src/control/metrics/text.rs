//! Numbers as text: OpenMetrics by the library, and from that the older text format, which node_exporter and most else read.
use std::collections::BTreeMap;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::families::{FAMILIES, Family, Kind};
use super::reading::Sample;

#[derive(Debug)]
struct Table(BTreeMap<&'static str, Vec<Sample>>);

/// A counter's name without its `_total`, which the format adds by itself.
fn stem(family: &Family) -> &'static str {
    family.name.strip_suffix("_total").unwrap_or(family.name)
}

impl Collector for Table {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for family in FAMILIES {
            let Some(samples) = self.0.get(family.name) else { continue };
            let counter = ConstCounter::new(0.0);
            let kind = match family.kind {
                Kind::Gauge => ConstGauge::new(0.0).metric_type(),
                Kind::Counter => counter.metric_type(),
            };
            let mut metric = encoder.encode_descriptor(stem(family), family.help, None, kind)?;
            for sample in samples {
                let one = metric.encode_family(&sample.labels)?;
                match family.kind {
                    Kind::Gauge => ConstGauge::new(sample.value).encode(one)?,
                    Kind::Counter => ConstCounter::new(sample.value).encode(one)?,
                }
            }
        }
        Ok(())
    }
}

/// As OpenMetrics 1.0. A sample of no family is an error: it would be missing without a word.
pub fn openmetrics(samples: &[Sample]) -> Result<String, String> {
    let mut table: BTreeMap<&'static str, Vec<Sample>> = BTreeMap::new();
    for sample in samples {
        let family = FAMILIES.iter().find(|family| family.name == sample.name);
        let family = family.ok_or_else(|| format!("{} is not in the table of families", sample.name))?;
        let labels = sample.labels.iter().map(|(name, _)| *name);
        if !labels.eq(["role"].into_iter().chain(family.labels.iter().copied())) {
            return Err(format!("{} has other labels than its family: {:?}", sample.name, sample.labels));
        }
        table.entry(sample.name).or_default().push(sample.clone());
    }
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Table(table)));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).map_err(|e| e.to_string())?;
    Ok(text)
}

/// As text format 0.0.4, where a counter bears its whole name also in `HELP` and `TYPE`, and nothing marks the end.
pub fn classic(openmetrics: &str) -> String {
    let counters: Vec<&str> = FAMILIES.iter().filter(|f| f.kind == Kind::Counter).map(stem).collect();
    let mut text = String::with_capacity(openmetrics.len() + 1024);
    for line in openmetrics.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let about = ["# HELP ", "# TYPE "].iter().find_map(|what| Some((*what, line.strip_prefix(what)?)));
        match about.and_then(|(what, rest)| Some((what, rest.split_once(' ')?))) {
            Some((what, (name, rest))) if counters.contains(&name) => {
                text.extend([what, name, "_total ", rest]);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}
