//! The bodies that are made here rather than sent back: the links of a batch and the creation of a step.
//!
//! URIs in a body are written under the base that the *server* uses for itself, which may differ from the one dialled;
//! without `?state=`, because two states of one artifact count as a duplicate and refuse the whole call.
use super::fault::Fault;
use super::ids::LimsId;
use super::ns;
use super::tree::Element;
use std::collections::BTreeSet;

/// What `POST /{kind}/batch/retrieve` takes: each id once.
pub fn links<'a>(base: &str, kind: &str, ids: impl IntoIterator<Item = &'a LimsId>) -> Element {
    let unique: BTreeSet<&LimsId> = ids.into_iter().collect();
    unique.into_iter().fold(Element::root("ri", "links", ns::RI), |links, id| {
        let uri = format!("{base}/{kind}/{id}");
        links.with(Element::new("link").with_attr("uri", &uri).with_attr("rel", kind))
    })
}

/// What `POST /steps` takes to start a step without outputs: the configured step's URI as the queue gives it, and each
/// input once. `Err` if there is no input, or the URI is not that of a configured step.
pub fn step_creation<'a>(
    base: &str,
    configuration_uri: &str,
    inputs: impl IntoIterator<Item = &'a LimsId>,
) -> Result<Element, Fault> {
    // The configuration shows which base the server uses, and the inputs must be named under the same.
    let base = match configuration_uri.find("/configuration/") {
        Some(at) if configuration_uri.contains("://") => configuration_uri.get(..at).unwrap_or_default(),
        Some(_) => base,
        None => return Err(Fault::new(format!("{configuration_uri:?} is not the URI of a configured step"))),
    };
    let unique: BTreeSet<&LimsId> = inputs.into_iter().collect();
    if unique.is_empty() {
        return Err(Fault::new("a step cannot be started without inputs"));
    }
    let inputs = unique.into_iter().fold(Element::new("inputs"), |inputs, id| {
        let uri = format!("{base}/artifacts/{id}");
        inputs.with(Element::new("input").with_attr("uri", &uri).with_attr("replicates", "1"))
    });
    Ok(Element::root("stp", "step-creation", ns::STEP)
        .with(Element::new("configuration").with_attr("uri", configuration_uri))
        .with(inputs))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

    fn ids(list: &[&str]) -> Vec<LimsId> {
        list.iter().map(|id| LimsId::new(id).unwrap()).collect()
    }

    #[test]
    fn links_are_unique() {
        let body = links("https://h/api/v2", "artifacts", &ids(&["2-2", "2-1", "2-2"])).to_bytes();
        let want = "<ri:links xmlns:ri=\"http://genologics.com/ri\">\
            <link uri=\"https://h/api/v2/artifacts/2-1\" rel=\"artifacts\"/>\
            <link uri=\"https://h/api/v2/artifacts/2-2\" rel=\"artifacts\"/></ri:links>\n";
        assert_eq!(String::from_utf8(body).unwrap(), format!("{DECLARATION}{want}"));
    }

    #[test]
    fn a_step_creation_names_inputs_under_the_servers_own_base() {
        let uri = "https://own/api/v2/configuration/protocols/5/steps/60";
        let body = step_creation("https://h/api/v2", uri, &ids(&["A1PA1"])).unwrap().to_bytes();
        let want = "<stp:step-creation xmlns:stp=\"http://genologics.com/ri/step\">\
            <configuration uri=\"https://own/api/v2/configuration/protocols/5/steps/60\"/>\
            <inputs><input uri=\"https://own/api/v2/artifacts/A1PA1\" replicates=\"1\"/></inputs></stp:step-creation>\n";
        assert_eq!(String::from_utf8(body).unwrap(), format!("{DECLARATION}{want}"));
        let none = step_creation("https://h/api/v2", uri, &[]).unwrap_err();
        assert_eq!(none.to_string(), "a step cannot be started without inputs");
        let stage =
            step_creation("https://h/api/v2", "https://own/api/v2/steps/24-1", &ids(&["A1PA1"])).unwrap_err();
        assert_eq!(
            stage.to_string(),
            "\"https://own/api/v2/steps/24-1\" is not the URI of a configured step"
        );
    }
}
