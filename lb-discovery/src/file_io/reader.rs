//! File reads with a time limit, on blocking threads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::error::DiscoveryError;

/// Reads files on a blocking thread, with a time limit.
///
/// A thread that reads from an unresponsive file system cannot be cancelled. So the next read waits for the thread
/// instead of taking another one: otherwise every attempt would occupy one more.
#[derive(Clone, Debug)]
pub(crate) struct FileReader {
    turn: Arc<Semaphore>,
    limit: Duration,
}

impl FileReader {
    pub(crate) fn new(turn: &Arc<Semaphore>, limit: Duration) -> Self {
        Self {
            turn: Arc::clone(turn),
            limit,
        }
    }

    /// Runs `work` on a blocking thread, and fails if it takes longer than the limit.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, DiscoveryError> {
        let turn = Arc::clone(&self.turn);
        let done = async {
            let turn = turn.acquire_owned().await;
            let working = spawn_blocking(move || {
                let done = work();
                drop(turn);
                done
            });
            working.await
        };
        match timeout(self.limit, done).await {
            Ok(Ok(done)) => Ok(done),
            // The runtime is shutting down.
            Ok(Err(error)) => Err(DiscoveryError::Unavailable {
                what: what.into(),
                problem: error.to_string().into(),
                source: None,
            }),
            Err(_) => Err(hung(what, self.limit)),
        }
    }
}

pub(crate) fn hung(what: &str, limit: Duration) -> DiscoveryError {
    DiscoveryError::Timeout {
        what: what.into(),
        problem: format!("not read within {limit:?}: does a file system hang?").into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_blocked_read_takes_one_thread() {
        let turn = Arc::new(Semaphore::new(1));
        let hasty = FileReader::new(&turn, Duration::from_millis(50));
        let (go_on, hang) = mpsc::channel::<()>();
        let hung = hasty.read("reading x", move || hang.recv()).await;
        let error = hung.unwrap_err().to_string();
        assert!(
            error.starts_with("reading x: not read within 50ms"),
            "{error}"
        );
        for _ in 0..3 {
            let waits = hasty.read("reading x", || panic!("begun while the first one hangs"));
            assert!(waits.await.is_err());
        }
        drop(go_on);
        let patient = FileReader::new(&turn, Duration::from_secs(30));
        assert_eq!(patient.read("reading x", || 1).await.unwrap(), 1);
    }
}
