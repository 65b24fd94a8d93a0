//! A strict reader of Prometheus' text format 0.0.4: what it does not know is a fault of what wrote it.
use std::collections::{BTreeMap, BTreeSet};

/// Samples by name with their labels as written.
#[derive(Debug, Default)]
pub struct Numbers {
    pub types: BTreeMap<String, String>,
    pub samples: BTreeMap<String, f64>,
}

impl Numbers {
    /// The sum of a name's samples that bear these texts in their labels.
    pub fn sum(&self, name: &str, with: &[&str]) -> Option<f64> {
        let of = |key: &&String| {
            (key.as_str() == name || key.starts_with(&format!("{name}{{")))
                && with.iter().all(|w| key.contains(w))
        };
        let found: Vec<f64> = self.samples.iter().filter(|(key, _)| of(key)).map(|(_, v)| *v).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// All that only may go up.
    pub fn counters(&self) -> BTreeMap<&str, f64> {
        let name = |key: &str| key.split('{').next().unwrap_or_default().to_owned();
        let counter = |key: &&String| self.types.get(&name(key)).is_some_and(|t| t == "counter");
        self.samples.iter().filter(|(key, _)| counter(key)).map(|(key, v)| (key.as_str(), *v)).collect()
    }
}

fn is_name(text: &str) -> bool {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn labels(text: &str) -> Result<BTreeSet<String>, String> {
    let (mut names, mut rest) = (BTreeSet::new(), text);
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").ok_or_else(|| format!("no value in {text}"))?;
        if !is_name(name) || !names.insert(name.to_owned()) {
            return Err(format!("the label {name:?} of {text}"));
        }
        let mut escaped = false;
        let end = after.char_indices().find(|(_, c)| {
            let end = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            end
        });
        let (end, _) = end.ok_or_else(|| format!("no end in {text}"))?;
        rest = after.split_at(end + 1).1;
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Ok(names)
}

/// Reads a whole text, or says what is wrong with it.
pub fn parse(text: &str) -> Result<Numbers, String> {
    let (mut numbers, mut helped, mut open, mut closed) =
        (Numbers::default(), BTreeSet::new(), String::new(), BTreeSet::new());
    if !text.ends_with('\n') {
        return Err("the last line has no end".into());
    }
    for line in text.lines() {
        let wrong = |why: &str| Err(format!("{why}: {line}"));
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let Some((name, help)) = rest.split_once(' ') else { return wrong("no help") };
            if help.is_empty() || !helped.insert(name.to_owned()) {
                return wrong("helped twice, or not at all");
            }
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let Some((name, kind)) = rest.split_once(' ') else { return wrong("no type") };
            if !["counter", "gauge"].contains(&kind) || (kind == "counter") != name.ends_with("_total") {
                return wrong("not a type of ours");
            }
            if numbers.types.insert(name.to_owned(), kind.to_owned()).is_some() {
                return wrong("typed twice");
            }
            if !closed.insert(std::mem::replace(&mut open, name.to_owned())) {
                return wrong("a family in two pieces");
            }
            continue;
        }
        if line.starts_with('#') || line.is_empty() {
            return wrong("neither help, type nor sample");
        }
        let Some((key, value)) = line.rsplit_once(' ') else { return wrong("no value") };
        let (name, rest) = key.split_once('{').unwrap_or((key, "}"));
        let Some(inside) = rest.strip_suffix('}') else { return wrong("no closing brace") };
        if !is_name(name) || name != open {
            return wrong("a sample outside of its family");
        }
        if !labels(inside)?.contains("role") {
            return wrong("no role: two daemons of one host would collide");
        }
        let value: f64 = value.parse().map_err(|e| format!("{e}: {line}"))?;
        if !value.is_finite() || (name.ends_with("_total") && value < 0.0) {
            return wrong("not a number that can be");
        }
        if numbers.samples.insert(key.to_owned(), value).is_some() {
            return wrong("twice");
        }
    }
    Ok(numbers)
}

#[test]
fn it_is_strict() {
    let good = "# HELP a_total x\n# TYPE a_total counter\na_total{role=\"nsc\",b=\"c \\\" d\"} 1.0\n";
    assert_eq!(parse(good).unwrap().sum("a_total", &["b="]), Some(1.0));
    for bad in [
        "a{role=\"x\"} 1\n",
        "# TYPE a gauge\na{role=\"x\"} 1\na{role=\"x\"} 1\n",
        "# TYPE a gauge\na{role=\"x\"} NaN\n",
        "# TYPE a counter\na{role=\"x\"} 1\n",
        "# TYPE a gauge\na 1\n",
        "# TYPE a gauge\na{role=\"x} 1\n",
        "# TYPE a gauge\na{role=\"x\"} 1",
        "# EOF\n",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
