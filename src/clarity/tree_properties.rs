//! Whatever tree is written reads back as that very tree: prefixes, namespaces (declared anywhere, taken back, escaped),
//! attributes and their order, text to the last character, in any nesting.
use super::{Element, Node};
use proptest::collection::vec;
use proptest::prelude::*;

/// An element before its prefix means anything: what stands in the bytes.
#[derive(Debug, Clone)]
struct Shape {
    prefix: Option<&'static str>,
    local: String,
    /// Declarations: a prefix, or none for the default, and a namespace. The empty one takes the default back.
    declared: Vec<(Option<&'static str>, String)>,
    attributes: Vec<(String, String)>,
    children: Vec<Result<Shape, String>>,
}

/// Any character that XML has, the hard ones often.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[^\\x00]{1,30}",
        "[ \\t\\r\\n&<>\"'\\]]{1,10}",
        Just("]]>".to_owned()),
        Just("&amp;#65;".to_owned()),
        Just("\u{feff}\u{fffd}\u{10ffff}\u{85}\u{2028}æøå".to_owned()),
    ]
}

fn prefix() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![3 => Just(None), 1 => Just(Some("a")), 1 => Just(Some("udf")), 1 => Just(Some("ns36"))]
}

fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("http://genologics.com/ri/userdefined".to_owned()),
        Just("SAMPLE_NAMESPACE".to_owned()),
        "[^\\x00]{1,12}",
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    let name = || "[A-Za-z_][A-Za-z0-9._-]{0,8}";
    let own = move || {
        let values = prop_oneof![Just(String::new()), text()];
        let default = prop_oneof![Just(String::new()), namespace()];
        let declared =
            (proptest::option::weighted(0.3, namespace()), proptest::option::weighted(0.2, default));
        (prefix(), name(), declared, vec((name(), values), 0..4))
    };
    let make = |(prefix, local, (named, default), attributes): (
        _,
        String,
        (Option<String>, Option<String>),
        Vec<_>,
    ),
                children| {
        let named = named.map(|space| (Some("a"), space));
        Shape {
            prefix,
            local,
            declared: named.into_iter().chain(default.map(|d| (None, d))).collect(),
            attributes,
            children,
        }
    };
    let leaf = own().prop_map(move |parts| make(parts, Vec::new()));
    leaf.prop_recursive(6, 60, 5, move |inner| {
        let child = prop_oneof![inner.prop_map(Ok), text().prop_map(Err)];
        (own(), vec(child, 0..5)).prop_map(move |(parts, children)| make(parts, children))
    })
}

/// The tree that the shape stands for, given what is declared around it: (prefix, namespace), innermost last.
fn tree(shape: &Shape, around: &[(Option<&'static str>, String)]) -> Element {
    let mut scope = around.to_vec();
    scope.extend(shape.declared.iter().cloned());
    let mut declared = shape.declared.clone();
    let found = |scope: &[(Option<&'static str>, String)]| {
        scope.iter().rev().find(|(prefix, _)| *prefix == shape.prefix).map(|(_, space)| space.clone())
    };
    // A prefix in use must have been declared: here, if nowhere else.
    if shape.prefix.is_some() && found(&scope).is_none() {
        let declaration = (shape.prefix, "urn:here".to_owned());
        declared.push(declaration.clone());
        scope.push(declaration);
    }
    let key =
        |prefix: &Option<&str>| prefix.map_or_else(|| "xmlns".to_owned(), |prefix| format!("xmlns:{prefix}"));
    let mut attributes: Vec<(String, String)> =
        declared.iter().map(|(prefix, space)| (key(prefix), space.clone())).collect();
    for (name, value) in &shape.attributes {
        if name != "xmlns" && !attributes.iter().any(|(known, _)| known == name) {
            attributes.push((name.clone(), value.clone()));
        }
    }
    let mut children: Vec<Node> = Vec::new();
    for child in &shape.children {
        match (child, children.last_mut()) {
            (Ok(inner), _) => children.push(Node::Element(tree(inner, &scope))),
            // Two texts side by side are one in a document.
            (Err(more), Some(Node::Text(before))) => before.push_str(more),
            (Err(text), _) => children.push(Node::Text(text.clone())),
        }
    }
    let name = shape.prefix.map_or_else(|| shape.local.clone(), |prefix| format!("{prefix}:{}", shape.local));
    Element { name, namespace: found(&scope).filter(|space| !space.is_empty()), attributes, children }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_written_is_read_as_it_was(shape in shape()) {
        let tree = tree(&shape, &[]);
        let written = tree.to_bytes();
        prop_assert!(written.is_ascii());
        let read = Element::parse(&written);
        prop_assert_eq!(read.as_ref(), Ok(&tree));
        prop_assert_eq!(read.map(|again| again.to_bytes()), Ok(written));
    }

    #[test]
    fn what_was_read_once_stays_the_same(shape in shape(), at in 0_usize..4000, byte in 0_u8..) {
        // Damaged bytes are refused, or mean something; and what they mean is kept.
        let mut bytes = tree(&shape, &[]).to_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(read) = Element::parse(&bytes) {
            prop_assert_eq!(Element::parse(&read.to_bytes()), Ok(read));
        }
    }
}
