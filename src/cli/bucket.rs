//! The bucket, for commands that look into it: a client of their own, on a runtime of their own.
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::Exit;
use crate::chain;
use crate::conf::Conf;
use crate::disk::Disks;
use crate::hashing::Hashing;
use crate::store::{Store, StoreError};

/// For a small object: somebody waits at a terminal.
const PATIENCE: Duration = Duration::from_secs(60);

/// The configured bucket.
pub(super) struct Bucket {
    runtime: Runtime,
    /// The client; its answers are waited for with [`Bucket::wait`].
    pub store: Store,
}

impl Bucket {
    /// Prepares a client; nothing is sent yet.
    pub fn open(conf: &Conf) -> Result<Self, Exit> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|e| Exit::temporary(format!("could not start: {e}")))?;
        let disks = Disks::new(1, conf.work.disk_patience, Arc::new(|_, _, _| {}));
        let secrets = conf.store.header_files.values().next().and_then(|file| file.parent());
        let secrets = disks.at("secrets", secrets.unwrap_or(&conf.state_dir)).map_err(Exit::temporary)?;
        let hashing = Hashing::start(1).map_err(|e| Exit::temporary(format!("could not start: {e}")))?;
        let entered = runtime.enter();
        let store = Store::new(&conf.store, secrets, hashing).map_err(|e| Exit::config(chain(&e)))?;
        drop(entered);
        Ok(Self { runtime, store })
    }

    /// Waits for an answer.
    pub fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }

    /// A small object; none: it is not there.
    pub fn get(&self, key: &str, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let answer = async {
            let late = || StoreError::Outage {
                what: "answer",
                why: format!("{key} did not come within {PATIENCE:?}"),
            };
            tokio::time::timeout(PATIENCE, self.store.get_small(key, max))
                .await
                .unwrap_or_else(|_| Err(late()))
        };
        match self.wait(answer) {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(StoreError::NotFound(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }
}
