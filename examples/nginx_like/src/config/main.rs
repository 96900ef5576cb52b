//! The main level of a file.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use crate::config::events::EventsBlock;
use crate::config::stream::StreamBlock;
use crate::config::{ErrorLog, User, WorkerProcesses};
use crate::syntax::directive::Args::{AtLeast, Between, Exactly};
use crate::syntax::directive::{Directive, Line, Scope};
use crate::syntax::error::ConfigError;
use crate::syntax::units;

/// nginx cannot run more processes than this.
const MAX_PROCESSES: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct MainBlock {
    pub(crate) user: Option<User>,
    pub(crate) worker_processes: Option<WorkerProcesses>,
    pub(crate) worker_rlimit_nofile: Option<u64>,
    pub(crate) worker_shutdown_timeout: Option<Duration>,
    pub(crate) pid: Option<PathBuf>,
    pub(crate) daemon: Option<bool>,
    pub(crate) logs: Vec<ErrorLog>,
    pub(crate) events: Option<EventsBlock>,
    pub(crate) stream: Option<StreamBlock>,
}

const MAIN: &[Directive<MainBlock>] = &[
    Directive::simple("daemon", Exactly(1), |main, line, _| {
        line.once(&mut main.daemon, Line::flag)
    }),
    Directive::block("events", Exactly(0), |main, line, reader| {
        line.once(&mut main.events, |_| {
            reader.read_block(EventsBlock::default())
        })
    }),
    Directive::simple("pid", Exactly(1), |main, line, reader| {
        line.once(&mut main.pid, |line| Ok(reader.files().resolve(line.arg())))
    }),
    Directive::block("stream", Exactly(0), |main, line, reader| {
        line.once(&mut main.stream, |_| {
            reader.read_block(StreamBlock::default())
        })
    }),
    Directive::simple("user", Between(1, 2), |main, line, _| {
        line.once(&mut main.user, user)
    }),
    Directive::simple("worker_processes", Exactly(1), |main, line, _| {
        line.once(&mut main.worker_processes, worker_processes)
    }),
    Directive::simple("worker_rlimit_nofile", Exactly(1), |main, line, _| {
        line.once(&mut main.worker_rlimit_nofile, Line::number)
    }),
    Directive::simple("worker_shutdown_timeout", Exactly(1), |main, line, _| {
        line.once(&mut main.worker_shutdown_timeout, Line::milliseconds)
    }),
    Directive::without_effect("load_module", Exactly(1)),
    Directive::without_effect("lock_file", Exactly(1)),
    Directive::without_effect("master_process", Exactly(1)),
    Directive::without_effect("pcre_jit", Exactly(1)),
    Directive::without_effect("thread_pool", Between(2, 3)),
    Directive::without_effect("timer_resolution", Exactly(1)),
    Directive::without_effect("worker_cpu_affinity", AtLeast(1)),
];

impl Scope for MainBlock {
    const DIRECTIVES: &'static [&'static [Directive<Self>]] = &[MAIN, Directive::LOGS];
}

impl AsMut<Vec<ErrorLog>> for MainBlock {
    fn as_mut(&mut self) -> &mut Vec<ErrorLog> {
        &mut self.logs
    }
}

fn user(line: &Line) -> Result<User, ConfigError> {
    Ok(User {
        name: line.arg().to_owned(),
        group: line.parameters().next().map(str::to_owned),
        span: line.span.clone(),
    })
}

fn worker_processes(line: &Line) -> Result<WorkerProcesses, ConfigError> {
    if line.arg() == "auto" {
        return Ok(WorkerProcesses::Auto);
    }
    let count = units::number(line.arg()).and_then(|count| usize::try_from(count).ok());
    count
        .filter(|count| *count <= MAX_PROCESSES)
        .and_then(NonZeroUsize::new)
        .map(WorkerProcesses::Count)
        .ok_or_else(|| line.invalid_value())
}
