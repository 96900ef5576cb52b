//! The fields of an event as JSON has them. `docs/access-events.md` documents them: they stay as they are.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lb_core::{Backend, Endpoint};
use serde::{Serialize, Serializer};

use super::attempts::last_attempts;
use crate::connection::Connection;
use crate::hooks::{AttemptReport, Progress, RefusalDetail, Summary};

/// The longest text from outside, in bytes. A longer one is cut.
const MAX_TEXT: usize = 256;

#[derive(Serialize)]
pub(super) struct Record<'a> {
    event: &'static str,
    time: f64,
    session: u64,
    #[serde(serialize_with = "shown")]
    listener: Endpoint,
    #[serde(serialize_with = "shown")]
    local: Endpoint,
    #[serde(serialize_with = "shown")]
    peer: Endpoint,
    #[serde(serialize_with = "shown")]
    client: Endpoint,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy_source: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy_destination: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a str>,
    #[serde(flatten)]
    backend: Option<BackendRecord<'a>>,
    attempts: Vec<AttemptRecord<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    attempts_omitted: usize,
    elapsed: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_after: Option<Seconds>,
    bytes_from_client: u64,
    bytes_to_backend: u64,
    bytes_to_client: u64,
    #[serde(flatten)]
    end: Option<EndRecord<'a>>,
}

#[derive(Serialize)]
struct BackendRecord<'a> {
    #[serde(serialize_with = "shown")]
    backend: Endpoint,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_source: Option<&'a str>,
}

#[derive(Serialize)]
struct AttemptRecord<'a> {
    #[serde(flatten)]
    backend: BackendRecord<'a>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    began_after: Option<Seconds>,
    elapsed: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_after: Option<Seconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_after: Option<Seconds>,
    bytes_sent: u64,
    bytes_received: u64,
}

/// What only a session that has ended has.
#[derive(Serialize)]
struct EndRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ended_after: Option<Seconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_ended_after: Option<Seconds>,
    reason: &'static str,
    phase: &'static str,
    termination: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
}

impl<'a> Record<'a> {
    pub(super) fn of_progress(connection: &'a Connection, progress: &Progress<'a>) -> Self {
        Self {
            upstream: Some(cut(progress.upstream.name())),
            backend: Some(BackendRecord::of(progress.backend)),
            connected_after: Some(Seconds(progress.connected_after)),
            bytes_from_client: progress.bytes_from_client,
            bytes_to_backend: progress.bytes_to_backend,
            bytes_to_client: progress.bytes_to_client,
            ..Self::new(
                "progress",
                progress.id.get(),
                connection,
                progress.attempts,
                progress.elapsed,
            )
        }
    }

    pub(super) fn of_end(connection: &'a Connection, summary: &Summary<'a>) -> Self {
        Self {
            upstream: summary.upstream.map(|upstream| cut(upstream.name())),
            backend: summary.backend.map(BackendRecord::of),
            connected_after: summary.connected_after.map(Seconds),
            bytes_from_client: summary.bytes_from_client,
            bytes_to_backend: summary.bytes_to_backend,
            bytes_to_client: summary.bytes_to_client,
            end: Some(EndRecord::of(summary)),
            ..Self::new(
                "close",
                summary.id.get(),
                connection,
                summary.attempts,
                summary.elapsed,
            )
        }
    }

    /// What every event has.
    fn new(
        event: &'static str,
        session: u64,
        connection: &'a Connection,
        attempts: &'a [AttemptReport],
        elapsed: Duration,
    ) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let header = connection.proxy_header();
        let addresses = header.and_then(|header| header.addresses);
        let (omitted, attempts) = last_attempts(attempts);
        Self {
            event,
            time: since_epoch.unwrap_or_default().as_millis() as f64 / 1e3,
            session,
            listener: connection.listener_endpoint(),
            local: connection.local_endpoint(),
            peer: connection.peer_endpoint(),
            client: connection.client_endpoint(),
            proxy_source: addresses.map(|addresses| addresses.source),
            proxy_destination: addresses.map(|addresses| addresses.destination),
            server_name: connection.server_name().map(cut),
            upstream: None,
            backend: None,
            attempts: attempts.iter().map(AttemptRecord::of).collect(),
            attempts_omitted: omitted,
            elapsed: Seconds(elapsed),
            connected_after: None,
            bytes_from_client: 0,
            bytes_to_backend: 0,
            bytes_to_client: 0,
            end: None,
        }
    }
}

impl<'a> BackendRecord<'a> {
    fn of(backend: &'a Backend) -> Self {
        Self {
            backend: backend.endpoint(),
            backend_name: backend.name.as_deref().map(cut),
            backend_source: backend.source.as_deref().map(cut),
        }
    }
}

impl<'a> AttemptRecord<'a> {
    fn of(attempt: &'a AttemptReport) -> Self {
        Self {
            backend: BackendRecord::of(&attempt.backend),
            outcome: attempt.outcome.as_str(),
            error: attempt.error.map(|error| error.to_string()),
            began_after: attempt.began_after.map(Seconds),
            elapsed: Seconds(attempt.elapsed),
            connected_after: attempt.connected_after.map(Seconds),
            first_byte_after: attempt.first_byte_after.map(Seconds),
            bytes_sent: attempt.bytes_sent,
            bytes_received: attempt.bytes_received,
        }
    }
}

impl<'a> EndRecord<'a> {
    fn of(summary: &Summary<'a>) -> Self {
        let (detail, refusal) = summary.refusal.map(detail).unwrap_or_default();
        Self {
            client_ended_after: summary.client_ended_after.map(Seconds),
            backend_ended_after: summary.backend_ended_after.map(Seconds),
            reason: summary.reason.as_str(),
            phase: summary.phase.as_str(),
            termination: summary.termination().to_string(),
            detail,
            refusal,
        }
    }
}

/// The name of the detail, and the text of a route that refused the client.
fn detail(refusal: &RefusalDetail) -> (Option<&'static str>, Option<&str>) {
    let text = match refusal {
        RefusalDetail::Route(text) => Some(cut(text)),
        _ => None,
    };
    (Some(refusal.as_str()), text)
}

/// The beginning of `text`, at most [`MAX_TEXT`] bytes.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A time span in seconds, to the microsecond.
struct Seconds(Duration);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_micros() as f64 / 1e6)
    }
}

fn shown<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(count: &usize) -> bool {
    *count == 0
}
