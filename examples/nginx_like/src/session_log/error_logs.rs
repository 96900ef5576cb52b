//! The error logs of a server.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use lb_core::Endpoint;
use lb_proxy::events::Connection;
use tokio::runtime;
use tokio::time::sleep;

use crate::config::error_log::LogLevel;
use crate::logs::level::LevelOverride;
use crate::logs::line::line;
use crate::logs::rate::{BucketKey, Client, REPORT_AFTER, RateDecision, StormLimit};
use crate::logs::sink::Sink;

/// The error logs of a server, with their levels.
#[derive(Clone, Debug)]
pub(super) struct ErrorLogs {
    logs: Arc<[(LogLevel, Arc<Sink>)]>,
    /// The least severe level that a log takes, unless one is set for all.
    least: LogLevel,
    set: Arc<LevelOverride>,
    /// `None` with `lb_error_log_rate off`.
    limit: Option<Arc<StormLimit>>,
}

impl ErrorLogs {
    /// `set` is the level of all logs, if there is one.
    pub(super) fn new(
        logs: Vec<(LogLevel, Arc<Sink>)>,
        is_limited: bool,
        set: &Arc<LevelOverride>,
    ) -> Self {
        Self {
            least: logs
                .iter()
                .map(|(level, _)| *level)
                .min()
                .unwrap_or(LogLevel::Emerg),
            logs: logs.into(),
            set: Arc::clone(set),
            limit: is_limited.then(Arc::default),
        }
    }

    /// Whether any log takes lines of `level`.
    pub(super) fn take(&self, level: LogLevel) -> bool {
        !self.logs.is_empty() && level >= self.set.or(self.least)
    }

    /// Writes a line, unless a storm of its kind about this client is being counted. Lines below `warn` are not limited:
    /// the log was asked for every session.
    pub(super) fn write(
        &self,
        connection: &Connection,
        level: LogLevel,
        kind: &'static str,
        message: fmt::Arguments<'_>,
    ) {
        if !self.take(level) {
            return;
        }
        if level >= LogLevel::Warn
            && let Some(limit) = &self.limit
        {
            let client = match connection.client_endpoint() {
                Endpoint::Tcp(client) => client.ip().into(),
                Endpoint::Unix(_) => Client::Unix,
            };
            if let RateDecision::Suppress { begins } = limit.admit(kind, client, Instant::now()) {
                if let Some(bucket) = begins {
                    self.report_later(level, bucket, limit);
                }
                return;
            }
        }
        self.put(level, message);
    }

    fn put(&self, level: LogLevel, message: fmt::Arguments<'_>) {
        let line = line(level, message);
        for (least, sink) in &*self.logs {
            if level >= self.set.or(*least) {
                sink.push(Some(level), line.as_bytes());
            }
        }
    }

    /// Writes the number of suppressed lines after a time. Hooks run on a runtime.
    fn report_later(&self, level: LogLevel, bucket: BucketKey, limit: &Arc<StormLimit>) {
        let (logs, limit) = (self.clone(), Arc::clone(limit));
        let report = move || {
            let count = limit.take(bucket);
            let kind = bucket.kind;
            let client = bucket.client.map(|client| format!(", client: {client}"));
            let client = client.unwrap_or_default();
            logs.put(
                level,
                format_args!("{count} more lines \"{kind}\" not written{client}"),
            );
        };
        match runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                sleep(REPORT_AFTER).await;
                report();
            })),
            Err(_) => report(),
        }
    }
}
