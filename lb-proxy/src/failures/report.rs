//! The log messages of failures.

use std::fmt::Display;
use std::net::SocketAddr;

use lb_core::{Endpoint, Escaped};
use tracing::field::display;
use tracing::{error, warn};

use super::kind::{AcceptPause, ConnectFailure, Failure, FailureKind};
use crate::close_reason::CloseReason;
use crate::net::unix::ShownClient;

/// The `tracing` target of the reports of refused clients and failed connections.
///
/// A program can route the target to a log of its own, or filter it. Reports are at `error` if an upstream has no backend
/// left or code of the embedder panics, at `warn` otherwise.
pub const FAILURES_TARGET: &str = "lb_proxy::failures";

/// The `tracing` target of the reports that accepting pauses, at `warn`.
///
/// It is below [`FAILURES_TARGET`], so that a filter of that target applies to it as well unless it has one of its own.
pub const ACCEPT_TARGET: &str = "lb_proxy::failures::accept";

/// The `tracing` target of requests that the admin server refuses: they are no clients of the proxy.
#[cfg(feature = "admin")]
const ADMIN_TARGET: &str = "lb_proxy::admin";

/// Logs `count` failures of one kind. The other arguments describe one of them.
pub(super) fn report(
    kind: &FailureKind,
    count: u64,
    client: Option<SocketAddr>,
    backend: Option<Endpoint>,
    error: Option<&dyn Display>,
) {
    let listener = kind.listener.as_ref().map(display);
    let upstream = kind.upstream.as_deref();
    let client = client.map(|client| display(ShownClient(client)));
    let backend = backend.map(display);
    let error = error.map(|error| display(Escaped(error)));
    match kind.failure {
        Failure::Accept(pause) => {
            let reason = match pause {
                AcceptPause::Rate => "rate of new connections",
                AcceptPause::Sessions => "all sessions in use",
                AcceptPause::Shortage => "no descriptor or memory",
            };
            warn!(target: ACCEPT_TARGET, listener, pauses = count, reason, error, "Accepting paused");
        }
        #[cfg(feature = "admin")]
        Failure::Admin(reason) => {
            warn!(target: ADMIN_TARGET, listener, requests = count, reason, client.addr = client, error, "Admin requests refused");
        }
        Failure::Connect(failure) => {
            let reason = match failure {
                ConnectFailure::Backend => "refused or unreachable",
                ConnectFailure::Local => "no source address or port",
                ConnectFailure::Loop => "loop",
                ConnectFailure::Shortage => "no descriptor or memory",
                ConnectFailure::Timeout => "time-out",
            };
            warn!(target: FAILURES_TARGET, upstream, attempts = count, reason, backend.addr = backend, error, "Attempts to connect failed");
        }
        Failure::Panic(code) => {
            error!(target: FAILURES_TARGET, listener, upstream, panics = count, code, client.addr = client, error, "Code of the embedder panicked");
        }
        Failure::Client(CloseReason::NoBackend) => {
            error!(target: FAILURES_TARGET, listener, upstream, clients = count, client.addr = client, error, "Clients without a backend");
        }
        Failure::Client(CloseReason::BackendReset) => {
            warn!(target: FAILURES_TARGET, upstream, sessions = count, client.addr = client, backend.addr = backend, "Sessions reset by backends");
        }
        Failure::Client(reason) => {
            let reason = shown(reason);
            warn!(target: FAILURES_TARGET, listener, upstream, clients = count, reason, client.addr = client, error, "Clients refused");
        }
    }
}

/// The reason as the log shows it.
const fn shown(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::AccessDenied => "address denied",
        CloseReason::ClientRate => "rate of this client",
        CloseReason::ClientSessions => "sessions of this client",
        CloseReason::ClientZoneFull => "zone of clients full",
        CloseReason::Preread => "first bytes wrong",
        CloseReason::PrereadTimeout => "first bytes too late",
        CloseReason::QueueFull => "queue full",
        CloseReason::QueueTimeout => "queue too slow",
        CloseReason::RouteRefused => "refused by the route",
        CloseReason::Rate => "rate of new connections",
        CloseReason::Sessions => "all sessions in use",
        _ => "refused by a hook",
    }
}
