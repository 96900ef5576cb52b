//! The signals of a shutdown.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Notifies the accept loops, the workers and the sessions of a server to end, and waits for them.
#[derive(Clone, Debug)]
pub(crate) struct ShutdownSignals {
    /// Everything ends now.
    pub(crate) abort: CancellationToken,
    /// The shutdown has begun; a child of `abort`.
    pub(crate) leave: CancellationToken,
    /// The accept loops end; a child of `abort`.
    pub(crate) stop: CancellationToken,
    /// The accept loops of all workers.
    pub(crate) accepting: TaskTracker,
    /// All workers. A worker ends with its last session.
    pub(crate) working: TaskTracker,
}

impl ShutdownSignals {
    pub(crate) fn new() -> Self {
        let abort = CancellationToken::new();
        Self {
            leave: abort.child_token(),
            stop: abort.child_token(),
            abort,
            accepting: TaskTracker::new(),
            working: TaskTracker::new(),
        }
    }
}
