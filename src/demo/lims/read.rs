//! XML as the simulator receives it: request bodies, read strictly.
//!
//! Why so strict: a body that a real server refuses must not pass here. Broken UTF-8, another declared encoding, a
//! doctype, an unknown entity or prefix, an unclosed element, text around the root: all refused, naming what was wrong.
//! Elements are known by namespace and local name, never by prefix. Trap: children of resources are in no namespace.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use super::xml::namespace;

/// Deeper than any request of the API; a limit because reading nests.
const MAX_DEPTH: usize = 16;

/// Why a body is not a document.
#[derive(Debug, thiserror::Error)]
#[error("malformed XML at byte {at}: {why}")]
pub(super) struct Malformed {
    at: u64,
    why: String,
}

/// One element of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Received {
    namespace: String,
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    pub(super) children: Vec<Received>,
}

impl Received {
    /// Reads a whole document.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(body)
            .map_err(|e| Malformed { at: e.valid_up_to() as u64, why: "not UTF-8".to_owned() })?;
        let mut reader = NsReader::from_str(text.trim_start_matches('\u{feff}'));
        let mut open: Vec<Received> = Vec::new();
        let mut root = None;
        loop {
            let at = reader.buffer_position();
            let bad = |why: String| Malformed { at, why };
            let (resolved, event) = reader.read_resolved_event().map_err(|e| bad(e.to_string()))?;
            let space = match resolved {
                ResolveResult::Bound(found) => found.0.to_owned(),
                ResolveResult::Unbound => String::new(),
                ResolveResult::Unknown(prefix) => {
                    return Err(bad(format!("prefix {prefix} is not declared")));
                }
            };
            match event {
                Event::Start(start) => {
                    if root.is_some() || open.len() >= MAX_DEPTH {
                        return Err(bad("second root element, or nested too deeply".to_owned()));
                    }
                    open.push(Self::begin(space, &start).map_err(bad)?);
                }
                Event::Empty(start) => {
                    let element = Self::begin(space, &start).map_err(bad)?;
                    close(element, &mut open, &mut root).map_err(bad)?;
                }
                Event::End(_) => {
                    let element = open.pop().ok_or_else(|| bad("end tag without start".to_owned()))?;
                    close(element, &mut open, &mut root).map_err(bad)?;
                }
                Event::Text(text) => add_text(&text.xml10_content(), &mut open).map_err(bad)?,
                Event::CData(text) => add_text(&text.xml10_content(), &mut open).map_err(bad)?,
                Event::GeneralRef(entity) => {
                    let character =
                        entity.resolve_char_ref().map_err(|e| bad(e.to_string()))?.map(String::from);
                    let named = || quick_xml::escape::resolve_predefined_entity(&entity).map(str::to_owned);
                    let text = character
                        .or_else(named)
                        .ok_or_else(|| bad(format!("unknown entity &{};", &*entity)))?;
                    add_text(&text, &mut open).map_err(bad)?;
                }
                Event::Decl(declaration) => {
                    let encoding = declaration.encoding().transpose().map_err(|e| bad(e.to_string()))?;
                    if encoding.as_ref().is_some_and(|name| !name.eq_ignore_ascii_case("UTF-8")) {
                        return Err(bad("declared encoding is not UTF-8".to_owned()));
                    }
                }
                Event::DocType(_) => return Err(bad("doctype not allowed".to_owned())),
                Event::Comment(_) | Event::PI(_) => {}
                Event::Eof => {
                    let complete = root.filter(|_| open.is_empty());
                    return complete.ok_or_else(|| bad("document ends before its root element".to_owned()));
                }
            }
        }
    }

    fn begin(namespace: String, start: &BytesStart<'_>) -> Result<Self, String> {
        let mut element = Self { namespace, name: start.local_name().as_ref().to_owned(), ..Self::default() };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|e| e.to_string())?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| e.to_string())?;
            element.attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
        }
        Ok(element)
    }

    /// True for `prefix:name` as the vendor spells it (`stp:step`), or for a bare name in no namespace.
    pub(super) fn is(&self, qualified: &str) -> bool {
        match qualified.split_once(':') {
            Some((prefix, local)) => self.name == local && self.namespace == namespace(prefix),
            None => self.name == qualified && self.namespace.is_empty(),
        }
    }

    pub(super) fn attr(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Text of this element itself, verbatim: leading and trailing blanks count.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn child(&self, name: &str) -> Option<&Received> {
        self.children.iter().find(|child| child.is(name))
    }

    pub(super) fn children<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Received> {
        self.children.iter().filter(move |child| child.is(name))
    }
}

fn close(element: Received, open: &mut [Received], root: &mut Option<Received>) -> Result<(), String> {
    match (open.last_mut(), &root) {
        (Some(parent), _) => parent.children.push(element),
        (None, None) => *root = Some(element),
        (None, Some(_)) => return Err("second root element".to_owned()),
    }
    Ok(())
}

fn add_text(text: &str, open: &mut [Received]) -> Result<(), String> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err("text outside the root element".to_owned()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_count_prefixes_do_not() {
        let body = br#"<?xml version='1.0' encoding='utf-8'?><x:step-creation xmlns:x="http://genologics.com/ri/step">
            <inputs><input uri="http://h/a?x=1&amp;y=2"/></inputs><note> &#229;&lt;<![CDATA[<b>]]> </note></x:step-creation>"#;
        let root = Received::parse(body).unwrap();
        assert!(root.is("stp:step-creation"));
        assert!(!root.is("step-creation"));
        let input = root.child("inputs").and_then(|inputs| inputs.child("input")).unwrap();
        assert_eq!(input.attr("uri"), Some("http://h/a?x=1&y=2"));
        assert_eq!(root.child("note").unwrap().text(), " å<<b> ");
    }

    #[test]
    fn refuses_what_is_not_a_document() {
        let bad: &[(&[u8], &str)] = &[
            (b"", "ends before"),
            (b"<a><b></a>", "at byte"),
            (b"<a>", "ends before"),
            (b"<a/><b/>", "second root"),
            (b"<a/>x", "outside the root"),
            (b"<q:a/>", "q is not declared"),
            (b"<a>\xe5</a>", "not UTF-8"),
            (b"<!DOCTYPE a><a/>", "doctype"),
            (b"<a>&x;</a>", "unknown entity &x;"),
            (b"<?xml version='1.0' encoding='latin1'?><a/>", "encoding"),
            (b"<a b='1' b='2'/>", "malformed"),
        ];
        for (body, why) in bad {
            let told = Received::parse(body).unwrap_err().to_string();
            assert!(told.contains(why), "{}: {told}", String::from_utf8_lossy(body));
        }
        let deep = "<a>".repeat(17) + &"</a>".repeat(17);
        assert!(Received::parse(deep.as_bytes()).unwrap_err().to_string().contains("deeply"));
    }
}
