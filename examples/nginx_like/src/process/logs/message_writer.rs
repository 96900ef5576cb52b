//! Writes messages to the logs that are installed.

use std::io::{self, Write};
use std::sync::{Arc, PoisonError, RwLock};

use lb_proxy::events::AUDIT_TARGET;
use tracing::Metadata;
use tracing_subscriber::fmt::writer::MakeWriter;

use super::event_line::severity;
use super::open_logs::Logs;
use crate::config::error_log::LogLevel;

/// Writes to the logs that are installed at the time of the message.
#[derive(Clone, Debug)]
pub(super) struct CurrentLogs(Arc<RwLock<Logs>>);

impl CurrentLogs {
    pub(super) fn new(logs: Logs) -> Self {
        Self(Arc::new(RwLock::new(logs)))
    }

    /// Sends all further messages to `logs`. Returns the logs before.
    pub(super) fn replace(&self, logs: Logs) -> Logs {
        let mut now = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *now, logs)
    }

    pub(super) fn logs(&self) -> Logs {
        let logs = self.0.read().unwrap_or_else(PoisonError::into_inner);
        logs.clone()
    }
}

impl MakeWriter<'_> for CurrentLogs {
    type Writer = MessageWriter;

    fn make_writer(&self) -> MessageWriter {
        MessageWriter {
            logs: self.logs(),
            level: LogLevel::Error,
            is_audit: false,
        }
    }

    fn make_writer_for(&self, message: &Metadata<'_>) -> MessageWriter {
        MessageWriter {
            logs: self.logs(),
            level: severity(message),
            is_audit: message.target() == AUDIT_TARGET,
        }
    }
}

/// Writes one message.
pub(super) struct MessageWriter {
    logs: Logs,
    level: LogLevel,
    /// Whether it is about a change that an operator made: no level keeps it out.
    is_audit: bool,
}

impl Write for MessageWriter {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let logs = self.logs.messages.iter();
        for log in logs.filter(|log| self.is_audit || self.logs.level_of(log) <= self.level) {
            log.sink.push(Some(self.level), message);
        }
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
