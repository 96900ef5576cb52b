//! Resolves the main level.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::own_files::{self, NamedFile};
use super::stream;
use crate::config::main::{Config, MainBlock, WorkerProcesses};
use crate::config::pid::PidPath;
use crate::syntax::error::ConfigError;
use crate::syntax::names::Names;
use crate::syntax::span::{Span, Warning};

const UPGRADE_TIMEOUT: Duration = Duration::from_secs(60);

const WORKER_CONNECTIONS: NonZeroU32 = NonZeroU32::new(512).expect("not 0");

/// `file` is the one that `main` was read from. Adds what is wrong to `errors`. `names` are the names of variables that values use. `default_pid` is the `pid` of a configuration without it. `knows_all` says whether no definition is missing because of a mistake.
pub(crate) fn config(
    file: Arc<Path>,
    main: MainBlock,
    names: Names,
    default_pid: impl FnOnce() -> PathBuf,
    knows_all: bool,
    mut warnings: Vec<Warning>,
    errors: &mut Vec<ConfigError>,
) -> Config {
    let logs = &main.error_logs;
    let stream = main
        .stream
        .map(|block| stream::stream(block, names, logs, knows_all, &mut warnings, errors));
    let config = Config {
        file,
        user: main.user,
        worker_processes: main
            .worker_processes
            .unwrap_or(WorkerProcesses::Count(NonZeroUsize::MIN)),
        worker_rlimit_nofile: main.worker_rlimit_nofile,
        worker_priority: main.worker_priority,
        worker_rlimit_core: main.worker_rlimit_core,
        worker_shutdown_timeout: main
            .worker_shutdown_timeout
            .filter(|timeout| !timeout.is_zero()),
        error_logs: main.error_logs,
        pid: PidPath {
            is_default: main.pid.is_none(),
            path: main.pid.unwrap_or_else(default_pid),
        },
        ready_file: main.ready_file,
        ready_file_span: main.ready_file_span,
        state: main.state,
        state_span: main.state_span,
        shutdown: main.shutdown.resolve(&mut warnings),
        daemon: main.daemon.unwrap_or(false),
        lb_upgrade_timeout: main.lb_upgrade_timeout.unwrap_or(UPGRADE_TIMEOUT),
        worker_connections: main
            .events
            .and_then(|events| events.worker_connections)
            .unwrap_or(WORKER_CONNECTIONS),
        stream,
        listing: None,
        warnings,
    };
    let named = |name, path, span| NamedFile { name, path, span };
    let no_place = Span::none();
    let ready = config
        .ready_file
        .as_ref()
        .zip(config.ready_file_span.as_ref());
    let state = config.state.as_ref().zip(config.state_span.as_ref());
    let pid_span = main.pid_span.as_ref().unwrap_or(&no_place);
    let mut replaced = vec![named("pid", &config.pid.path, pid_span)];
    replaced.extend(ready.map(|(file, span)| named("lb_ready_file", &*file.path, span)));
    replaced.extend(state.map(|(file, span)| named("lb_state", &*file.path, span)));
    own_files::check(&replaced, &config, errors);
    config
}
