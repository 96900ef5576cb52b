//! The lines of the error log about one session, with nginx's texts, levels and order.

use std::fmt;
use std::sync::Arc;

use lb_core::{Backend, Escaped};
use lb_proxy::events::{CloseReason, Connection, RefusalDetail, Side, Summary};

use super::error_logs::ErrorLogs;
use super::place::{Bytes, Place, bytes_of, number, server_of};
use crate::config::error_log::LogLevel;
use crate::config::proxy::ProxyBind;
use crate::logs::line::errno_text;
use crate::variables::table::Variables;

pub(super) const ETIMEDOUT: i32 = 110;
pub(super) const ECONNRESET: i32 = 104;

/// What the lines of one server need besides the events.
#[derive(Debug)]
pub(super) struct Messages {
    pub(super) logs: ErrorLogs,
    /// The zones of its `limit_conn`, in their order.
    pub(super) zones: Vec<Box<str>>,
    /// `limit_conn_log_level`
    pub(super) limit_level: LogLevel,
    pub(super) half_close: bool,
    pub(super) proxy_bind: Option<ProxyBind>,
    pub(super) variables: Arc<Variables>,
}

impl Messages {
    /// Whether there are lines about every session.
    pub(super) fn takes_all(&self) -> bool {
        self.logs.take(LogLevel::Info)
    }

    /// A client was accepted.
    pub(super) fn accepted(&self, connection: &Connection) {
        if !self.logs.take(LogLevel::Info) {
            return;
        }
        let (peer, server) = (connection.peer_endpoint(), server_of(connection));
        let number = number(connection);
        let message = format_args!("*{number} client {peer} connected to {server}");
        self.logs
            .write(connection, LogLevel::Info, "client connected", message);
    }

    /// The session has ended.
    pub(super) fn ended(&self, connection: &Connection, summary: &Summary<'_>) {
        let (number, place) = (number(connection), Place(connection));
        match summary.reason {
            CloseReason::AccessDenied => {
                let message = format_args!(
                    "*{number} access forbidden by rule while initializing session{place}"
                );
                self.logs.write(
                    connection,
                    LogLevel::Error,
                    "access forbidden by rule",
                    message,
                );
            }
            CloseReason::ClientSessions | CloseReason::ClientRate => {
                self.limited(connection, "", self.zone(summary.refusal));
            }
            CloseReason::ClientZoneFull => {
                let zone = self.zone(summary.refusal);
                let message = format_args!(
                    "ngx_slab_alloc() failed: no memory in limit_conn_zone \"{zone}\""
                );
                self.logs.write(
                    connection,
                    LogLevel::Crit,
                    "no memory in limit_conn_zone",
                    message,
                );
            }
            CloseReason::Preread | CloseReason::PrereadTimeout => {
                if let Some(RefusalDetail::Preread(refusal)) = summary.refusal {
                    self.preread(number, &place, refusal);
                }
            }
            CloseReason::NoBackend => self.no_backend(number, &place, summary),
            CloseReason::RouteRefused => self.route(number, &place, summary),
            CloseReason::BackendReset | CloseReason::ClientReset | CloseReason::Finished => {
                self.disconnected(number, &place, summary);
            }
            CloseReason::FirstByteTimeout
            | CloseReason::HalfClosedTimeout
            | CloseReason::IdleTimeout => {
                let text = errno_text(ETIMEDOUT);
                self.relayed(
                    LogLevel::Info,
                    "connection timed out",
                    number,
                    &place,
                    summary,
                    format_args!("connection timed out ({text}) while proxying connection{place}"),
                );
            }
            // nginx has no such ends.
            CloseReason::AddressLost => {
                self.relayed(
                    LogLevel::Info,
                    "address lost",
                    number,
                    &place,
                    summary,
                    format_args!(
                        "the address that the client connected to was lost while proxying connection{place}"
                    ),
                );
            }
            CloseReason::Operator if summary.backend.is_some() => {
                self.relayed(
                    LogLevel::Info,
                    "closed by an operator",
                    number,
                    &place,
                    summary,
                    format_args!("closed by an operator while proxying connection{place}"),
                );
            }
            CloseReason::Aborted if summary.backend.is_some() => {
                self.relayed(
                    LogLevel::Info,
                    "shutdown timeout",
                    number,
                    &place,
                    summary,
                    format_args!("shutdown timeout while proxying connection{place}"),
                );
            }
            _ => {}
        }
    }

    /// A side has ended its stream or was reset.
    fn disconnected(&self, number: u64, place: &Place<'_>, summary: &Summary<'_>) {
        let is_reset = |side| match side {
            Side::Backend => summary.reason == CloseReason::BackendReset,
            _ => summary.reason == CloseReason::ClientReset,
        };
        for (side, level, name) in [
            (Side::Backend, LogLevel::Error, "upstream"),
            (Side::Client, LogLevel::Info, "client"),
        ] {
            if is_reset(side) {
                let text = errno_text(ECONNRESET);
                self.relayed(
                    level,
                    "recv() failed",
                    number,
                    place,
                    summary,
                    format_args!(
                        "recv() failed ({text}) while proxying and reading from {name}{place}"
                    ),
                );
            }
        }
        let first = summary.first_end();
        // A session that waits for both ends is ended by the last one.
        let by_backend = match (is_reset(Side::Backend), is_reset(Side::Client)) {
            (true, _) => true,
            (_, true) => false,
            _ => (first == Some(Side::Backend)) != self.half_close,
        };
        let by = if by_backend { "upstream" } else { "client" };
        let bytes = bytes_of(summary);
        let message = format_args!("*{number} {by} disconnected{bytes}");
        self.logs
            .write(place.0, LogLevel::Info, "disconnected", message);
    }

    /// Writes a line about a session that had a backend.
    fn relayed(
        &self,
        level: LogLevel,
        kind: &'static str,
        number: u64,
        place: &Place<'_>,
        summary: &Summary<'_>,
        message: fmt::Arguments<'_>,
    ) {
        let backend = summary.backend.map(Backend::endpoint);
        let bytes = bytes_of(summary);
        match backend {
            Some(backend) => self.logs.write(
                place.0,
                level,
                kind,
                format_args!("*{number} {message}, upstream: \"{backend}\"{bytes}"),
            ),
            None => self.logs.write(
                place.0,
                level,
                kind,
                format_args!("*{number} {message}{bytes}"),
            ),
        }
    }

    /// A value that was computed for the session cannot be used.
    pub(super) fn invalid(&self, connection: &Connection, what: &'static str, value: &str) {
        let (number, place, bytes) = (number(connection), Place(connection), Bytes::default());
        let value = Escaped(value);
        let message = format_args!("*{number} {what} \"{value}\"{place}{bytes}");
        self.logs.write(connection, LogLevel::Error, what, message);
    }

    /// A client is over a limit that is only observed.
    pub(super) fn would_refuse(&self, connection: &Connection, detail: &RefusalDetail) {
        self.limited(connection, ", dry run,", self.zone(Some(detail)));
    }

    fn limited(&self, connection: &Connection, dry_run: &str, zone: &str) {
        let (number, place) = (number(connection), Place(connection));
        let message = format_args!(
            "*{number} limiting connections{dry_run} by zone \"{zone}\" while initializing session{place}"
        );
        self.logs.write(
            connection,
            self.limit_level,
            "limiting connections",
            message,
        );
    }

    /// The zone that refused the client.
    fn zone(&self, detail: Option<&RefusalDetail>) -> &str {
        match detail {
            Some(RefusalDetail::ClientLimit { limit }) => {
                self.zones.get(*limit).map_or("", |zone| &**zone)
            }
            _ => "",
        }
    }
}
