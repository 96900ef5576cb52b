//! The lines about clients that get no server: by the first bytes, the route or the upstream.

use lb_core::Escaped;
use lb_proxy::events::{NoBackendCause, PrereadFailure, PrereadRefusal, RefusalDetail, Summary};

use super::messages::{ECONNRESET, ETIMEDOUT, Messages};
use super::place::{Bytes, Place, bytes_of};
use crate::config::error_log::LogLevel;
use crate::config::handler::NO_HANDLER;
use crate::logs::line::errno_text;
use crate::variables::ending;

/// The longest part of a broken PROXY header that is shown.
const SHOWN_HEADER: usize = 4096;

impl Messages {
    pub(super) fn preread(&self, number: u64, place: &Place<'_>, refusal: &PrereadRefusal) {
        let action = if refusal.names_client {
            "reading PROXY protocol"
        } else {
            "prereading client data"
        };
        match (refusal.failure, refusal.names_client) {
            (PrereadFailure::Socket(errno), _) => {
                let text = errno_text(errno.unwrap_or(ECONNRESET));
                let message =
                    format_args!("*{number} recv() failed ({text}) while {action}{place}");
                self.logs
                    .write(place.0, LogLevel::Info, "recv() failed", message);
            }
            (PrereadFailure::Timeout, true) => {
                let text = errno_text(ETIMEDOUT);
                let message =
                    format_args!("*{number} client timed out ({text}) while {action}{place}");
                self.logs
                    .write(place.0, LogLevel::Info, "client timed out", message);
            }
            // nginx writes nothing about these.
            (PrereadFailure::Timeout | PrereadFailure::Ended, false) => {}
            (_, true) => {
                let header = refusal
                    .bytes
                    .split(|byte| matches!(byte, b'\r' | b'\n'))
                    .next();
                let header = header.unwrap_or_default();
                let header = &header[..header.len().min(SHOWN_HEADER)];
                let shown = String::from_utf8_lossy(header);
                let shown = Escaped(&shown);
                let message =
                    format_args!("*{number} broken header: \"{shown}\" while {action}{place}");
                self.logs
                    .write(place.0, LogLevel::Error, "broken header", message);
            }
            (_, false) => {
                let message = format_args!("*{number} preread buffer full while {action}{place}");
                self.logs
                    .write(place.0, LogLevel::Error, "preread buffer full", message);
            }
        }
    }

    pub(super) fn no_backend(&self, number: u64, place: &Place<'_>, summary: &Summary<'_>) {
        let Some(upstream) = summary.upstream else {
            return;
        };
        let cause = match summary.refusal {
            Some(RefusalDetail::NoBackend(cause)) => *cause,
            _ => NoBackendCause::NoneEligible,
        };
        if ending::lacks_live_upstreams(summary) || cause == NoBackendCause::NotReady {
            let (name, bytes) = (upstream.name(), Bytes::default());
            let message = format_args!(
                "*{number} no live upstreams while connecting to upstream{place}, upstream: \"{name}\"{bytes}"
            );
            self.logs
                .write(place.0, LogLevel::Error, "no live upstreams", message);
        }
    }

    /// The route refused the client. The reason is worded as nginx's, its action included.
    pub(super) fn route(&self, number: u64, place: &Place<'_>, summary: &Summary<'_>) {
        let passing = "while passing connection to port";
        let (kind, message) = match summary.refusal {
            Some(RefusalDetail::NoListener(addr)) => (
                "port not found",
                format!("port not found for \"{addr}\" {passing}{place}"),
            ),
            Some(RefusalDetail::PassedTooOften) => (
                "stream pass cycle",
                format!("stream pass cycle {passing}{place}"),
            ),
            Some(RefusalDetail::Route(reason)) if reason.ends_with(passing) => {
                ("invalid pass", format!("{}{place}", Escaped(reason)))
            }
            // nginx writes nothing.
            Some(RefusalDetail::Route(reason)) if *reason == NO_HANDLER => return,
            Some(RefusalDetail::Route(reason)) => (
                refusal_kind(reason),
                format!("{}{place}{}", Escaped(reason), bytes_of(summary)),
            ),
            _ => return,
        };
        let message = format_args!("*{number} {message}");
        self.logs.write(place.0, LogLevel::Error, kind, message);
    }
}

/// The cause in the reason of a route.
fn refusal_kind(reason: &str) -> &'static str {
    let causes = [
        "no resolver defined to resolve",
        "could not be resolved",
        "in upstream",
    ];
    let found = causes.into_iter().find(|cause| reason.contains(cause));
    found.unwrap_or("route")
}

#[cfg(test)]
mod tests {
    use super::refusal_kind;

    #[test]
    fn refusals_are_counted_by_cause() {
        for (reason, kind) in [
            (
                "no resolver defined to resolve a.test",
                "no resolver defined to resolve",
            ),
            (
                "a.test could not be resolved (3: Host not found)",
                "could not be resolved",
            ),
            ("no host in upstream \"\"", "in upstream"),
            ("another", "route"),
        ] {
            assert_eq!(refusal_kind(reason), kind, "{reason}");
        }
    }
}
