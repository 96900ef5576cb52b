//! The lines of a log that tell of failures.

use std::fmt::Display;
use std::net::SocketAddr;

use lb_core::Escaped;
use tracing::field::display;
use tracing::{error, warn};

use super::{Blame, Failure, Kind, Pause};
use crate::hooks::CloseReason;

/// The `tracing` target of the reports on clients that get no service, so that a program can send them to a log of
/// their own or raise their level. They are at `error` where an upstream has no backend left, at `warn` otherwise.
pub const FAILURES_TARGET: &str = "lb_proxy::failures";

/// Writes of `count` failures of one kind. The rest is about one of them.
pub(super) fn report(
    kind: &Kind,
    count: u64,
    client: Option<SocketAddr>,
    backend: Option<SocketAddr>,
    error: Option<&dyn Display>,
) {
    let listener = kind.listener.map(display);
    let upstream = kind.upstream.as_deref();
    let (client, backend) = (client.map(display), backend.map(display));
    let error = error.map(|error| display(Escaped(error)));
    match kind.failure {
        Failure::Accept(pause) => {
            let reason = match pause {
                Pause::Rate => "rate of new connections",
                Pause::Sessions => "all sessions in use",
                Pause::Shortage => "no descriptor or memory",
            };
            warn!(target: FAILURES_TARGET, listener, pauses = count, reason, error, "Accepting paused");
        }
        Failure::Connect(blame) => {
            let reason = match blame {
                Blame::Backend => "refused or unreachable",
                Blame::Local => "no source address or port",
                Blame::Loop => "loop",
                Blame::Shortage => "no descriptor or memory",
                Blame::Timeout => "time-out",
            };
            warn!(target: FAILURES_TARGET, upstream, attempts = count, reason, backend.addr = backend, error, "Attempts to connect failed");
        }
        Failure::Client(CloseReason::NoBackend) => {
            error!(target: FAILURES_TARGET, listener, upstream, clients = count, client.addr = client, error, "Clients without a backend");
        }
        Failure::Client(CloseReason::BackendReset) => {
            warn!(target: FAILURES_TARGET, upstream, sessions = count, client.addr = client, backend.addr = backend, "Sessions reset by backends");
        }
        Failure::Client(reason) => {
            let reason = words_for(reason);
            warn!(target: FAILURES_TARGET, listener, upstream, clients = count, reason, client.addr = client, error, "Clients refused");
        }
    }
}

/// The reason in the words of a log.
const fn words_for(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::AccessDenied => "address denied",
        CloseReason::ClientRate => "rate of this client",
        CloseReason::ClientSessions => "sessions of this client",
        CloseReason::ClientZoneFull => "zone of clients full",
        CloseReason::Preread => "first bytes wrong",
        CloseReason::PrereadTimeout => "first bytes too late",
        CloseReason::QueueFull => "queue full",
        CloseReason::QueueTimeout => "queue too slow",
        CloseReason::Rate => "rate of new connections",
        CloseReason::Sessions => "all sessions in use",
        _ => "refused by a hook",
    }
}
