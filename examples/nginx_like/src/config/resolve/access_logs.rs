//! Checks the `access_log` directives of all servers against each other.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::config::access_log::{AccessLog, AccessLogError, AccessTarget};
use crate::config::server::Server;
use crate::logs::sink::LogBuffer;
use crate::syntax::error::ConfigError;

/// Gives all logs of one file its buffer. Adds an error for each buffer that differs from the first of its file.
pub(crate) fn share_buffers(servers: &mut [Server], errors: &mut Vec<ConfigError>) {
    let mut buffers: HashMap<PathBuf, LogBuffer> = HashMap::new();
    let logs = |server: &Server| server.settings.access_logs.clone();
    for log in servers.iter().flat_map(logs) {
        let AccessTarget::File(path, Some(buffer)) = log.target else {
            continue;
        };
        let shown = path.display().to_string();
        if *buffers.entry(path).or_insert(buffer) != buffer {
            let conflict = AccessLogError::Conflict { log: shown };
            errors.push(ConfigError::at(&log.span, conflict));
        }
    }
    for server in servers {
        for AccessLog { target, .. } in &mut server.settings.access_logs {
            if let AccessTarget::File(path, buffer) = target {
                *buffer = buffers.get(path).copied();
            }
        }
    }
}
