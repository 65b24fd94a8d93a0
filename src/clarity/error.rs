//! What can go wrong with the LIMS, sorted by who must act: [`Error`] and its [`Class`].
//!
//! The line that matters most is between "it did not happen" and "nobody knows": a request that changes something and
//! whose answer was lost is [`Error::Unclear`], and must not be repeated before the state was read again. Texts name
//! the request by method and path; they hold neither the password nor the query.
use super::fault::Fault;
use super::ids::LimsId;
use crate::lease::Fenced;

/// Something did not work with the LIMS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The LIMS or the way to it is down.
    #[error(
        "could not reach the LIMS for {doing}: {why}; nothing was changed, try later and look at the LIMS if it lasts"
    )]
    Outage {
        /// Method and path.
        doing: String,
        /// What was seen.
        why: String,
        /// What the network said.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// The LIMS understood and said no; nothing was changed.
    #[error(
        "the LIMS refused {doing} with {status}: {}{}",
        message.as_deref().unwrap_or("it gives no reason"),
        suggested.as_deref().map(|text| format!("; it suggests: {text}")).unwrap_or_default()
    )]
    Refused {
        /// Method and path.
        doing: String,
        /// HTTP status, or the code in the exception where the status claimed success.
        status: u16,
        /// Its reason.
        message: Option<String>,
        /// Its advice.
        suggested: Option<String>,
    },
    /// The answer (or what was to be sent) is not what it should be.
    #[error(
        "{doing} cannot be used: it is not what Clarity's API v2 promises; compare it by hand, then report it"
    )]
    Malformed {
        /// Which answer.
        doing: String,
        /// What is wrong with it.
        #[source]
        source: Fault,
    },
    /// Something was asked to change, and whether it did is not known.
    #[error(
        "nobody knows whether the LIMS carried out {doing}: {why}; read the state again before repeating it"
    )]
    Unclear {
        /// Method and path.
        doing: String,
        /// What was seen instead of an answer.
        why: String,
        /// What the network said.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// The LIMS has no such thing.
    #[error("the LIMS has nothing under {doing}{}", message.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    NotFound {
        /// Method and path.
        doing: String,
        /// Its words.
        message: Option<String>,
    },
    /// Address, account or certificates are wrong; only a person can mend that. The text says what to check.
    #[error("{why}")]
    Config {
        /// What is wrong and what to check.
        why: String,
        /// What the network or the system said.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Another may have taken over, so nothing is changed.
    #[error("{doing} was not sent to the LIMS: {fenced}")]
    Fenced {
        /// Method and path.
        doing: String,
        /// Why.
        fenced: Fenced,
    },
    /// A step does not go on.
    #[error(
        "step {step} stays in {state}: {why}; open it in the LIMS, clear what holds it, then let it be tried again"
    )]
    Stuck {
        /// The step.
        step: LimsId,
        /// Its state.
        state: String,
        /// What seems to hold it.
        why: String,
    },
}

/// Who must act on an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Nobody yet: wait and try again.
    Outage,
    /// The caller: the LIMS said no.
    Refused,
    /// A developer: the two sides do not understand each other.
    Malformed,
    /// The caller: read the state again, then decide.
    Unclear,
    /// The caller: it is not there.
    NotFound,
    /// Who runs this program.
    Config,
    /// Somebody in the laboratory, in the LIMS.
    Stuck,
    /// This process: it must end.
    Fenced,
}

impl Error {
    /// Who must act.
    pub fn class(&self) -> Class {
        match self {
            Self::Outage { .. } => Class::Outage,
            Self::Refused { .. } => Class::Refused,
            Self::Malformed { .. } => Class::Malformed,
            Self::Unclear { .. } => Class::Unclear,
            Self::NotFound { .. } => Class::NotFound,
            Self::Config { .. } => Class::Config,
            Self::Stuck { .. } => Class::Stuck,
            Self::Fenced { .. } => Class::Fenced,
        }
    }

    pub(super) fn malformed(doing: &str, source: Fault) -> Self {
        Self::Malformed { doing: format!("the answer to {doing}"), source }
    }

    pub(super) fn config(why: impl Into<String>) -> Self {
        Self::Config { why: why.into(), source: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn texts_say_what_was_done_and_what_to_do_and_leave_the_source_to_the_chain() {
        let doing = "POST /steps/24-1/advance".to_owned();
        let message = Some("Not now".to_owned());
        let refused =
            Error::Refused { doing: doing.clone(), status: 400, message, suggested: Some("wait".into()) };
        assert_eq!(
            refused.to_string(),
            "the LIMS refused POST /steps/24-1/advance with 400: Not now; it suggests: wait"
        );
        let silent = Error::Refused { doing: doing.clone(), status: 413, message: None, suggested: None };
        assert_eq!(
            silent.to_string(),
            "the LIMS refused POST /steps/24-1/advance with 413: it gives no reason"
        );
        let malformed = Error::malformed("GET /queues/60", Fault::at(7, "x"));
        assert_eq!(
            malformed.to_string(),
            "the answer to GET /queues/60 cannot be used: it is not what Clarity's API v2 promises; compare it by \
             hand, then report it"
        );
        assert_eq!(malformed.source().unwrap().to_string(), "at byte 7: x");
        let unclear = Error::Unclear { doing, why: "the connection was lost".into(), source: None };
        assert_eq!(
            unclear.to_string(),
            "nobody knows whether the LIMS carried out POST /steps/24-1/advance: the connection was lost; read the \
             state again before repeating it"
        );
        assert_eq!((unclear.class(), refused.class()), (Class::Unclear, Class::Refused));
    }
}
