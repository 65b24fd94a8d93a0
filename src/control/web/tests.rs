//! The pages as a browser gets them: right for a screen reader and a keyboard, and with nothing in them that runs or comes from elsewhere.
use std::collections::BTreeSet;
use std::sync::Arc;

use quick_xml::events::Event as Xml;

use crate::control::tests::{Set, asked, set, working};
use crate::journal::Facts;
use crate::package::{PackageId, Reason, State};
use crate::snapshot::Snapshot;

const STOPPED: &str = "samples/Diag-wgs1-HG30000001/r1";
const EVIL: &str = "</td><script src=//elsewhere.example/x.js>alert(1)</script>\"&";

async fn night() -> Set {
    let set = set(&[]);
    let id: PackageId = STOPPED.parse().unwrap();
    let facts =
        |reason| Facts { reason, detail: Some(EVIL.into()), bytes: Some(5_000_000), ..Facts::default() };
    for (from, to, reason) in
        [(None, State::Packed, None), (Some(State::Packed), State::Quarantined, Some(Reason::BadReads))]
    {
        assert!(set.journal.step(&id, from, to, "uploader", facts(reason)).await.unwrap());
    }
    let mut seen = Snapshot::clone(&working());
    let _new = seen.not_taken.insert("Other-package".into(), EVIL.into());
    let _was = set.news.send_replace(Some(Arc::new(seen)));
    set
}

/// The head of an answer and its page.
fn parts(answer: &str) -> (String, &str) {
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), page)
}

struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
}

impl Element {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// All elements with the text in them. Reads HTML as far as the pages have it.
fn elements(page: &str) -> Vec<Element> {
    let mut text = page.split_once("<html").map(|(_, rest)| format!("<html{rest}")).unwrap();
    for flag in [" defer", " hidden", " open", " selected", " checked", " required"] {
        for end in [">", " "] {
            text = text.replace(&format!("{flag}{end}"), &format!("{flag}=\"\"{end}"));
        }
    }
    for void in ["<meta ", "<link ", "<input "] {
        let mut pieces = text.split(void);
        let first = pieces.next().unwrap().to_owned();
        text = pieces.fold(first, |text, piece| format!("{text}{void}{}", piece.replacen('>', "/>", 1)));
    }
    let mut reader = quick_xml::Reader::from_str(&text);
    reader.config_mut().expand_empty_elements = true;
    let (mut all, mut open): (Vec<Element>, Vec<usize>) = (Vec::new(), Vec::new());
    loop {
        match reader.read_event().unwrap_or_else(|e| panic!("{e} at {}: {text}", reader.error_position())) {
            Xml::Start(start) => {
                let name = start.name().as_ref().to_owned();
                let attributes = start.html_attributes().map(|a| a.unwrap()).map(|a| {
                    let value = a.value.to_string();
                    (a.key.as_ref().to_owned(), value)
                });
                all.push(Element { name, attributes: attributes.collect(), text: String::new() });
                open.push(all.len() - 1);
            }
            Xml::End(end) => {
                let at = open.pop().unwrap();
                assert_eq!(all[at].name.as_str(), end.name().as_ref(), "elements are closed in their order");
            }
            Xml::Text(words) => {
                open.iter().for_each(|at| all[*at].text.push_str(&words));
            }
            Xml::GeneralRef(name) => {
                open.iter().for_each(|at| all[*at].text.push_str(&format!("&{};", &*name)));
            }
            Xml::Eof => break,
            _ => {}
        }
    }
    assert!(open.is_empty());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_whole_accessible_and_of_ours_alone() {
    let set = night().await;
    let found = format!("/why?what={}", STOPPED.replace('/', "%2F"));
    for path in [
        "/",
        "/packages",
        "/packages?show=stopped",
        "/why",
        &found,
        "/why?what=nobody",
        "/why?what=%3Cscript%3E",
    ] {
        let (status, answer) = asked(&set, path).await;
        assert_eq!(status, 200, "{path}: {answer}");
        let (head, page) = parts(&answer);
        assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{head}");
        assert!(head.contains("referrer-policy: no-referrer") && head.contains("nosniff"), "{head}");
        assert!(!page.contains("<script src=//") && !page.contains("alert(1)</script>"), "{path}: {page}");
        let all = elements(page);
        let named = |name: &str| all.iter().filter(|e| e.name == name).collect::<Vec<_>>();
        for (name, count) in [("h1", 1), ("main", 1), ("header", 1), ("nav", 1), ("footer", 1), ("title", 1)]
        {
            assert_eq!(named(name).len(), count, "{path}: {name}");
        }
        assert_eq!(named("html")[0].get("lang"), Some("en"));
        let mut ids = BTreeSet::new();
        for element in &all {
            for (key, value) in &element.attributes {
                assert!(!key.starts_with("on") && key != "style", "{path}: {key} runs or styles in the page");
                if matches!(key.as_str(), "href" | "src" | "action") {
                    assert!(
                        value.starts_with('/') && !value.starts_with("//") || value.starts_with('#'),
                        "{path}: {value}"
                    );
                }
                if key == "id" {
                    assert!(ids.insert(value.clone()), "{path}: {value} stands twice");
                }
            }
            match element.name.as_str() {
                "script" => assert!(element.get("src").is_some() && element.text.is_empty(), "{path}"),
                "th" => assert!(element.get("scope").is_some(), "{path}: a head of what?"),
                "a" | "button" => assert!(!element.text.trim().is_empty(), "{path}: without a name"),
                "progress" | "nav" => {
                    assert!(element.get("aria-label").is_some(), "{path}: {}", element.name)
                }
                _ => {}
            }
        }
        for element in &all {
            for key in ["aria-labelledby", "for"] {
                if let Some(target) = element.get(key) {
                    assert!(ids.contains(target), "{path}: {key} leads to no {target}");
                }
            }
            if element.name == "a" && element.get("href").is_some_and(|href| href.starts_with('#')) {
                assert!(ids.contains(element.get("href").unwrap().trim_start_matches('#')), "{path}");
            }
        }
        assert!(named("caption").len() == named("table").len(), "{path}: each table has a name");
        let labels: BTreeSet<_> =
            named("label").iter().filter_map(|l| l.get("for")).map(str::to_owned).collect();
        for input in named("input").into_iter().chain(named("select")) {
            let labelled =
                input.get("id").is_some_and(|id| labels.contains(id)) || input.get("aria-label").is_some();
            assert!(labelled || input.get("type") == Some("hidden"), "{path}: an input without a name");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_say_what_wants_a_person_and_where_a_package_is() {
    let set = night().await;
    let text = async |path: &str| {
        let (_, answer) = asked(&set, path).await;
        elements(parts(&answer).1).into_iter().find(|e| e.name == "body").unwrap().text
    };
    let front = text("/").await;
    for words in ["Wants a person", STOPPED, "bad-reads", Reason::BadReads.remedy(), "poller"] {
        let words = words.replace('"', "&quot;").replace('\'', "&#39;");
        assert!(
            front.contains(&words) || front.contains(&*crate::review::clip(&words, 60)),
            "{words} in {front}"
        );
    }
    let why = text(&format!("/why?what={}", "HG30000001")).await;
    assert!(why.contains(STOPPED) && why.contains("uploader") && why.contains("quarantined"), "{why}");
    assert!(text("/why?what=nobody").await.contains("not known here"));
    assert!(text("/packages?show=stopped").await.contains(STOPPED));
    let (status, answer) = asked(&set, "/packages?show=oddly").await;
    assert!(status == 400 && answer.contains("stopped, moving or nothing"), "{answer}");
    for (file, media) in
        [("/page.css", "text/css"), ("/page.js", "text/javascript"), ("/favicon.svg", "image/svg+xml")]
    {
        let (status, answer) = asked(&set, file).await;
        let (head, text) = parts(&answer);
        assert!(status == 200 && head.contains(media), "{head}");
        assert!(!text.contains("http://") || file == "/favicon.svg", "nothing comes from elsewhere: {file}");
    }
    let (status, answer) = asked(&set, "/review").await;
    assert!(status == 200 && parts(&answer).0.contains("style-src 'unsafe-inline'"), "{answer}");
    assert!(answer.contains(STOPPED) && !answer.contains("<script"), "the review of the last day");
}

/// Text against its ground, as WCAG 2 counts it.
#[test]
fn colours_can_be_read() {
    let css = include_str!("page.css");
    let luminance = |hex: &str| {
        let long: String = match hex.len() {
            3 => hex.chars().flat_map(|c| [c, c]).collect(),
            _ => hex.to_owned(),
        };
        let rgb = u32::from_str_radix(&long, 16).unwrap();
        let one = |shift: u32| {
            let c = f64::from(rgb >> shift & 0xff) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * one(16) + 0.7152 * one(8) + 0.0722 * one(0)
    };
    let schemes: Vec<&str> = css.lines().filter(|line| line.trim_start().starts_with(":root {")).collect();
    assert_eq!(schemes.len(), 2, "light and dark");
    let mut pairs = 0;
    for scheme in schemes {
        let value = |name: &str| {
            let (_, rest) = scheme.split_once(&format!("--{name}: #")).unwrap_or_else(|| panic!("{name}"));
            rest.chars().take_while(char::is_ascii_hexdigit).collect::<String>()
        };
        let on_all = ["ink", "soft", "link", "good", "odd", "bad"]
            .into_iter()
            .flat_map(|name| [(name, "paper"), (name, "card")]);
        for (name, ground) in on_all.chain([("good", "good-back"), ("odd", "odd-back"), ("bad", "bad-back")])
        {
            let (a, b) = (luminance(&value(ground)), luminance(&value(name)));
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(contrast >= 4.5, "{name} on {ground}: {contrast:.2} in {scheme}");
            pairs += 1;
        }
    }
    assert_eq!(pairs, 30);
}
