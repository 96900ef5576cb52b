//! Observes the sessions of one server.

use std::sync::Arc;

use lb_proxy::Hooks;
use lb_proxy::events::{
    Attempt, CloseReason, Connection, Observation, Progress, RefusalDetail, Summary,
};

use super::access::OpenAccessLog;
use super::error_logs::ErrorLogs;
use super::messages::Messages;
use super::shutdown;
use crate::config::access_log::AccessTarget;
use crate::config::error_log::{LogLevel, LogTarget};
use crate::config::log_format::LogFormat;
use crate::config::server::Server;
use crate::config::stream::Stream;
use crate::logs::sinks::{SinkKey, Sinks};
use crate::variables::context::Context;
use crate::variables::table::Variables;

/// Writes the logs of one server.
#[derive(Debug)]
pub(crate) struct SessionLog {
    messages: Messages,
    access: Vec<OpenAccessLog>,
    variables: Arc<Variables>,
    /// What the access logs need.
    observation: Observation,
}

impl SessionLog {
    /// The logs of `server`, which are open in `sinks`. Those that are not open, as in a test of the configuration, are
    /// left out.
    pub(crate) fn new(server: &Server, stream: &Stream, sinks: &Sinks) -> Self {
        let settings = &server.settings;
        let mut errors: Vec<_> = settings
            .error_logs
            .iter()
            .filter_map(|log| Some((log.level, Arc::clone(sinks.get(&log.target.key())?))))
            .collect();
        if settings.error_logs.is_empty() {
            let stderr = sinks.get(&SinkKey::Stderr);
            errors.extend(stderr.map(|sink| (LogLevel::Notice, Arc::clone(sink))));
        }
        let access = settings.access_logs.iter().filter_map(|log| {
            let key = log.target.key(settings.file_cache);
            Some(OpenAccessLog {
                sink: Arc::clone(sinks.get(&key)?),
                format: Arc::clone(LogFormat::named(&stream.log_formats, &log.format)?),
                condition: log.condition.clone(),
                path: match &log.target {
                    AccessTarget::Paths(path) => Some(path.clone()),
                    AccessTarget::File(..) | AccessTarget::Syslog(_) => None,
                },
                has_interim: log.interim.is_some(),
            })
        });
        let access: Vec<_> = access.collect();
        let messages = Messages {
            logs: ErrorLogs::new(errors, settings.core.error_log_rate, sinks.level()),
            zones: settings
                .limit_conn
                .iter()
                .map(|limit| (*limit.zone).into())
                .collect(),
            limit_level: settings.limit_conn_settings.log_level,
            half_close: settings.proxy.half_close,
            proxy_bind: settings.proxy.bind.clone(),
            variables: Arc::clone(&stream.variables),
        };
        Self {
            observation: observation(&messages, &access),
            messages,
            access,
            variables: Arc::clone(&stream.variables),
        }
    }

    /// A client was accepted.
    pub(crate) fn accepted(&self, connection: &Connection) {
        self.messages.accepted(connection);
    }

    /// `proxy_bind` was computed as this text, which is no address.
    pub(crate) fn invalid_source(&self, connection: &Connection, value: &str) {
        let what = "invalid local address";
        self.messages.invalid(connection, what, value);
    }

    /// A rate was computed as this text, which is no size.
    pub(crate) fn invalid_rate(&self, connection: &Connection, value: &str) {
        self.messages.invalid(connection, "invalid size", value);
    }
}

impl Hooks for SessionLog {
    fn reads_first_bytes(&self) -> bool {
        let mut logs = self.access.iter();
        logs.any(|log| log.format.has_event() || self.variables.read_first_bytes(log.variables()))
    }

    /// An error log above `info` has no line about sessions that succeed. Its level may be set at run time.
    fn observes(&self) -> Observation {
        match self.messages.takes_all() {
            true => Observation::Everything,
            false => self.observation,
        }
    }

    fn would_refuse(&self, connection: &Connection, detail: &RefusalDetail) {
        self.messages.would_refuse(connection, detail);
    }

    fn attempt(&self, connection: &Connection, attempt: &Attempt<'_>) {
        self.messages.attempted(connection, attempt);
    }

    fn progress(&self, connection: &Connection, progress: &Progress<'_>) {
        let context = Context::new(&self.variables, connection);
        for log in &self.access {
            log.write_progress(&context, progress);
        }
    }

    fn close(&self, connection: &Connection, summary: &Summary<'_>) {
        // As in nginx, a fast shutdown is no end of a session.
        if summary.reason == CloseReason::Aborted && shutdown::is_fast() {
            return;
        }
        self.messages.ended(connection, summary);
        if !self.access.is_empty() {
            let context = Context::at_end(&self.variables, connection, summary);
            for log in &self.access {
                log.write_end(&context, summary);
            }
        }
    }
}

/// What the access logs need of sessions that succeed.
fn observation(messages: &Messages, access: &[OpenAccessLog]) -> Observation {
    let of_course = |log: &OpenAccessLog| {
        log.has_interim || log.format.has_event() || messages.variables.read_course(log.variables())
    };
    if access.iter().any(of_course) {
        Observation::Everything
    } else if access.is_empty() {
        Observation::Failures
    } else {
        Observation::Ends
    }
}

impl LogTarget {
    /// The log among those that are open.
    pub(crate) fn key(&self) -> SinkKey {
        match self {
            Self::File(path) => SinkKey::Error(path.clone()),
            Self::Stderr => SinkKey::Stderr,
            Self::Syslog(syslog) => SinkKey::Syslog(syslog.clone()),
        }
    }
}
