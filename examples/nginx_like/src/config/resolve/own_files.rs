//! The files that the server replaces as a whole: `lb_ready_file`, `lb_state` and `pid`. Each needs a path of its own.

use std::path::Path;

use crate::config::access_log::AccessTarget;
use crate::config::error_log::LogTarget;
use crate::config::main::Config;
use crate::syntax::error::ConfigError;
use crate::syntax::span::Span;

#[derive(Debug, thiserror::Error)]
#[error(
    "\"{name}\" and \"{other}\"{place} are the same file \"{path}\": each would replace what the other has written"
)]
struct SameFile {
    name: &'static str,
    other: &'static str,
    /// Where `other` is written, if it is.
    place: String,
    path: String,
}

/// A directive that names a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct NamedFile<'a> {
    pub(super) name: &'static str,
    pub(super) path: &'a Path,
    pub(super) span: &'a Span,
}

/// Adds an error for each of `replaced` that is also another of them or a log.
pub(super) fn check(replaced: &[NamedFile<'_>], config: &Config, errors: &mut Vec<ConfigError>) {
    let logs = logs(config);
    for (number, file) in replaced.iter().enumerate() {
        let others = replaced[..number].iter().chain(&logs);
        let same = others.copied().find(|other| other.path == file.path);
        errors.extend(same.map(|other| {
            // The pid file may have its place by default.
            let (file, other) = match *file.span == Span::none() {
                true => (other, *file),
                false => (*file, other),
            };
            let is_written = *other.span != Span::none();
            let place = is_written.then(|| format!(" of {}", other.span));
            let error = SameFile {
                name: file.name,
                other: other.name,
                place: place.unwrap_or_default(),
                path: file.path.display().to_string(),
            };
            ConfigError::at(file.span, error)
        }));
    }
}

fn logs(config: &Config) -> Vec<NamedFile<'_>> {
    let servers = || config.stream.iter().flat_map(|stream| &stream.servers);
    let of_servers = servers().flat_map(|server| &server.settings.error_logs);
    let error_logs = config.error_logs.iter().chain(of_servers);
    let error_logs = error_logs.filter_map(|log| match &log.target {
        LogTarget::File(path) => Some(NamedFile {
            name: "error_log",
            path,
            span: &log.span,
        }),
        LogTarget::Stderr | LogTarget::Syslog(_) => None,
    });
    let access_logs = servers().flat_map(|server| &server.settings.access_logs);
    let access_logs = access_logs.filter_map(|log| match &log.target {
        AccessTarget::File(path, _) => Some(NamedFile {
            name: "access_log",
            path,
            span: &log.span,
        }),
        AccessTarget::Paths(_) | AccessTarget::Syslog(_) => None,
    });
    error_logs.chain(access_logs).collect()
}
