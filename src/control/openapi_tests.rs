use super::*;
use std::collections::BTreeSet;

#[test]
fn every_route_is_described_and_nothing_else() {
    let said = document();
    assert_eq!(said["openapi"], "3.1.0");
    let mut described = BTreeSet::new();
    for (path, methods) in said["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operation["summary"].as_str().is_some_and(|s| !s.is_empty()), "{path}");
            assert!(operation["operationId"].as_str().is_some(), "{path}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("200") && responses.contains_key("default"), "{path}");
            let _new = described.insert((path.clone(), method.clone()));
        }
    }
    let routes: BTreeSet<_> = table().iter().map(|r| (r.path.to_owned(), r.method.to_owned())).collect();
    assert_eq!(described, routes);
    let ids: BTreeSet<String> = table().iter().map(|r| r.says["operationId"].to_string()).collect();
    assert_eq!(ids.len(), routes.len(), "operation ids are distinct");
}

/// References lead somewhere: a generator of clients stops at the first that does not.
#[test]
fn references_lead_somewhere() {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|v| walk(v, found));
            }
            Value::Array(items) => items.iter().for_each(|v| walk(v, found)),
            _ => {}
        }
    }
    let (said, mut found) = (document(), Vec::new());
    walk(&said, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(said.pointer(pointer).is_some(), "{reference}");
    }
}
