//! The main level of a file.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lb_proxy::readiness_report::ReadyFileSettings;

use super::admin::AdminListen;
use super::error_log::ErrorLog;
use super::events::EventsBlock;
use super::pid::PidPath;
use super::ready_file;
use super::shutdown::{ShutdownBlock, ShutdownSettings};
use super::state::StateConfig;
use super::stream::{Stream, StreamBlock};
use crate::syntax::directive::Args::{AtLeast, Between, Exactly};
use crate::syntax::directive::{Block, Directive, Has};
use crate::syntax::error::{ConfigError, SyntaxError};
use crate::syntax::listing::Listing;
use crate::syntax::reader::Reader;
use crate::syntax::span::{Span, Warning};
use crate::syntax::statement::Statement;
use crate::syntax::units;

/// nginx cannot run more processes than this.
const MAX_PROCESSES: usize = 1024;

/// A whole configuration: checked, with defaults and inheritance applied. Host names are not resolved.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The file that it was read from, as it was opened.
    pub(crate) file: Arc<Path>,
    /// `user`: the user that the server becomes.
    pub(crate) user: Option<User>,
    /// `worker_processes`, one by default.
    pub(crate) worker_processes: WorkerProcesses,
    /// `worker_rlimit_nofile`: the limit on open files.
    pub(crate) worker_rlimit_nofile: Option<u64>,
    /// `worker_priority`: the nice value.
    pub(crate) worker_priority: Option<i32>,
    /// `worker_rlimit_core`: the limit on the size of a core file, in bytes.
    pub(crate) worker_rlimit_core: Option<u64>,
    /// `worker_shutdown_timeout`: how long SIGQUIT waits for connections. No limit by default, and with 0.
    pub(crate) worker_shutdown_timeout: Option<Duration>,
    /// `error_log` of the main level. If there is none, the server chooses.
    pub(crate) error_logs: Vec<ErrorLog>,
    /// `pid`: the file for the process id.
    pub(crate) pid: PidPath,
    /// `daemon`, off by default, other than in nginx, unless the program is called `nginx`.
    pub(crate) daemon: bool,
    /// `lb_upgrade_timeout`, 60 s by default: how long a new binary may take to become ready.
    pub(crate) lb_upgrade_timeout: Duration,
    /// `lb_ready_file`, ours.
    pub(crate) ready_file: Option<ReadyFileSettings>,
    /// Where it stands.
    pub(crate) ready_file_span: Option<Span>,
    /// `lb_state`, ours.
    pub(crate) state: Option<StateConfig>,
    /// Where it stands.
    pub(crate) state_span: Option<Span>,
    /// What SIGQUIT waits for, ours.
    pub(crate) shutdown: ShutdownSettings,
    /// `worker_connections`, 512 by default: how many connections one worker holds, those to backends included.
    pub(crate) worker_connections: NonZeroU32,
    /// The `stream` block.
    pub(crate) stream: Option<Stream>,
    /// What was read, for the admin server. `None` without `lb_admin`.
    pub(crate) listing: Option<Arc<Listing>>,
    /// What was accepted with reservations.
    pub(crate) warnings: Vec<Warning>,
}

impl Config {
    /// `lb_admin`.
    pub(crate) fn admin(&self) -> Option<&AdminListen> {
        self.stream.as_ref()?.admin.as_ref()
    }

    /// Whether connections to servers may have addresses of other machines.
    pub(crate) fn has_transparent_source(&self) -> bool {
        let servers = self.stream.iter().flat_map(|stream| &stream.servers);
        let mut binds = servers.filter_map(|server| server.settings.proxy.bind.as_ref());
        binds.any(|bind| bind.transparent)
    }
}

/// The arguments of `user`. Whether they exist is not checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct User {
    pub(crate) name: String,
    /// Without it, nginx takes the group with the name of the user.
    pub(crate) group: Option<String>,
    pub(crate) span: Span,
}

/// The number of workers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WorkerProcesses {
    /// One for each processor.
    Auto,
    /// A fixed number, at most 1024.
    Count(NonZeroUsize),
}

/// The main level as written.
#[derive(Debug, Default)]
pub(crate) struct MainBlock {
    pub(crate) user: Option<User>,
    pub(crate) worker_processes: Option<WorkerProcesses>,
    pub(crate) worker_rlimit_nofile: Option<u64>,
    pub(crate) worker_priority: Option<i32>,
    pub(crate) worker_rlimit_core: Option<u64>,
    pub(crate) worker_shutdown_timeout: Option<Duration>,
    pub(crate) pid: Option<PathBuf>,
    pub(crate) pid_span: Option<Span>,
    pub(crate) daemon: Option<bool>,
    pub(crate) lb_upgrade_timeout: Option<Duration>,
    pub(crate) ready_file: Option<ReadyFileSettings>,
    pub(crate) ready_file_span: Option<Span>,
    pub(crate) state: Option<StateConfig>,
    pub(crate) state_span: Option<Span>,
    pub(crate) shutdown: ShutdownBlock,
    pub(crate) error_logs: Vec<ErrorLog>,
    pub(crate) events: Option<EventsBlock>,
    pub(crate) stream: Option<StreamBlock>,
    /// Whether the blocks that are not served were written.
    http: Option<()>,
    mail: Option<()>,
    rtmp: Option<()>,
    types: Option<()>,
}

const MAIN: &[Directive<MainBlock>] = &[
    Directive::simple("daemon", Exactly(1), |main, statement, _| {
        statement.once(&mut main.daemon, Statement::flag)
    }),
    Directive::block("events", Exactly(0), |main, statement, reader| {
        statement.once(&mut main.events, |_| {
            reader.read_block(EventsBlock::default())
        })
    }),
    Directive::block("http", Exactly(0), |main, statement, reader| {
        statement.once(&mut main.http, |_| not_served(statement, reader))
    }),
    Directive::simple("lb_upgrade_timeout", Exactly(1), |main, statement, _| {
        statement.once(&mut main.lb_upgrade_timeout, Statement::milliseconds)
    }),
    Directive::simple("lb_ready_file", AtLeast(1), |main, statement, reader| {
        statement.once(&mut main.ready_file, |statement| {
            ready_file::read(statement, reader)
        })?;
        main.ready_file_span = Some(statement.span.clone());
        Ok(())
    }),
    Directive::simple("lb_state", AtLeast(1), |main, statement, reader| {
        statement.once(&mut main.state, |statement| {
            StateConfig::read(statement, reader)
        })?;
        main.state_span = Some(statement.span.clone());
        Ok(())
    }),
    Directive::block("mail", Exactly(0), |main, statement, reader| {
        statement.once(&mut main.mail, |_| not_served(statement, reader))
    }),
    Directive::simple("pid", Exactly(1), |main, statement, reader| {
        statement.once(&mut main.pid, |statement| {
            Ok(reader.files().resolve(statement.arg()))
        })?;
        main.pid_span = Some(statement.span.clone());
        Ok(())
    }),
    // Of a module that is not nginx's own, and in many builds.
    Directive::block("rtmp", Exactly(0), |main, statement, reader| {
        statement.once(&mut main.rtmp, |_| not_served(statement, reader))
    }),
    Directive::block("stream", Exactly(0), |main, statement, reader| {
        statement.once(&mut main.stream, |_| stream(statement, reader))
    }),
    Directive::block("types", Exactly(0), |main, statement, reader| {
        statement.once(&mut main.types, |_| not_served(statement, reader))
    }),
    Directive::simple("user", Between(1, 2), |main, statement, _| {
        statement.once(&mut main.user, user)
    }),
    Directive::simple("worker_processes", Exactly(1), |main, statement, _| {
        statement.once(&mut main.worker_processes, worker_processes)
    }),
    Directive::simple("worker_rlimit_nofile", Exactly(1), |main, statement, _| {
        statement.once(&mut main.worker_rlimit_nofile, Statement::number)
    }),
    Directive::simple(
        "worker_shutdown_timeout",
        Exactly(1),
        |main, statement, _| {
            statement.once(&mut main.worker_shutdown_timeout, Statement::milliseconds)
        },
    ),
    Directive::simple("worker_priority", Exactly(1), |main, statement, _| {
        statement.once(&mut main.worker_priority, worker_priority)
    }),
    Directive::simple("worker_rlimit_core", Exactly(1), |main, statement, _| {
        statement.once(&mut main.worker_rlimit_core, Statement::offset)
    }),
    Directive::without_effect("debug_points", Exactly(1)),
    Directive::without_effect("env", Exactly(1)),
    Directive::without_effect("load_module", Exactly(1)),
    Directive::without_effect("lock_file", Exactly(1)),
    Directive::without_effect("master_process", Exactly(1)),
    Directive::without_effect("pcre_jit", Exactly(1)),
    Directive::without_effect("quic_bpf", Exactly(1)),
    Directive::without_effect("ssl_engine", Exactly(1)),
    Directive::without_effect("ssl_object_cache_inheritable", Exactly(1)),
    Directive::without_effect("thread_pool", Between(2, 3)),
    Directive::without_effect("timer_resolution", Exactly(1)),
    Directive::without_effect("worker_cpu_affinity", AtLeast(1)),
    Directive::without_effect("working_directory", Exactly(1)),
];

impl Block for MainBlock {
    const DIRECTIVES: &'static [Directive<Self>] = MAIN;
    const SHARED: &'static [&'static [Directive<Self>]] =
        &[Directive::ERROR_LOG, Directive::SHUTDOWN];
}

impl Has<Vec<ErrorLog>> for MainBlock {
    fn part(&mut self) -> &mut Vec<ErrorLog> {
        &mut self.error_logs
    }
}

impl Has<ShutdownBlock> for MainBlock {
    fn part(&mut self) -> &mut ShutdownBlock {
        &mut self.shutdown
    }
}

/// Reads the block. One without a server is what a directory of included files has at first.
fn stream(statement: &Statement, reader: &mut Reader<'_>) -> Result<StreamBlock, ConfigError> {
    let before = reader.mistakes();
    let stream = reader.read_block(StreamBlock::default())?;
    if stream.servers.is_empty() && !reader.has_mistaken("server", before) {
        let text = "no \"server\" is inside \"stream\": nothing is served until a reload adds one";
        reader.warn(statement, text);
    }
    Ok(stream)
}

/// Skips the block of another protocol.
fn not_served(statement: &Statement, reader: &mut Reader<'_>) -> Result<(), ConfigError> {
    let name = statement.name();
    reader.warn(
        statement,
        format!(
            "nginx_like serves \"stream\" only: the \"{name}\" block is skipped and not served"
        ),
    );
    reader.skip_block()
}

fn user(statement: &Statement) -> Result<User, ConfigError> {
    Ok(User {
        name: statement.arg().to_owned(),
        group: statement.parameters().next().map(str::to_owned),
        span: statement.span.clone(),
    })
}

/// Reads a number with or without a sign.
fn worker_priority(statement: &Statement) -> Result<i32, ConfigError> {
    let text = statement.arg();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let number = units::number(digits).and_then(|number| i32::try_from(number).ok());
    let number = number.ok_or_else(|| {
        let name = statement.name().to_owned();
        statement.error(SyntaxError::InvalidNumber { name })
    })?;
    Ok(if text.starts_with('-') {
        -number
    } else {
        number
    })
}

fn worker_processes(statement: &Statement) -> Result<WorkerProcesses, ConfigError> {
    if statement.arg() == "auto" {
        return Ok(WorkerProcesses::Auto);
    }
    let count = units::number(statement.arg()).and_then(|count| usize::try_from(count).ok());
    count
        .filter(|count| *count <= MAX_PROCESSES)
        .and_then(NonZeroUsize::new)
        .map(WorkerProcesses::Count)
        .ok_or_else(|| statement.invalid_value())
}
