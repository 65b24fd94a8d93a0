//! `/healthz`: does the process live? `/readyz`: does it work? Codes and actors only: these answers go into other people's monitoring,
//! and texts of errors may hold names of packages.
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use serde_json::json;

use super::Known;
use super::openapi::answer;
use super::problem::json_answer;
use super::routes::{Route, SERVER};
use crate::snapshot::Snapshot;

/// A main thread that is silent for longer does not live.
pub(super) const SILENT: Duration = Duration::from_secs(10);

/// Why it does not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hindrance {
    /// `starting`, `silent`, `stopping`, `given-up`, `down` or `degraded`.
    pub code: &'static str,
    /// Who, if it is an actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// For so long.
    pub seconds: u64,
    /// What to do.
    pub what_to_do: &'static str,
}

/// Everything that keeps it from working; nothing if it works.
pub(super) fn hindrances(snapshot: Option<&Snapshot>, silence: Duration) -> Vec<Hindrance> {
    let of = |code, what_to_do| Hindrance { code, actor: None, seconds: silence.as_secs(), what_to_do };
    let mut found = Vec::new();
    if silence >= SILENT {
        found.push(of("silent", "its main thread hangs; it ends by itself, or is killed and started again"));
    }
    let Some(snapshot) = snapshot else {
        found.push(of("starting", "wait; if it stays so, look into its log"));
        return found;
    };
    if let Some(stopping) = &snapshot.stopping {
        let seconds = u64::try_from(snapshot.at.duration_since(stopping.since).as_secs()).unwrap_or(0);
        found.push(Hindrance { seconds, ..of("stopping", "wait until it has ended") });
    }
    for one in &snapshot.actors {
        let by = |code, seconds, what_to_do| Hindrance {
            code,
            actor: Some(one.actor.clone()),
            seconds,
            what_to_do,
        };
        if one.state == "given up" {
            let cure = "`tsd-import review` tells why; mend that, stop the daemon and start it again";
            found.push(by("given-up", one.since_secs, cure));
        } else if !one.up && snapshot.stopping.is_none() {
            found.push(by(
                "down",
                one.since_secs,
                "wait: it is restarted; if it stays so, see `tsd-import review`",
            ));
        } else if one.report.degraded.is_some() {
            let seconds = one.report.degraded_secs.unwrap_or(0);
            found.push(by(
                "degraded",
                seconds,
                "`tsd-import status` says what is out of order; it goes on by itself",
            ));
        }
    }
    found
}

/// The route.
pub(super) fn healthz() -> Route {
    let schema = json!({
        "type": "object", "required": ["alive", "silent_seconds", "role", "host", "version"],
        "properties": {
            "alive": {"type": "boolean"}, "silent_seconds": {"type": "number"}, "role": {"enum": ["nsc", "tsd"]},
            "host": {"type": "string"}, "version": {"type": "string"},
        },
    });
    Route {
        path: "/healthz",
        method: "get",
        says: json!({
            "summary": "Whether the process lives: it answers, and its main thread did within the last 10 s", "operationId": "healthz",
            "responses": {
                "200": answer("It lives", "application/json", &schema),
                "503": answer("Its main thread hangs", "application/json", &schema),
            },
        }),
        answers: get(alive),
    }
}

async fn alive(State(known): State<Known>) -> Response {
    let silence = known.silence();
    let alive = silence < SILENT;
    let status = if alive { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let (role, version) = (known.role().as_str(), SERVER);
    json_answer(
        status,
        json!({"alive": alive, "silent_seconds": silence.as_secs_f64(), "role": role, "host": known.host(), "version": version}),
    )
}

/// The route.
pub(super) fn readyz() -> Route {
    let schema = json!({
        "type": "object", "required": ["ready", "reasons"],
        "properties": {
            "ready": {"type": "boolean"},
            "reasons": {"type": "array", "items": {
                "type": "object", "required": ["code", "seconds", "what_to_do"],
                "properties": {
                    "code": {"enum": ["starting", "silent", "stopping", "given-up", "down", "degraded"]},
                    "actor": {"type": "string"}, "seconds": {"type": "integer"}, "what_to_do": {"type": "string"},
                },
            }},
        },
    });
    Route {
        path: "/readyz",
        method: "get",
        says: json!({
            "summary": "Whether it works: all actors up, none degraded, not stopping", "operationId": "readyz",
            "responses": {
                "200": answer("It works", "application/json", &schema),
                "503": answer("It does not, and why", "application/json", &schema),
            },
        }),
        answers: get(ready),
    }
}

async fn ready(State(known): State<Known>) -> Response {
    let reasons = hindrances(known.snapshot().as_deref(), known.silence());
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json_answer(status, json!({"ready": reasons.is_empty(), "reasons": reasons}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::snapshot::Stopping;
    use crate::supervisor::{ChildStatus, Report};

    fn actor(name: &str, up: bool, state: &str, degraded: Option<&str>) -> ChildStatus {
        let report = Report {
            degraded: degraded.map(str::to_owned),
            degraded_secs: degraded.map(|_| 42),
            ..Report::default()
        };
        ChildStatus {
            actor: name.into(),
            up,
            state: state.into(),
            since_secs: 7,
            report,
            ..ChildStatus::default()
        }
    }

    fn codes(snapshot: Option<&Snapshot>, silence: u64) -> Vec<(&'static str, Option<String>, u64)> {
        let found = hindrances(snapshot, Duration::from_secs(silence));
        found.into_iter().map(|h| (h.code, h.actor, h.seconds)).collect()
    }

    #[test]
    fn what_keeps_it_from_working_is_named_by_code_and_actor() {
        assert_eq!(codes(None, 3), [("starting", None, 3)]);
        let mut seen = Snapshot::empty(clock::now());
        seen.actors = vec![actor("poller", true, "up", None)];
        assert_eq!(codes(Some(&seen), 1), []);
        assert_eq!(codes(Some(&seen), 10), [("silent", None, 10)]);
        seen.actors.push(actor("packager", false, "given up", None));
        seen.actors.push(actor(
            "uploader",
            true,
            "up",
            Some("no answer about samples/Diag-wgs1-HG12345677/r1"),
        ));
        seen.actors.push(actor("other", false, "down", None));
        let expected = [
            ("given-up", Some("packager".to_owned()), 7),
            ("degraded", Some("uploader".to_owned()), 42),
            ("down", Some("other".to_owned()), 7),
        ];
        assert_eq!(codes(Some(&seen), 1), expected);
        let told = serde_json::to_string(&hindrances(Some(&seen), Duration::ZERO)).unwrap();
        assert!(!told.contains("HG1"), "{told}");
        seen.actors = vec![actor("poller", false, "down", None)];
        seen.stopping = Some(Stopping { since: seen.at, why: "SIGTERM".into(), late: vec![], left_secs: 9 });
        assert_eq!(codes(Some(&seen), 1), [("stopping", None, 0)], "who has left already is not missed");
    }
}
