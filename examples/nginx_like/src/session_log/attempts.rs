//! The lines of the error log about attempts to connect to servers.

use std::io::ErrorKind;

use lb_core::Escaped;
use lb_proxy::events::{Attempt, AttemptOutcome, AttemptStep, Connection};

use super::messages::{ETIMEDOUT, Messages};
use super::place::{Bytes, Place, number};
use crate::config::error_log::LogLevel;
use crate::config::proxy::{BindAddress, ProxyBind};
use crate::logs::line::errno_text;
use crate::variables::context::Context;

impl Messages {
    /// An attempt to connect has ended.
    pub(super) fn attempted(&self, connection: &Connection, attempt: &Attempt<'_>) {
        if attempt.outcome == AttemptOutcome::Connected && !self.takes_all() {
            return;
        }
        let (number, backend) = (number(connection), attempt.backend.endpoint());
        let place = Place(connection);
        let rest = format_args!(
            " while connecting to upstream{place}, upstream: \"{backend}\"{}",
            Bytes::default()
        )
        .to_string();
        match (attempt.outcome, attempt.error) {
            (AttemptOutcome::Connected, _) => {
                if self.logs.take(LogLevel::Info)
                    && let Some(local) = attempt.local_addr()
                {
                    let message = format_args!("*{number} proxy {local} connected to {backend}");
                    self.logs
                        .write(connection, LogLevel::Info, "proxy connected", message);
                }
            }
            (AttemptOutcome::Timeout, _) => {
                let text = errno_text(ETIMEDOUT);
                let message = format_args!("*{number} upstream timed out ({text}){rest}");
                self.logs
                    .write(connection, LogLevel::Error, "upstream timed out", message);
            }
            (_, Some(error)) => {
                let text = error.errno.map_or_else(|| error.to_string(), errno_text);
                let (level, call) = match error.step {
                    AttemptStep::Loop => (LogLevel::Error, "connect()".to_owned()),
                    AttemptStep::Answer => (LogLevel::Error, "connect()".to_owned()),
                    _ => match &self.proxy_bind {
                        Some(bind) if error.kind == ErrorKind::AddrNotAvailable => {
                            let from = self.source_of(bind, connection);
                            (LogLevel::Crit, format!("bind({from})"))
                        }
                        _ => (start_level(error.kind), format!("connect() to {backend}")),
                    },
                };
                let message = format_args!("*{number} {call} failed ({text}){rest}");
                self.logs
                    .write(connection, level, "connect() failed", message);
            }
            _ => {}
        }
        if attempt.ejects && !is_single(attempt) {
            let message = format_args!("*{number} upstream server temporarily disabled{rest}");
            let kind = "upstream server temporarily disabled";
            self.logs.write(connection, LogLevel::Warn, kind, message);
        }
    }

    /// The source address as the configuration has it.
    fn source_of(&self, bind: &ProxyBind, connection: &Connection) -> String {
        match &bind.source {
            BindAddress::Fixed(addr) if addr.port() == 0 => addr.ip().to_string(),
            BindAddress::Fixed(addr) => addr.to_string(),
            BindAddress::Computed(value) => {
                let value = value
                    .get(&Context::new(&self.variables, connection))
                    .into_owned();
                Escaped(String::from_utf8_lossy(&value)).to_string()
            }
        }
    }
}

/// nginx's level for a connect(2) that fails at once.
const fn start_level(kind: ErrorKind) -> LogLevel {
    match kind {
        ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::NetworkUnreachable => LogLevel::Error,
        _ => LogLevel::Crit,
    }
}

/// Whether the backend is the only one of its upstream, which nginx does not take out.
fn is_single(attempt: &Attempt<'_>) -> bool {
    attempt
        .upstream
        .backends()
        .snapshot()
        .iter()
        .take(2)
        .count()
        < 2
}
