//! How a running daemon is asked: HTTP/1 over a Unix socket, and over a port of the loopback where that is configured.
//!
//! It runs on the shared runtime beside the supervisor, so it answers while the main thread is blocked, and it never holds the
//! work up: answers come from the last snapshot and from short looks at the journal's present, connections, sizes and times are
//! bounded, and whatever falls in here is begun again and ends nobody else.
//!
//! - [`known`] is what handlers are lent; [`routes`] is the table of all routes, from which the router and the description
//!   (`/v1/openapi.json`) are made, so neither can know more than the other. A new route is one line there and one file.
//! - [`doors`] opens socket and port; [`serve`] bounds what goes on behind them; [`guard`] (pure) decides who may come in.
//! - [`metrics`] are the numbers; labels never hold the name of a package.
//! - [`web`] is the page for a browser, made of the same answers; [`history`] is what its charts show.
//! - [`client`] is the other end, for commands.
mod acts;
mod answers;
pub mod client;
mod doors;
mod events;
mod guard;
mod health;
mod history;
mod known;
pub mod metrics;
mod openapi;
mod problem;
mod routes;
mod serve;
mod snapshots;
mod web;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::acts::Acts;
use crate::conf::Conf;
use crate::journal::Journal;
use crate::notices::Notices;
use crate::snapshot::Snapshot;
use crate::supervisor::meter::Board;
use crate::supervisor::panic_text;
pub use known::Known;
use metrics::areas;
pub use openapi::document;

/// Before a part that fell or could not begin is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// What it is lent by the daemon.
pub struct Control {
    /// As configured.
    pub conf: Conf,
    /// The truth.
    pub journal: Journal,
    /// What is moving.
    pub board: Board,
    /// What the supervisor said last.
    pub latest: watch::Receiver<Option<Arc<Snapshot>>>,
    /// The way to whoever does what people want.
    pub acts: Acts,
    /// Where it says what it cannot do.
    pub notices: Notices,
}

impl Control {
    /// Answers until aborted. It never ends by itself, and never makes the daemon end.
    pub async fn keep(self) {
        let Self { conf, journal, board, latest, acts, notices } = self;
        let known = Known::new(&conf, journal, board, latest, acts);
        let mut parts = JoinSet::new(); // they end with us
        let beat = known.clone();
        let _part = parts.spawn(forever("the beat", move || beat.clone().follow()));
        let kept = known.clone();
        let _part = parts.spawn(forever("the history", move || history::keep(kept.clone())));
        for area in areas::of(&conf) {
            let seen = known.areas().clone();
            let _part = parts.spawn(forever("an area", move || areas::keep(area.clone(), seen.clone())));
        }
        let desk = serve::Desk { known: known.clone(), router: routes::router(&known) };
        let (path, lent, said) = (conf.control.socket.clone(), desk.clone(), notices.clone());
        let socket = move || serve::socket(path.clone(), lent.clone(), said.clone());
        let _part = parts.spawn(forever("the control socket", socket));
        if let Some((at, token_file)) = conf.control.listen.zip(conf.control.token_file) {
            let said = notices.clone();
            let port = move || serve::port(at, token_file.clone(), desk.clone(), said.clone());
            let _part = parts.spawn(forever("the control port", port));
        }
        if let Some(path) = conf.control.textfile {
            let written = move || metrics::textfile::keep(path.clone(), known.clone(), notices.clone());
            let _part = parts.spawn(forever("the metrics file", written));
        }
        while parts.join_next().await.is_some() {}
    }
}

/// Does it again when it ends or falls: what only shows is no reason to end what works.
async fn forever<F: Future<Output = ()>>(what: &'static str, part: impl Fn() -> F) {
    loop {
        if let Err(panic) = std::panic::AssertUnwindSafe(part()).catch_unwind().await {
            let text = panic_text(&*panic);
            tracing::error!(
                what,
                text,
                "a part that answers questions fell; the work goes on and it is begun again"
            );
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests;
