//! People and accounts: who this program is in the LIMS, and who can be asked.
//!
//! Trap: a list of researchers has names and addresses only. Which account belongs to one stands in its own document, so
//! whoever a search found is read and compared.
use super::client::{Client, same};
use super::error::Error;
use super::fault::Fault;
use super::ids::LimsId;
use super::ns;
use super::read::{Identified, Record, id, parsed, word};
use super::tree::Element;

/// Researchers of one name that are looked at: an account name belongs to one.
const MOST: usize = 20;

/// A person or an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Researcher {
    /// The number.
    pub id: LimsId,
    /// Name of the account; none for somebody who only is on record.
    pub username: Option<String>,
    /// Whether the account is locked.
    pub locked: bool,
}

impl Record for Researcher {
    const NAMESPACE: &'static str = ns::RESEARCHER;
    const ROOT: &'static str = "researcher";
    const PATH: &'static str = "researchers";

    fn from_element(e: &Element) -> Result<Self, Fault> {
        let credentials = e.child("credentials");
        let locked = credentials.map(|c| parsed(c, "account-locked", "true or false")).transpose()?.flatten();
        Ok(Self {
            id: id(e, Self::PATH)?,
            username: credentials.and_then(|c| word(c, "username")),
            locked: locked.unwrap_or(false),
        })
    }
}

impl Identified for Researcher {
    fn id(&self) -> &LimsId {
        &self.id
    }
}

impl Client {
    /// A researcher by number.
    pub async fn researcher(&self, id: &LimsId) -> Result<Researcher, Error> {
        let url = self.wire.url(&format!("researchers/{id}"), &[]);
        let found: Researcher = self.fetch(&url).await?;
        same(&url, id, &found.id)?;
        Ok(found)
    }

    /// The researcher with this account, if there is exactly one. What the search finds is compared with the account.
    pub async fn researcher_named(&self, username: &str) -> Result<Option<Researcher>, Error> {
        let mut named = Vec::new();
        for id in self.find("researchers", &[("username", username)]).await?.iter().take(MOST) {
            let found = self.researcher(id).await?;
            // A directory service does not care about case.
            if found.username.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(username)) {
                named.push(found);
            }
        }
        let one = named.pop();
        Ok(one.filter(|_| named.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, Reply, exception};
    use super::*;

    fn one(number: u32, username: &str) -> Reply {
        Reply::Xml(
            200,
            format!(
                "<res:researcher xmlns:res=\"http://genologics.com/ri/researcher\" uri=\"https://h/api/v2/researchers/{number}\">\
                 <first-name>A</first-name><credentials><username>{username}</username><account-locked>true</account-locked>\
                 </credentials></res:researcher>"
            ),
        )
    }

    fn list(numbers: &[u32]) -> Reply {
        let rows: String = numbers
            .iter()
            .map(|n| format!("<researcher uri=\"https://h/api/v2/researchers/{n}\"><first-name>A</first-name></researcher>"))
            .collect();
        let root = "<res:researchers xmlns:res=\"http://genologics.com/ri/researcher\">";
        Reply::Xml(200, format!("{root}{rows}</res:researchers>"))
    }

    #[tokio::test]
    async fn an_account_is_believed_only_if_its_own_document_says_so() {
        let fake = Fake::start(|seen, _| match seen.path.as_str() {
            "researchers?username=export" => list(&[3, 64]),
            "researchers?username=twice" => list(&[7, 8]),
            "researchers/3" => one(3, "Export"),
            "researchers/64" => one(64, "somebody"),
            "researchers/7" | "researchers/8" => one(seen.path[12..].parse().unwrap(), "twice"),
            "researchers/9" => one(10, "x"),
            _ => Reply::Xml(404, exception("none")),
        })
        .await;
        let client = fake.client();
        let us = client.researcher_named("export").await.unwrap().unwrap();
        assert_eq!((us.id.as_str(), us.locked), ("3", true));
        assert_eq!(client.researcher_named("twice").await.unwrap(), None);
        let other = client.researcher(&LimsId::new("9").unwrap()).await.unwrap_err();
        assert!(crate::chain(&other).contains("9 was asked for and 10 came"), "{other}");
    }
}
