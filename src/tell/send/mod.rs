//! One message through one channel: mail, webhook or command. An attempt has a deadline, and what is said of one that failed holds no secret.
mod command;
mod mail;
mod webhook;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;

use super::letter::Letter;
use crate::chain;
use crate::conf::{ChannelConf, Via};
use crate::secret::Secret;

/// What a channel reads, one file at a time: on a disk that hangs one thread waits, however many attempts there are.
#[derive(Clone, Default)]
pub struct Files(Arc<Mutex<()>>);

impl Files {
    async fn read<T: Send + 'static>(
        &self,
        path: &Path,
        read: impl FnOnce(&Path) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let path = path.to_owned();
        let Ok(turn) = self.0.clone().try_lock_owned() else {
            return Err(format!("{} is still being read: does its disk answer?", path.display()));
        };
        let reading = tokio::task::spawn_blocking(move || {
            let _until_it_is_read = turn;
            read(&path)
        });
        reading.await.unwrap_or_else(|fell| Err(fell.to_string()))
    }

    async fn secret(&self, path: &Path) -> Result<Secret, String> {
        self.read(path, |path| Secret::from_file(path).map_err(|e| chain(&e))).await
    }

    async fn bytes(&self, path: &Path) -> Result<Vec<u8>, String> {
        let read =
            |path: &Path| std::fs::read(path).map_err(|e| format!("could not read {}: {e}", path.display()));
        self.read(path, read).await
    }
}

/// Sends it; `Err` says why not, in words for an operator.
pub async fn send(channel: &ChannelConf, letter: &Letter, files: &Files) -> Result<(), String> {
    let sending = async {
        fail::fail_point!("tell-send", |why| Err(why.unwrap_or_default()));
        match &channel.via {
            Via::Mail { through, from, to } => {
                mail::send(through, from, to, letter, channel.deadline, files).await
            }
            Via::Webhook { url_file, token_file, ca_file, format } => {
                let place = webhook::Place {
                    url_file,
                    token_file: token_file.as_deref(),
                    ca_file: ca_file.as_deref(),
                };
                webhook::send(&place, *format, letter, channel.deadline, files).await
            }
            Via::Command { program, args } => {
                let text = serde_json::to_vec(letter).map_err(|e| e.to_string())?;
                command::run(program, args, text).await
            }
        }
    };
    let late = |limit: Duration| format!("no end within {limit:?} (deadline)");
    timeout(channel.deadline, sending).await.unwrap_or_else(|_| Err(late(channel.deadline)))
}
