//! What names a thing in the LIMS: [`LimsId`], and how ids and URIs relate.
//!
//! Everything is keyed on the `limsid`, never on a URI: artifact URIs carry `?state=N`, which differs between two
//! answers about the same artifact, and the host in a URI is the server's configured one, which may not be the one
//! that was dialled. Ids are put into paths and file names, so they are held to letters, digits, `-` and `_`.
use super::fault::Fault;

/// A LIMS id such as `2-8332743` (analyte), `92-1` (result file), `24-1` (step), `ABC1A1` (sample), `ABC1A1PA1` (its
/// root artifact). 1 to 64 characters out of letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LimsId(String);

impl LimsId {
    /// Takes a bare id; anything that could be more than an id (a path, a query) is refused.
    pub fn new(text: &str) -> Result<Self, Fault> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if fits { Ok(Self(text.to_owned())) } else { Err(Fault::new(format!("{text:?} is not a LIMS id"))) }
    }

    /// Takes the id out of a URI: the path part after `kind` (`artifacts`, `steps`…). `?state=` is dropped.
    pub fn from_uri(uri: &str, kind: &str) -> Result<Self, Fault> {
        let mut parts = path_of(uri).split('/').skip_while(|part| *part != kind).skip(1);
        match parts.next() {
            Some(id) => Self::new(id),
            None => Err(Fault::new(format!("the URI {uri:?} names nothing among the {kind}"))),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the id of a control (PhiX, lambda…): `8C-54` or `8C-54PA1`. Controls stand in queues and pools
    /// beside samples and are nobody's sample.
    pub fn is_control(&self) -> bool {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        self.0.split_once("C-").is_some_and(|(run, rest)| {
            let number = rest.split_once("PA").map_or(rest, |(number, _)| number);
            digits(run) && digits(number) && rest.split_once("PA").is_none_or(|(_, root)| digits(root))
        })
    }
}

impl std::fmt::Display for LimsId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for LimsId {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Self, Fault> {
        Self::new(text)
    }
}

impl TryFrom<String> for LimsId {
    type Error = Fault;
    fn try_from(text: String) -> Result<Self, Fault> {
        Self::new(&text)
    }
}

impl From<LimsId> for String {
    fn from(id: LimsId) -> Self {
        id.0
    }
}

/// The path of a URI: without scheme, host, query and fragment.
fn path_of(uri: &str) -> &str {
    let rest = uri
        .split_once("://")
        .map_or(uri, |(_, rest)| rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default());
    rest.split(['?', '#']).next().unwrap_or("")
}

/// Whether two URIs name the same thing, whatever host and `?state=` they carry.
pub fn same_uri(one: &str, other: &str) -> bool {
    path_of(one) == path_of(other)
}

/// The number that a configuration URI carries after `kind`: `…/protocols/54/steps/60` has 54 after `protocols` and 60
/// after `steps`.
pub fn number_in(uri: &str, kind: &str) -> Option<u32> {
    path_of(uri).split('/').skip_while(|part| *part != kind).nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_from_a_uri_without_its_state() {
        let id = |uri, kind| LimsId::from_uri(uri, kind).map(String::from);
        assert_eq!(id("https://h/api/v2/artifacts/2-7?state=59", "artifacts").unwrap(), "2-7");
        assert_eq!(id("https://h/api/v2/artifacts/2-7/demux", "artifacts").unwrap(), "2-7");
        assert_eq!(id("http://h:8080/api/v2/steps/24-1/actions", "steps").unwrap(), "24-1");
        assert_eq!(
            id("https://artifacts/api/v2/samples/A1", "artifacts").unwrap_err().to_string(),
            "the URI \"https://artifacts/api/v2/samples/A1\" names nothing among the artifacts"
        );
    }

    #[test]
    fn only_plain_words_are_ids() {
        for good in ["2-1", "ABC1A1PA1", "test_id", "151C-13176PA1", &"x".repeat(64)] {
            assert_eq!(LimsId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "..", "a/b", "2-1?state=1", "a b", "æ", "a\n", &"x".repeat(65)] {
            assert!(LimsId::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(serde_json::from_str::<LimsId>("\"2-1\"").unwrap(), LimsId::new("2-1").unwrap());
        assert!(serde_json::from_str::<LimsId>("\"../2-1\"").is_err());
    }

    #[test]
    fn controls_are_told_from_samples() {
        for (id, control) in [
            ("8C-54PA1", true),
            ("151C-13176", true),
            ("151C-13176PA1", true),
            ("ABC1A1PA1", false),
            ("2-54", false),
            ("C-54PA1", false),
            ("8C-PA1", false),
            ("8C-54PAx", false),
            ("ABC-1", false),
        ] {
            assert_eq!(LimsId::new(id).unwrap().is_control(), control, "{id}");
        }
    }

    #[test]
    fn uris_are_compared_by_path() {
        assert!(same_uri("http://a/api/v2/steps/1", "https://b:8443/api/v2/steps/1?state=2"));
        assert!(!same_uri("http://a/api/v2/steps/1", "http://a/api/v2/steps/11"));
        assert_eq!(number_in("https://h/api/v2/configuration/protocols/54/steps/60", "steps"), Some(60));
        assert_eq!(number_in("https://h/api/v2/configuration/protocols/54/steps/60", "protocols"), Some(54));
        assert_eq!(number_in("https://h/api/v2/configuration/protocols/p1", "protocols"), None);
    }
}
