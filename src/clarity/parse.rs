//! Bytes to [`Element`]: strict about what could hide a mistake, deaf to what carries nothing.
//!
//! Refused, each with the byte it was found at: text that is not UTF-8 (Clarity is known to send some), another declared
//! encoding, a document type, entities other than the five of XML, unknown prefixes, a body cut off, a second root,
//! nesting deeper than any of Clarity's documents, more elements than fit into a sane amount of memory. The size of the
//! bytes is the caller's to bound.
use super::fault::Fault;
use super::tree::{Element, Node};
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace, QName, ResolveResult};
use quick_xml::reader::NsReader;
use quick_xml::{Error as XmlError, XmlVersion};
use std::borrow::Cow;

/// Clarity's own documents nest to about 8; a pool of pools adds 3 for each pooling.
const MAX_DEPTH: usize = 64;
/// Recorded bodies declare up to 35 prefixes on their root; everything else has a handful.
const MAX_ATTRIBUTES: usize = 128;
/// Elements and attributes of one document. A batch of 500 pools has some tens of thousands. Bytes alone do not bound the
/// memory: `<a/>` takes 4 of them and forty times as much in the tree.
const MAX_PARTS: usize = 1_000_000;

impl Element {
    /// Reads a whole document. `Err` names the byte at which it stopped making sense.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let text = std::str::from_utf8(bytes)
            .map_err(|e| Fault::at(e.valid_up_to() as u64, "the text is not valid UTF-8"))?;
        if let Some(at) = text.find('\0') {
            // The library lets it pass as it is and refuses the reference it would go back as.
            return Err(Fault::at(at as u64, "there is a NUL, which XML does not have"));
        }
        let mut reader = NsReader::from_str(text);
        reader.config_mut().check_end_names = true;
        let mut builder = Builder::default();
        loop {
            let at = reader.buffer_position();
            let event = match reader.read_resolved_event() {
                Ok((resolved, event)) => {
                    let namespace = match resolved {
                        ResolveResult::Bound(namespace) => Some(unescaped(namespace, at)?),
                        ResolveResult::Unbound => None,
                        ResolveResult::Unknown(prefix) => {
                            return Err(Fault::at(at, format!("the prefix {prefix:?} was never declared")));
                        }
                    };
                    (namespace, event)
                }
                Err(e) => return Err(Fault::at(reader.error_position(), describe(&e))),
            };
            match event {
                (namespace, Event::Start(start)) => builder.open(element(&start, namespace, at)?, at)?,
                (namespace, Event::Empty(start)) => {
                    builder.open(element(&start, namespace, at)?, at)?;
                    builder.close(at)?;
                }
                (_, Event::End(_)) => builder.close(at)?,
                (_, Event::Text(text)) => builder.text(&text.xml10_content(), at)?,
                (_, Event::CData(text)) => builder.text(&text.xml10_content(), at)?,
                (_, Event::GeneralRef(reference)) => builder.text(&resolve(&reference, at)?, at)?,
                (_, Event::Decl(declaration)) => {
                    let encoding = declaration.encoding().and_then(Result::ok).unwrap_or_default();
                    if !["", "utf-8", "us-ascii"].contains(&encoding.to_ascii_lowercase().as_str()) {
                        return Err(Fault::at(at, format!("the encoding {encoding} is declared, not UTF-8")));
                    }
                }
                (_, Event::DocType(_)) => return Err(Fault::at(at, "a document type is not accepted")),
                (_, Event::Comment(_) | Event::PI(_)) => {}
                (_, Event::Eof) => return builder.finish(at),
            }
        }
    }
}

fn describe(error: &XmlError) -> String {
    match error {
        XmlError::IllFormed(e) => e.to_string(),
        other => other.to_string(),
    }
}

#[derive(Default)]
struct Builder {
    open: Vec<Element>,
    parts: usize,
    root: Option<Element>,
}

impl Builder {
    fn open(&mut self, element: Element, at: u64) -> Result<(), Fault> {
        if self.root.is_some() {
            return Err(Fault::at(at, format!("<{}> follows the end of the document", element.name())));
        }
        if self.open.len() == MAX_DEPTH {
            return Err(Fault::at(at, format!("elements are nested deeper than {MAX_DEPTH}")));
        }
        self.parts += 1 + element.attributes.len();
        if self.parts > MAX_PARTS {
            return Err(Fault::at(at, format!("there are more than {MAX_PARTS} elements and attributes")));
        }
        self.open.push(element);
        Ok(())
    }

    fn close(&mut self, at: u64) -> Result<(), Fault> {
        let element = self.open.pop().ok_or_else(|| Fault::at(at, "an element ends that never began"))?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(Node::Element(element)),
            None => self.root = Some(element),
        }
        Ok(())
    }

    /// Text arrives in pieces, one for each reference in it; neighbours are joined, so that equal documents are equal
    /// however they were escaped.
    fn text(&mut self, text: &str, at: u64) -> Result<(), Fault> {
        let Some(parent) = self.open.last_mut() else {
            let blank = text.trim_start_matches('\u{feff}').trim().is_empty();
            return if blank { Ok(()) } else { Err(Fault::at(at, "text stands outside the document")) };
        };
        match parent.children.last_mut() {
            Some(Node::Text(before)) => before.push_str(text),
            _ => parent.children.push(Node::Text(text.to_owned())),
        }
        Ok(())
    }

    fn finish(self, at: u64) -> Result<Element, Fault> {
        if let Some(open) = self.open.last() {
            return Err(Fault::at(at, format!("the body ends inside <{}>: it was cut off", open.name())));
        }
        self.root.ok_or_else(|| Fault::at(at, "there is no XML document"))
    }
}

/// A namespace is resolved as it stands in the bytes; what it *is* is the attribute's value, with its references read.
fn unescaped(Namespace(raw): Namespace<'_>, at: u64) -> Result<String, Fault> {
    let declared = Attribute { key: QName("xmlns"), value: Cow::Borrowed(raw) };
    let value = declared.normalized_value(XmlVersion::Implicit1_0);
    value.map(Cow::into_owned).map_err(|e| Fault::at(at, format!("in the declaration of a namespace: {e}")))
}

/// Whether this can be the name of an element or attribute, with one prefix at most. The library takes anything up to
/// the next blank for one, nothing at all included. Beyond ASCII any letter will do.
fn is_name(text: &str) -> bool {
    let begins = |c: char| c == '_' || c.is_alphabetic();
    let goes_on = |c: char| begins(c) || c.is_numeric() || matches!(c, '-' | '.' | '\u{b7}');
    let part = |part: &str| part.chars().next().is_some_and(begins) && part.chars().all(goes_on);
    match text.split_once(':') {
        Some((prefix, local)) => part(prefix) && part(local),
        None => part(text),
    }
}

fn element(start: &BytesStart<'_>, namespace: Option<String>, at: u64) -> Result<Element, Fault> {
    let name = start.name();
    if !is_name(name.into_inner()) {
        return Err(Fault::at(at, "an element has no proper name"));
    }
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| Fault::at(at, format!("in <{}>: {e}", name.into_inner())))?;
        if attributes.len() == MAX_ATTRIBUTES {
            return Err(Fault::at(
                at,
                format!("<{}> has more than {MAX_ATTRIBUTES} attributes", name.into_inner()),
            ));
        }
        let key = attribute.key.into_inner();
        if !is_name(key) {
            return Err(Fault::at(at, format!("an attribute of <{}> has no proper name", name.into_inner())));
        }
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|e| Fault::at(at, format!("in attribute {key} of <{}>: {e}", name.into_inner())))?;
        attributes.push((key.to_owned(), value.into_owned()));
    }
    Ok(Element { name: name.into_inner().to_owned(), namespace, attributes, children: Vec::new() })
}

fn resolve(reference: &BytesRef<'_>, at: u64) -> Result<String, Fault> {
    let wrong = |e: String| Fault::at(at, e);
    if let Some(c) = reference.resolve_char_ref().map_err(|e| wrong(e.to_string()))? {
        return Ok(c.to_string());
    }
    let name: &str = reference;
    match quick_xml::escape::resolve_predefined_entity(name) {
        Some(text) => Ok(text.to_owned()),
        None => Err(wrong(format!("the entity &{name}; is not accepted"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(body: &[u8]) -> String {
        Element::parse(body).unwrap_err().to_string()
    }

    #[test]
    fn a_document_comes_back_equal_after_writing() {
        let body = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- no --><a:x xmlns:a=\"urn:a\" \
                    xmlns:u='urn:u' uri=\"h?a=1&amp;b=2\">\n <u:field name=\"Ø\">&#229; &lt;b&gt; æ\n  </u:field>\
                    <new-in-6.4 k=\"v\"/><![CDATA[<raw>]]></a:x>\n";
        let tree = Element::parse(body.as_bytes()).unwrap();
        assert!(tree.is("urn:a", "x"));
        assert_eq!(tree.attr("uri"), Some("h?a=1&b=2"));
        let field = tree.all_in("urn:u", "field").next().unwrap();
        assert_eq!((field.attr("name"), field.text().as_str()), (Some("Ø"), "å <b> æ\n  "));
        assert_eq!(tree.text(), "\n <raw>");
        let written = tree.to_bytes();
        assert!(written.is_ascii());
        assert_eq!(Element::parse(&written).unwrap(), tree);
        assert_eq!(Element::parse(&written).unwrap().to_bytes(), written);
    }

    #[test]
    fn broken_utf8_is_refused_at_its_byte() {
        assert_eq!(fault(b"<a>bl\xe5</a>"), "at byte 5: the text is not valid UTF-8");
    }

    #[test]
    fn doctype_and_entities_are_refused() {
        assert_eq!(
            fault(b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"),
            "at byte 0: a document type is not accepted"
        );
        assert_eq!(fault(b"<a>x&b;</a>"), "at byte 4: the entity &b; is not accepted");
        assert!(fault(b"<a k='&b;'/>").starts_with("at byte 0: in attribute k of <a>: "));
        assert!(fault(b"<a>&#0;</a>").starts_with("at byte 3: "));
        assert_eq!(fault(b"<a>\0</a>"), "at byte 3: there is a NUL, which XML does not have");
    }

    #[test]
    fn names_are_names() {
        for body in ["<\r/>", "<1/>", "<-a/>", "<a'b'/>", "<a&b/>", "<a=b/>"] {
            assert_eq!(fault(body.as_bytes()), "at byte 0: an element has no proper name", "{body}");
        }
        assert_eq!(fault(b"<x xmlns:a='u'><a:/></x>"), "at byte 15: an element has no proper name");
        assert_eq!(fault(b"<a 1='x'/>"), "at byte 0: an attribute of <a> has no proper name");
        assert_eq!(fault(b"<a b:c:d='x'/>"), "at byte 0: an attribute of <a> has no proper name");
        for body in ["<_a-1.b/>", "<prøve ä='1'/>", "<x xmlns:a='u'><a:b a:c='1'/></x>"] {
            assert!(Element::parse(body.as_bytes()).is_ok(), "{body}");
        }
    }

    #[test]
    fn a_namespace_is_what_its_declaration_means() {
        let body = b"<a:x xmlns:a='urn&#58;a&amp;b'><a:y/></a:x>";
        let tree = Element::parse(body).unwrap();
        assert_eq!(tree.namespace(), Some("urn:a&b"));
        assert_eq!(tree.all_in("urn:a&b", "y").count(), 1);
        assert_eq!(Element::parse(&tree.to_bytes()).unwrap(), tree);
        assert!(fault(b"<x xmlns='&b;'/>").starts_with("at byte 0: in the declaration of a namespace: "));
    }

    #[test]
    fn documents_that_are_not_whole_are_refused() {
        assert_eq!(fault(b"<a><b>x</b>"), "at byte 11: the body ends inside <a>: it was cut off");
        assert_eq!(fault(b""), "at byte 0: there is no XML document");
        assert_eq!(fault(b"  plain"), "at byte 0: text stands outside the document");
        assert_eq!(fault(b"<a/><b/>"), "at byte 4: <b> follows the end of the document");
        assert!(fault(b"<a></b>").starts_with("at byte 3: "));
        assert!(fault(b"<a></a></a>").starts_with("at byte 7: "));
        assert_eq!(fault(b"<a><p:b/></a>"), "at byte 3: the prefix \"p\" was never declared");
        assert!(fault(b"<a k='1' k='2'/>").starts_with("at byte 0: in <a>: "));
        assert_eq!(
            fault(b"<?xml version='1.0' encoding='ISO-8859-1'?><a/>"),
            "at byte 0: the encoding ISO-8859-1 is declared, not UTF-8"
        );
    }

    #[test]
    fn depth_and_attributes_are_bounded() {
        let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(Element::parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(
            fault(nested(MAX_DEPTH + 1).as_bytes()),
            format!("at byte {}: elements are nested deeper than 64", 3 * MAX_DEPTH)
        );
        let wide = |n: usize| format!("<a{}/>", (0..n).map(|i| format!(" k{i}='v'")).collect::<String>());
        assert!(Element::parse(wide(MAX_ATTRIBUTES).as_bytes()).is_ok());
        assert_eq!(fault(wide(MAX_ATTRIBUTES + 1).as_bytes()), "at byte 0: <a> has more than 128 attributes");
    }

    #[test]
    fn the_parts_of_a_document_are_bounded() {
        let wide = |n: usize| format!("<a>{}</a>", "<b k=''/>".repeat(n));
        assert!(Element::parse(wide(MAX_PARTS / 2 - 1).as_bytes()).is_ok());
        assert!(fault(wide(MAX_PARTS / 2).as_bytes()).contains("more than 1000000 elements and attributes"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_survives_being_written_and_read(text in "[^\\x00]{0,40}", value in "[^\\x00]{0,40}") {
            let mut tree = Element::root("a", "b", "urn:c").with_attr("v", &value).with(Element::new("d"));
            if !text.is_empty() {
                tree = tree.with_text(&text);
            }
            proptest::prop_assert_eq!(Element::parse(&tree.to_bytes()), Ok(tree));
        }
    }
}
