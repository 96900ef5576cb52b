//! File reads with a time limit, for a caller without a runtime.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::error::DiscoveryError;
use crate::file_io::reader::hung;

/// Runs `work` on a thread of its own, and fails if it takes longer than `limit`.
///
/// The thread has the user and the groups of the calling one. A thread that blocks for longer is left running, and does
/// not prevent the process from ending.
pub(crate) fn read_blocking<T: Send + 'static>(
    what: &str,
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, DiscoveryError> {
    let (done, waiting) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name("reader".to_owned());
    let started = thread.spawn(move || {
        // The caller may have stopped waiting.
        let _ = done.send(work());
    });
    let unavailable = |problem: &str| DiscoveryError::Unavailable {
        what: what.into(),
        problem: problem.into(),
        source: None,
    };
    started.map_err(|error| unavailable(&format!("no thread to read with: {error}")))?;
    waiting.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => hung(what, limit),
        RecvTimeoutError::Disconnected => unavailable("the thread that read panicked"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_without_a_runtime_ends_in_time() {
        let (go_on, hang) = mpsc::channel::<()>();
        let short = Duration::from_millis(50);
        let hung = read_blocking("reading x", short, move || hang.recv());
        let error = hung.unwrap_err().to_string();
        assert!(
            error.starts_with("reading x: not read within 50ms"),
            "{error}"
        );
        drop(go_on);
        let long = Duration::from_secs(30);
        assert_eq!(read_blocking("reading x", long, || 1).unwrap(), 1);
    }
}
