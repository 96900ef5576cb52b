//! Resolves the main level.

use std::num::{NonZeroU32, NonZeroUsize};

use super::stream;
use crate::config::main::{Config, MainBlock, WorkerProcesses};
use crate::syntax::error::ConfigError;
use crate::syntax::names::Names;
use crate::syntax::span::Warning;

const WORKER_CONNECTIONS: NonZeroU32 = NonZeroU32::new(512).expect("not 0");

/// Adds what is wrong to `errors`. `names` are the names of variables that values use. `knows_all` says whether no definition is missing because of a mistake.
pub(crate) fn config(
    main: MainBlock,
    names: Names,
    knows_all: bool,
    mut warnings: Vec<Warning>,
    errors: &mut Vec<ConfigError>,
) -> Config {
    let logs = &main.error_logs;
    let stream = main
        .stream
        .map(|block| stream::stream(block, names, logs, knows_all, &mut warnings, errors));
    Config {
        user: main.user,
        worker_processes: main
            .worker_processes
            .unwrap_or(WorkerProcesses::Count(NonZeroUsize::MIN)),
        worker_rlimit_nofile: main.worker_rlimit_nofile,
        worker_shutdown_timeout: main
            .worker_shutdown_timeout
            .filter(|timeout| !timeout.is_zero()),
        error_logs: main.error_logs,
        pid: main.pid,
        daemon: main.daemon,
        worker_connections: main
            .events
            .and_then(|events| events.worker_connections)
            .unwrap_or(WORKER_CONNECTIONS),
        stream,
        warnings,
    }
}
