//! Tasks of the control thread.

/// A task of the control thread: that of a signal, or of an event of an upgrade.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Task {
    Reload,
    Reopen,
    /// SIGUSR2: start the new binary.
    Upgrade,
    /// SIGWINCH: stop accepting.
    Pause,
    /// The process of the new binary accepts.
    SuccessorReady,
    /// It begins to end.
    SuccessorLeaves,
    SuccessorEnded,
    /// The process of the old binary knows that this one accepts, or has ended.
    PredecessorCommitted,
    PredecessorEnded,
}
