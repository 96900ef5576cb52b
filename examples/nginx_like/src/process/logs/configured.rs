//! The logs that a configuration names.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use crate::config::access_log::AccessTarget;
use crate::config::error_log::{LogLevel, LogTarget};
use crate::config::main::Config;
use crate::logs::sinks::SinkKey;
use crate::logs::syslog::Syslog;
use crate::syntax::span::Span;

/// The syslog servers of all `error_log` and `access_log` directives, with their places.
pub(crate) fn syslogs_of(config: &Config) -> impl Iterator<Item = (&Syslog, &Span)> {
    let servers = config.stream.iter().flat_map(|stream| &stream.servers);
    let settings = servers.map(|server| &server.settings);
    let errors = settings.clone().flat_map(|settings| &settings.error_logs);
    let errors = config.error_logs.iter().chain(errors);
    let errors = errors.filter_map(|log| match &log.target {
        LogTarget::Syslog(syslog) => Some((syslog, &log.span)),
        LogTarget::File(_) | LogTarget::Stderr => None,
    });
    let access = settings.flat_map(|settings| &settings.access_logs);
    errors.chain(access.filter_map(|log| match &log.target {
        AccessTarget::Syslog(syslog) => Some((syslog, &log.span)),
        AccessTarget::File(..) | AccessTarget::Paths(_) => None,
    }))
}

/// The place of the first directive that names `syslog`.
pub(super) fn syslog_place(config: &Config, syslog: &Syslog) -> Span {
    let mut all = syslogs_of(config);
    let found = all.find(|(other, _)| *other == syslog);
    found.map_or_else(Span::none, |(_, span)| span.clone())
}

/// The files of all `error_log` and `access_log` directives whose names have no variables.
pub(crate) fn paths_of(config: &Config) -> impl Iterator<Item = PathBuf> {
    let keys = levels_of(config).into_keys().chain(access_keys(config));
    let paths: BTreeSet<_> = keys
        .filter_map(|key| match key {
            SinkKey::Access(path, _) | SinkKey::Error(path) => Some(path),
            SinkKey::Paths(..) | SinkKey::Stderr | SinkKey::Syslog(_) => None,
        })
        .collect();
    paths.into_iter()
}

/// Whether messages go to the standard error stream.
pub(crate) fn writes_to_stderr(config: &Config) -> bool {
    let levels = levels_of(config);
    levels.is_empty() || levels.contains_key(&SinkKey::Stderr)
}

/// The files of all `error_log` directives. Blocks inherit logs from each other: each is opened once, at its least severe
/// level.
pub(super) fn levels_of(config: &Config) -> HashMap<SinkKey, LogLevel> {
    let servers = config.stream.iter().flat_map(|stream| &stream.servers);
    let of_servers = servers.flat_map(|server| &server.settings.error_logs);
    let mut levels = HashMap::new();
    for log in config.error_logs.iter().chain(of_servers) {
        let level = levels.entry(log.target.key()).or_insert(log.level);
        *level = (*level).min(log.level);
    }
    levels
}

/// The logs of all `access_log` directives.
pub(super) fn access_keys(config: &Config) -> impl Iterator<Item = SinkKey> {
    let servers = config.stream.iter().flat_map(|stream| &stream.servers);
    servers.flat_map(|server| {
        let settings = &server.settings;
        let logs = settings.access_logs.iter();
        logs.map(|log| log.target.key(settings.file_cache))
    })
}
