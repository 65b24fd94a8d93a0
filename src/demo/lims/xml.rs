//! XML as the simulator sends it: a small element tree and its text.
//!
//! Answers are built as trees, not as text, so that a fault can still change one (leave out a UDF, add a row that does
//! not belong) before it goes out. Every root declares the namespaces it uses under the prefixes real servers use.
//!
//! `odd` writes the same document as another server version may: attributes in reverse order and meaningless prefixes.
//! A reader that passes both has understood the document; one that passes only the plain form has memorised it.

use std::borrow::Cow;

use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use quick_xml::name::QName;
use quick_xml::writer::Writer;

/// What all namespaces of the API start with.
pub(super) const NAMESPACE_ROOT: &str = "http://genologics.com/ri";

/// Prefix and last part of the namespace, as in the vendor's schema files.
const NAMESPACES: &[(&str, &str)] = &[
    ("ri", ""),
    ("art", "/artifact"),
    ("cnf", "/configuration"),
    ("con", "/container"),
    ("exc", "/exception"),
    ("file", "/file"),
    ("prc", "/process"),
    ("prj", "/project"),
    ("protcnf", "/protocolconfiguration"),
    ("protstepcnf", "/stepconfiguration"),
    ("ptp", "/processtype"),
    ("que", "/queue"),
    ("res", "/researcher"),
    ("rt", "/routing"),
    ("smp", "/sample"),
    ("stg", "/stage"),
    ("stp", "/step"),
    ("udf", "/userdefined"),
    ("ver", "/version"),
    ("wkfcnf", "/workflowconfiguration"),
];

/// The namespace a prefix stands for.
pub(super) fn namespace(prefix: &str) -> String {
    let known = NAMESPACES.iter().find(|(name, _)| *name == prefix);
    format!("{NAMESPACE_ROOT}{}", known.map_or("", |(_, part)| part))
}

/// One element with either text or children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// An element in no namespace, or with its prefix in the name (`udf:field`).
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), attributes: Vec::new(), text: String::new(), children: Vec::new() }
    }

    /// A document element that declares its own prefix last and the `others` before it, as the server does.
    pub(super) fn root(name: &str, others: &[&str]) -> Self {
        let own = name.split_once(':').map_or("ri", |(prefix, _)| prefix);
        let mut element = Self::new(name);
        for prefix in others.iter().copied().chain([own]) {
            element = element.attr(&format!("xmlns:{prefix}"), namespace(prefix));
        }
        element
    }

    /// An element that holds only text.
    pub(super) fn leaf(name: &str, text: impl Into<String>) -> Self {
        Self::new(name).with_text(text)
    }

    pub(super) fn attr(mut self, name: &str, value: impl Into<String>) -> Self {
        self.attributes.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    pub(super) fn child(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    pub(super) fn maybe(mut self, child: Option<Element>) -> Self {
        self.children.extend(child);
        self
    }

    pub(super) fn all(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children);
        self
    }

    /// Removes every descendant UDF of this name; true if there was one.
    pub(super) fn drop_udf(&mut self, udf: &str) -> bool {
        let before = self.children.len();
        self.children.retain(|child| {
            child.name != "udf:field" || !child.attributes.iter().any(|(k, v)| k == "name" && v == udf)
        });
        let mut dropped = self.children.len() != before;
        for child in &mut self.children {
            dropped |= child.drop_udf(udf);
        }
        dropped
    }

    /// The document as text, declared as UTF-8 and indented like the server's.
    pub(super) fn to_document(&self, odd: bool) -> String {
        let mut writer = Writer::new_with_indent(Vec::new(), b' ', 4);
        let declaration = BytesDecl::new("1.0", Some("UTF-8"), Some("yes"));
        let written = writer
            .write_event(Event::Decl(declaration))
            .and_then(|()| self.write(&mut writer, odd))
            .map(|()| String::from_utf8_lossy(&writer.into_inner()).into_owned());
        written.expect("writing to memory does not fail")
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>, odd: bool) -> std::io::Result<()> {
        let name = spelled(&self.name, odd);
        let mut start = BytesStart::new(name.as_ref());
        let mut attributes: Vec<&(String, String)> = self.attributes.iter().collect();
        if odd {
            attributes.reverse();
        }
        for (key, value) in attributes {
            let key = spelled(key, odd);
            start.push_attribute(Attribute { key: QName(&key), value: Cow::Owned(escaped_attribute(value)) });
        }
        if self.text.is_empty() && self.children.is_empty() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        if !self.text.is_empty() {
            writer.write_event(Event::Text(BytesText::from_escaped(escaped(&self.text))))?;
        }
        for child in &self.children {
            child.write(writer, odd)?;
        }
        writer.write_event(Event::End(BytesEnd::new(name.as_ref())))
    }
}

/// A name as it is written: `udf:field`, or `ns14:field` in the odd spelling.
fn spelled(name: &str, odd: bool) -> Cow<'_, str> {
    let Some((prefix, local)) = name.split_once(':').filter(|_| odd) else { return Cow::Borrowed(name) };
    let number = |prefix: &str| NAMESPACES.iter().position(|(known, _)| *known == prefix);
    match (prefix, number(local), number(prefix)) {
        ("xmlns", Some(declared), _) => Cow::Owned(format!("xmlns:ns{declared}")),
        (_, _, Some(used)) => Cow::Owned(format!("ns{used}:{local}")),
        _ => Cow::Borrowed(name),
    }
}

/// Text that reads back as it was: a bare carriage return would become a line feed, and XML has no other control
/// characters at all.
fn escaped(text: &str) -> String {
    let legal: String = text
        .chars()
        .map(|c| if c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{7f}'..) { '\u{fffd}' } else { c })
        .collect();
    quick_xml::escape::escape(legal).replace('\r', "&#13;")
}

/// As [`escaped`], for attribute values, where every white space would be read back as a blank.
fn escaped_attribute(text: &str) -> String {
    escaped(text).replace('\n', "&#10;").replace('\t', "&#9;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Element {
        Element::root("smp:sample", &["udf"])
            .attr("limsid", "A1")
            .attr("uri", "http://h/samples/A1")
            .child(Element::leaf("name", " Bjørn & <Åse>\r"))
            .child(Element::new("udf:field").attr("type", "String").attr("name", "a\tb").with_text("x"))
            .child(Element::new("empty"))
    }

    #[test]
    fn plain_spelling() {
        let wanted = concat!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n",
            "<smp:sample xmlns:udf=\"http://genologics.com/ri/userdefined\" xmlns:smp=\"http://genologics.com/ri/sample\" ",
            "limsid=\"A1\" uri=\"http://h/samples/A1\">\n",
            "    <name> Bjørn &amp; &lt;Åse&gt;&#13;</name>\n",
            "    <udf:field type=\"String\" name=\"a&#9;b\">x</udf:field>\n",
            "    <empty/>\n",
            "</smp:sample>"
        );
        assert_eq!(sample().to_document(false), wanted);
    }

    #[test]
    fn odd_spelling_renames_every_prefix_and_turns_the_attributes() {
        let text = sample().to_document(true);
        assert!(
            text.contains("<ns14:sample uri=\"http://h/samples/A1\" limsid=\"A1\" xmlns:ns14="),
            "{text}"
        );
        assert!(text.contains("<ns17:field name=\"a&#9;b\" type=\"String\">x</ns17:field>"), "{text}");
        assert!(!text.contains("udf:"), "{text}");
    }

    #[test]
    fn a_udf_can_be_taken_out_again() {
        let mut element = sample();
        assert!(element.drop_udf("a\tb"));
        assert!(!element.drop_udf("a\tb"));
        assert_eq!(element.children.len(), 2);
    }
}
