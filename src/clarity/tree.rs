//! An XML document as a tree that goes back as it came.
//!
//! Clarity's PUT replaces the whole resource: what the sent document leaves out is deleted. So a document that was got
//! is kept whole, with prefixes, attributes, children this program knows nothing of, and text to the last space, and is
//! changed only where it must change. Comments, processing instructions and the way a character was escaped are not
//! kept: they carry nothing.
//!
//! Trap: bodies are written in pure ASCII, `å` as `&#xe5;`. Servers have been seen to garble the answer to a PUT that
//! held raw æøå, and a reference means the same under every encoding. The declaration says UTF-8.
use std::fmt::Write as _;

/// An element with everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The name as written, prefix included.
    pub(super) name: String,
    /// The namespace that the prefix (or its absence) stood for.
    pub(super) namespace: Option<String>,
    /// Names as written and unescaped values, `xmlns` declarations included, in the order they came.
    pub(super) attributes: Vec<(String, String)>,
    /// Elements and text, in order.
    pub(super) children: Vec<Node>,
}

/// What stands inside an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// An element.
    Element(Element),
    /// Text, unescaped.
    Text(String),
}

impl Element {
    /// A new element in no namespace.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), namespace: None, attributes: Vec::new(), children: Vec::new() }
    }

    /// A new root in a namespace, with the declaration that its prefix needs.
    pub fn root(prefix: &str, local: &str, namespace: &str) -> Self {
        Self {
            name: format!("{prefix}:{local}"),
            namespace: Some(namespace.to_owned()),
            attributes: vec![(format!("xmlns:{prefix}"), namespace.to_owned())],
            children: Vec::new(),
        }
    }

    /// The name as written, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name without its prefix.
    pub fn local(&self) -> &str {
        self.name.rsplit(':').next().unwrap_or("")
    }

    /// The namespace the element is in.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Whether this is that element of that namespace.
    pub fn is(&self, namespace: &str, local: &str) -> bool {
        self.namespace() == Some(namespace) && self.local() == local
    }

    /// The value of an attribute without prefix.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Sets an attribute, or takes it away with `None`; its place is kept where it was there before.
    pub fn set_attr(&mut self, name: &str, value: Option<&str>) {
        match (self.attributes.iter().position(|(key, _)| key == name), value) {
            (Some(at), Some(value)) => value.clone_into(&mut self.attributes[at].1),
            (Some(at), None) => drop(self.attributes.remove(at)),
            (None, Some(value)) => self.attributes.push((name.to_owned(), value.to_owned())),
            (None, None) => {}
        }
    }

    /// The same element with one more attribute.
    #[must_use]
    pub fn with_attr(mut self, name: &str, value: &str) -> Self {
        self.set_attr(name, Some(value));
        self
    }

    /// The same element with one more child.
    #[must_use]
    pub fn with(mut self, child: Element) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    /// The same element with text added at its end.
    #[must_use]
    pub fn with_text(mut self, text: &str) -> Self {
        self.children.push(Node::Text(text.to_owned()));
        self
    }

    /// All child elements.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// All child elements, to be changed.
    pub fn elements_mut(&mut self) -> impl Iterator<Item = &mut Element> {
        self.children.iter_mut().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The children of this name that are in no namespace, as children in Clarity's resources are.
    pub fn all(&self, local: &str) -> impl Iterator<Item = &Element> {
        self.elements().filter(move |child| child.namespace.is_none() && child.name == local)
    }

    /// The first child of this name in no namespace.
    pub fn child(&self, local: &str) -> Option<&Element> {
        self.all(local).next()
    }

    /// The first child of this name in no namespace, to be changed.
    pub fn child_mut(&mut self, local: &str) -> Option<&mut Element> {
        self.elements_mut().find(|child| child.namespace.is_none() && child.name == local)
    }

    /// The children of this name in that namespace.
    pub fn all_in(&self, namespace: &str, local: &str) -> impl Iterator<Item = &Element> {
        self.elements().filter(move |child| child.is(namespace, local))
    }

    /// The element's own text, every space kept.
    pub fn text(&self) -> String {
        self.children
            .iter()
            .filter_map(|node| match node {
                Node::Text(text) => Some(text.as_str()),
                Node::Element(_) => None,
            })
            .collect()
    }

    /// The document as bytes: declaration (UTF-8), then this element, all in ASCII.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        self.write(&mut out);
        out.push('\n');
        out.into_bytes()
    }

    fn write(&self, out: &mut String) {
        out.push('<');
        out.push_str(&self.name);
        for (name, value) in &self.attributes {
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            escape(value, out, true);
            out.push('"');
        }
        if self.children.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        for node in &self.children {
            match node {
                Node::Element(element) => element.write(out),
                Node::Text(text) => escape(text, out, false),
            }
        }
        out.push_str("</");
        out.push_str(&self.name);
        out.push('>');
    }
}

/// A reader turns a raw line break in an attribute into a space and a raw carriage return into a newline, so these go
/// out as references where they would not survive.
fn escape(text: &str, out: &mut String, attribute: bool) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if attribute => out.push_str("&quot;"),
            '\n' | '\t' if !attribute => out.push(c),
            ' '..='~' => out.push(c),
            _ => {
                // Writing to a String cannot fail.
                let _cannot_fail = write!(out, "&#x{:x};", u32::from(c));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_ascii_and_escaped_by_place() {
        let element = Element::root("smp", "sample", "urn:s")
            .with_attr("note", "a<b & \"c\"\n\td\u{e5}")
            .with(Element::new("name").with_text("blå & \"rød\"\n\t<x>\r"))
            .with(Element::new("empty"));
        let text = String::from_utf8(element.to_bytes()).unwrap();
        assert_eq!(
            text,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<smp:sample xmlns:smp=\"urn:s\" \
             note=\"a&lt;b &amp; &quot;c&quot;&#xa;&#x9;d&#xe5;\"><name>bl&#xe5; &amp; \"r&#xf8;d\"\n\t&lt;x&gt;&#xd;\
             </name><empty/></smp:sample>\n"
        );
    }

    #[test]
    fn an_attribute_keeps_its_place_when_it_changes() {
        let mut element = Element::new("e").with_attr("a", "1").with_attr("b", "2");
        element.set_attr("a", Some("3"));
        element.set_attr("c", Some("4"));
        element.set_attr("b", None);
        element.set_attr("none", None);
        assert_eq!(element.attributes, [("a".into(), "3".into()), ("c".into(), "4".into())]);
    }

    #[test]
    fn children_are_found_by_namespace_not_by_prefix() {
        let mut inner = Element::root("x", "field", "urn:udf");
        inner.children.push(Node::Text(" one ".into()));
        let element = Element::new("r").with(Element::new("field").with_text("two")).with(inner);
        assert_eq!(element.child("field").unwrap().text(), "two");
        assert_eq!(element.all("field").count(), 1);
        assert_eq!(element.all_in("urn:udf", "field").next().unwrap().text(), " one ");
        assert_eq!(element.all_in("urn:other", "field").count(), 0);
    }
}
