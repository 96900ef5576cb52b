//! Access events for `tracing`.

use std::fmt;
use std::net::SocketAddr;

use lb_core::{Backend, Escaped};
use tracing::field::{DisplayValue, display};
use tracing::{debug, info};

use super::attempts::AttemptList;
use crate::connection::Connection;
use crate::hooks::{Hooks, Progress, Summary};

/// The `tracing` target of [`TracingEvents`].
pub const ACCESS_TARGET: &str = "lb_proxy::access";

/// Writes a `tracing` event for each session under [`ACCESS_TARGET`]: at its end at `info`, and while it lasts at
/// `debug` if the listener has a [report interval](crate::Listener::report_interval).
///
/// The field `each_attempt` lists the attempts to connect: the backend, the outcome, when the attempt began and how
/// long it took to connect or fail, both in seconds, as in `10.0.0.2:443 failed @0.000052 +0.000241, 10.0.0.1:443
/// connected @0.000301 +0.000633`.
///
/// Costs what the subscriber costs, on the session's task. For a log of its own that never waits, see
#[cfg_attr(feature = "access-events", doc = "[`JsonEvents`](super::JsonEvents).")]
#[cfg_attr(not(feature = "access-events"), doc = "the feature `access-events`.")]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TracingEvents;

impl TracingEvents {
    /// The hooks.
    pub const fn new() -> Self {
        Self
    }
}

impl Hooks for TracingEvents {
    fn progress(&self, connection: &Connection, progress: &Progress<'_>) {
        debug!(
            target: ACCESS_TARGET,
            session = progress.id.get(),
            listener = %connection.listener_endpoint(),
            client.addr = %connection.client_endpoint(),
            proxy_source = proxy_source(connection).map(display),
            server_name = connection.server_name().map(text),
            upstream = progress.upstream.name(),
            backend.addr = %progress.backend.endpoint(),
            backend.name = name(Some(progress.backend)),
            backend.source = source(Some(progress.backend)),
            attempts = progress.attempts.len(),
            each_attempt = AttemptList::of(progress.attempts).map(display),
            elapsed = progress.elapsed.as_secs_f64(),
            bytes_to_backend = progress.bytes_to_backend,
            bytes_to_client = progress.bytes_to_client,
            "Session open"
        );
    }

    fn close(&self, connection: &Connection, summary: &Summary<'_>) {
        let backend = summary.backend;
        info!(
            target: ACCESS_TARGET,
            session = summary.id.get(),
            listener = %connection.listener_endpoint(),
            client.addr = %connection.client_endpoint(),
            peer.addr = %connection.peer_endpoint(),
            proxy_source = proxy_source(connection).map(display),
            server_name = connection.server_name().map(text),
            upstream = summary.upstream.map(|upstream| upstream.name()),
            backend.addr = backend.map(|backend| display(backend.endpoint())),
            backend.name = name(backend),
            backend.source = source(backend),
            attempts = summary.attempts.len(),
            each_attempt = AttemptList::of(summary.attempts).map(display),
            elapsed = summary.elapsed.as_secs_f64(),
            connected_after = summary.connected_after.map(|after| after.as_secs_f64()),
            bytes_to_backend = summary.bytes_to_backend,
            bytes_to_client = summary.bytes_to_client,
            reason = summary.reason.as_str(),
            termination = %summary.termination(),
            "Session ended"
        );
    }
}

/// The source in a trusted PROXY header.
fn proxy_source(connection: &Connection) -> Option<SocketAddr> {
    let addresses = connection.proxy_header()?.addresses?;
    Some(addresses.source)
}

/// Text from outside, as a field.
fn text(text: &str) -> DisplayValue<Escaped<&str>> {
    display(Escaped(text))
}

fn name(backend: Option<&Backend>) -> Option<impl tracing::Value + fmt::Debug> {
    backend?.name.as_deref().map(text)
}

fn source(backend: Option<&Backend>) -> Option<impl tracing::Value + fmt::Debug> {
    backend?.source.as_deref().map(text)
}
