//! From an HTTP answer to what it means.
//!
//! The status alone does not tell: an exception may come under 200, 401 comes without a body, and a proxy answers for a
//! dead server with a page of HTML under any status, 404 included (a Tomcat that is starting up has no resource at all:
//! taking that for "there is no such step" would be a mistake with consequences). For a request that changes something,
//! everything between a clear yes and a clear no is [`Error::Unclear`].
use super::error::Error;
use super::fault::Fault;
use super::lists::Exception;
use super::tree::Element;

/// The longest text of the server that is passed on.
const MAX_MESSAGE: usize = 1000;

/// An answer as it came.
pub(super) struct Raw {
    pub status: u16,
    pub html: bool,
    pub body: Vec<u8>,
}

/// What was asked: `doing` is method and path, `changes` tells whether it was to change anything.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub doing: &'a str,
    pub changes: bool,
    pub user: &'a str,
}

impl Question<'_> {
    /// The server (or its proxy) is not well.
    fn sick(&self, why: String) -> Error {
        let doing = self.doing.to_owned();
        if self.changes {
            Error::Unclear { doing, why, source: None }
        } else {
            Error::Outage { doing, why, source: None }
        }
    }

    /// Something in front of the server turned the request away.
    fn turned_away(&self, why: String) -> Error {
        Error::Outage { doing: self.doing.to_owned(), why, source: None }
    }
}

/// The document of a successful answer, `None` if its body is empty; `Ok(Err)` if it succeeded but cannot be read.
pub(super) fn judge(question: Question<'_>, raw: &Raw) -> Result<Result<Option<Element>, Fault>, Error> {
    let (status, doing) = (raw.status, question.doing);
    match status {
        401 => return Err(refused_account(question.user, "does not accept the password of", status)),
        403 => return Err(refused_account(question.user, "gives no right to use its API to", status)),
        300..=399 => {
            return Err(Error::config(format!(
                "the LIMS answered {doing} with {status}, a redirect, which is not followed because it would carry the \
                 password elsewhere; check the address of the LIMS in the configuration (http instead of https?)"
            )));
        }
        _ => {}
    }
    if raw.html || looks_like_html(&raw.body) {
        let why = format!("a page of HTML came with status {status}");
        return Err(match status {
            400..=499 if status != 408 => question.turned_away(why),
            _ => question.sick(why),
        });
    }
    let blank = raw.body.iter().all(u8::is_ascii_whitespace);
    let document = if blank { Ok(None) } else { Element::parse(&raw.body).map(Some) };
    let exception = document.as_ref().ok().and_then(Option::as_ref).and_then(Exception::read);
    let said_no = exception.is_some();
    let Exception { code, message, suggested } = exception.unwrap_or_default();
    let (message, suggested) = (message.map(shorten), suggested.map(shorten));
    // An exception under a status that claims success: its own code tells more, if it has one.
    let success = (200..300).contains(&status);
    let meant = if success && said_no {
        code.filter(|code| (400..600).contains(code)).unwrap_or(status)
    } else {
        status
    };
    let words = message.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
    match meant {
        200..=299 if !said_no => Ok(document),
        404 if said_no || blank || document.is_ok() => {
            Err(Error::NotFound { doing: doing.to_owned(), message })
        }
        404 => Err(question.turned_away("404 came without an exception of the LIMS".to_owned())),
        408 | 500..=599 => Err(question.sick(format!("status {meant}{words}"))),
        429 => Err(question.turned_away(format!("status {meant}{words}"))),
        200..=499 => Err(Error::Refused { doing: doing.to_owned(), status: meant, message, suggested }),
        _ => Err(question.sick(format!("status {meant}, which HTTP does not know"))),
    }
}

fn refused_account(user: &str, why: &str, status: u16) -> Error {
    Error::config(format!(
        "the LIMS {why} user {user:?} ({status}); check the user name and the password file in the \
         configuration, and the account in the LIMS"
    ))
}

fn looks_like_html(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    let begins = |word: &[u8]| start.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    begins(b"<!doctype html") || begins(b"<html")
}

fn shorten(text: String) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(MAX_MESSAGE).map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clarity::error::Class;

    const NO: &str = r#"<exc:exception xmlns:exc="http://genologics.com/ri/exception"><message>No</message></exc:exception>"#;

    fn outcome(changes: bool, status: u16, body: &str) -> Result<bool, (Class, String)> {
        let question = Question { doing: "POST /x", changes, user: "export" };
        let raw = Raw { status, html: false, body: body.as_bytes().to_vec() };
        judge(question, &raw).map(|document| document.is_ok()).map_err(|e| (e.class(), e.to_string()))
    }

    fn class(changes: bool, status: u16, body: &str) -> Class {
        outcome(changes, status, body).unwrap_err().0
    }

    #[test]
    fn an_answer_means_what_its_status_and_content_say_together() {
        let html = "\n<!DOCTYPE HTML PUBLIC \"x\"><html/>";
        let coded = |code| NO.replace("<exc:exception", &format!("<exc:exception code=\"{code}\""));
        assert_eq!(outcome(true, 201, "<a/>"), Ok(true));
        assert_eq!(outcome(true, 204, ""), Ok(true));
        assert_eq!(outcome(true, 200, "<a"), Ok(false), "a success that cannot be read is still a success");
        for (status, body, reading, changing) in [
            (200, NO, Class::Refused, Class::Refused),
            (200, &coded("404"), Class::NotFound, Class::NotFound),
            (200, &coded("500"), Class::Outage, Class::Unclear),
            (200, &coded("7"), Class::Refused, Class::Refused),
            (200, html, Class::Outage, Class::Unclear),
            (301, "", Class::Config, Class::Config),
            (400, NO, Class::Refused, Class::Refused),
            (400, html, Class::Outage, Class::Outage),
            (400, "plain", Class::Refused, Class::Refused),
            (401, "", Class::Config, Class::Config),
            (403, html, Class::Config, Class::Config),
            (404, NO, Class::NotFound, Class::NotFound),
            (404, "", Class::NotFound, Class::NotFound),
            (404, html, Class::Outage, Class::Outage),
            (404, "Not Found", Class::Outage, Class::Outage),
            (408, "", Class::Outage, Class::Unclear),
            (413, "", Class::Refused, Class::Refused),
            (429, "", Class::Outage, Class::Outage),
            (500, NO, Class::Outage, Class::Unclear),
            (503, html, Class::Outage, Class::Unclear),
        ] {
            assert_eq!(class(false, status, body), reading, "reading {status} {body}");
            assert_eq!(class(true, status, body), changing, "changing {status} {body}");
        }
    }

    #[test]
    fn a_refused_account_is_named_with_what_to_check() {
        assert_eq!(
            outcome(false, 401, "").unwrap_err().1,
            "the LIMS does not accept the password of user \"export\" (401); check the user name and the password \
             file in the configuration, and the account in the LIMS"
        );
    }

    #[test]
    fn the_servers_words_are_bounded_and_on_one_line() {
        let long = NO.replace("No", &format!("a\n{}", "b".repeat(2000)));
        let (_, text) = outcome(false, 400, &long).unwrap_err();
        assert_eq!(text, format!("the LIMS refused POST /x with 400: a {}", "b".repeat(998)));
    }
}
