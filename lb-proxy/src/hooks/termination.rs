//! HAProxy's two letters for the end of a session.

use std::fmt;

use super::attempt::AttemptOutcome;
use super::refusal::{PrereadFailure, RefusalDetail};
use super::summary::{Side, Summary};
use crate::close_reason::CloseReason;
use crate::live_sessions::SessionPhase;
use crate::no_backend_cause::NoBackendCause;

/// HAProxy's two letters for the end of a session, its `termination_state`: what ended it first, and at which step.
///
/// | [`CloseReason`] | letters | HAProxy's meaning, or the nearest one |
/// |---|---|---|
/// | `Finished` | `--` | both sides ended as they should |
/// | `Responded` | `LR` | the proxy answered by itself |
/// | `AccessDenied`, `Refused`, `RouteRefused` | `PR` | a rule denied the client |
/// | `ClientRate`, `ClientSessions`, `ClientZoneFull`, `Rate`, `Sessions` | `PR` | HAProxy's `tcp-request` rules do the same; its `maxconn` lets clients wait |
/// | `Preread` | `PR` | the first bytes were invalid |
/// | | `CR` | the client left before they were complete |
/// | `PrereadTimeout` | `cR` | the first bytes did not come in time |
/// | `ClientGone` | `CR`, `CQ`, `CC` | the client left during the choice, in the queue, during an attempt |
/// | `QueueTimeout` | `sQ` | no backend became free in time |
/// | `QueueFull` | `PQ` | nearest: HAProxy's queue of a proxy has no bound |
/// | `NoBackend` | `SC` | the last attempt was refused, or there was no backend |
/// | | `sC` | the last attempt timed out, or the time for all attempts was over |
/// | | `RC` | the last attempt failed for want of something on this machine |
/// | `ClientReset` | `CD`, `CL` | the client reset its connection; `L` if the backend had ended before |
/// | | `CR` | while it got a fixed response |
/// | `AddressLost` | `CD`, `CL` | nearest: HAProxy's `tcp-ut` ends such a connection |
/// | `BackendReset` | `SD` | the backend reset its connection |
/// | `FirstByteTimeout`, `IdleTimeout` | `cD` | nearest: both sides were silent, and HAProxy reports the client's time-out, which it checks first |
/// | | `cR` | the client does not read a fixed response |
/// | `HalfClosedTimeout` | `sD` | the client had ended, the backend fell silent |
/// | | `cL` | the backend had ended, the client fell silent |
/// | `MaxAge` | `PD` | nearest: the proxy ended it; HAProxy has no limit of age |
/// | `BackendRemoved` | `DD` | nearest: HAProxy removes no server with sessions |
/// | `BackendUnhealthy` | `DD` | the server went down, and its sessions are ended |
/// | `Panicked` | `IR`, `IQ`, `IC`, `ID`, `IL` | an internal error at this step |
/// | `Aborted`, `Operator` | `KR`, `KQ`, `KC`, `KD`, `KL` | a shutdown or an operator ended it at this step |
///
/// HAProxy's `U` (an active server is back), `H` (HTTP headers) and `T` (tarpit) do not occur.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TerminationCode {
    cause: char,
    step: char,
}

impl TerminationCode {
    /// The first letter: what ended the session.
    pub const fn cause(self) -> char {
        self.cause
    }

    /// The second letter: the step at which it ended.
    pub const fn step(self) -> char {
        self.step
    }

    pub(super) fn of(summary: &Summary<'_>) -> Self {
        let (cause, step) = match summary.reason {
            CloseReason::Finished => ('-', '-'),
            CloseReason::Responded => ('L', 'R'),
            CloseReason::AccessDenied
            | CloseReason::ClientRate
            | CloseReason::ClientSessions
            | CloseReason::ClientZoneFull
            | CloseReason::Rate
            | CloseReason::Refused
            | CloseReason::RouteRefused
            | CloseReason::Sessions => ('P', 'R'),
            CloseReason::Preread => (preread_cause(summary.refusal), 'R'),
            CloseReason::PrereadTimeout => ('c', 'R'),
            CloseReason::QueueTimeout => ('s', 'Q'),
            CloseReason::QueueFull => ('P', 'Q'),
            CloseReason::NoBackend => (connect_cause(summary), 'C'),
            CloseReason::AddressLost | CloseReason::ClientGone | CloseReason::ClientReset => {
                ('C', step(summary))
            }
            CloseReason::BackendReset => ('S', 'D'),
            CloseReason::FirstByteTimeout | CloseReason::IdleTimeout => match summary.phase {
                SessionPhase::Responding => ('c', 'R'),
                _ => ('c', 'D'),
            },
            CloseReason::HalfClosedTimeout => match summary.first_end() {
                Some(Side::Backend) => ('c', 'L'),
                _ => ('s', 'D'),
            },
            CloseReason::MaxAge => ('P', 'D'),
            CloseReason::BackendRemoved | CloseReason::BackendUnhealthy => ('D', 'D'),
            CloseReason::Aborted | CloseReason::Operator => ('K', step(summary)),
            CloseReason::Panicked => ('I', step(summary)),
        };
        Self { cause, step }
    }
}

fn preread_cause(refusal: Option<&RefusalDetail>) -> char {
    match refusal {
        Some(RefusalDetail::Preread(refusal)) => match refusal.failure {
            PrereadFailure::Ended | PrereadFailure::Socket(_) => 'C',
            PrereadFailure::Timeout => 'c',
            PrereadFailure::Invalid | PrereadFailure::TooLong => 'P',
        },
        _ => 'P',
    }
}

fn connect_cause(summary: &Summary<'_>) -> char {
    let last = summary.attempts.last().map(|attempt| attempt.outcome);
    match (last, summary.refusal) {
        (Some(AttemptOutcome::Timeout), _)
        | (_, Some(RefusalDetail::NoBackend(NoBackendCause::Deadline))) => 's',
        (Some(AttemptOutcome::Local), _) => 'R',
        _ => 'S',
    }
}

/// The letter of the step at which the session ended.
fn step(summary: &Summary<'_>) -> char {
    match summary.phase {
        SessionPhase::Preread | SessionPhase::Responding => 'R',
        SessionPhase::Queued => 'Q',
        SessionPhase::Connecting => 'C',
        SessionPhase::Relaying | SessionPhase::Closing => match summary.first_end() {
            Some(Side::Backend) => 'L',
            _ => 'D',
        },
    }
}

/// As it displays.
#[cfg(feature = "serde")]
impl serde::Serialize for TerminationCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for TerminationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.cause, self.step)
    }
}

#[cfg(test)]
mod tests;
