//! The way to whoever performs acts inside a daemon: a short queue with answers.
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{Answer, Request};

/// Requests that wait; more are refused.
const QUEUE: usize = 16;

/// A request, and where its answer goes. `Err`: there is none, and why.
pub type Asked = (Request, oneshot::Sender<Result<Answer, String>>);

/// The way to the desk; clones share it.
#[derive(Clone, Debug)]
pub struct Acts(mpsc::Sender<Asked>);

/// The way, and its end.
pub fn queue() -> (Acts, mpsc::Receiver<Asked>) {
    let (acts, end) = mpsc::channel(QUEUE);
    (Acts(acts), end)
}

impl Acts {
    /// Has a request done. `Err`: there is no answer, and why.
    pub async fn ask(&self, request: Request, within: Duration) -> Result<Answer, String> {
        let (tell, told) = oneshot::channel();
        let full = |e: mpsc::error::TrySendError<Asked>| match e {
            mpsc::error::TrySendError::Full(_) => "too many requests wait already: ask again".to_owned(),
            mpsc::error::TrySendError::Closed(_) => "the daemon is on its way out".to_owned(),
        };
        self.0.try_send((request, tell)).map_err(full)?;
        match timeout(within, told).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err("the daemon is on its way out".into()),
            Err(_) => Err(format!("no answer within {within:?}; the journal tells whether it was done")),
        }
    }
}
