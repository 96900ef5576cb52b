//! Errors of a start and of a reload.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use lb_core::Endpoint;
use lb_proxy::admin::AdminError;
use lb_proxy::errors::{BindError, ReloadError};

use super::send_signal::SignalError;
use crate::build::error::BuildError;
use crate::build::loops::Loop;
use crate::config::admin::AdminListen;
use crate::config::hint::hint;
use crate::config::main::Config;
use crate::logs::syslog::SyslogError;
use crate::syntax::error::{ConfigError, Os};
use crate::syntax::span::Span;

/// Why the server does not start, or does not apply a configuration. Where nginx has the same error, the words are nginx's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("\"lb_admin\": {} in {span}", admin_failed(source, token.as_deref()))]
    Admin {
        source: AdminError,
        /// The file of its token.
        token: Option<PathBuf>,
        span: Span,
    },
    #[error(
        "\"lb_admin\": there is no group \"{name}\": write a group of the system behind \"group=\", in {span}"
    )]
    AdminGroup { name: String, span: Span },
    #[error(
        "{source}: the running \"lb_admin {admin}\" listens there until it is removed by a reload of its own"
    )]
    AdminInTheWay { source: Box<Self>, admin: Endpoint },
    #[error("{}", bind_failed(.0))]
    Bind(#[from] BindError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the daemon has ended before it listened ({0})")]
    DaemonEnded(ExitStatus),
    #[error(
        "systemd passes its sockets (LISTEN_FDS) to this process alone, which \"daemon on\" leaves: write \"daemon off;\""
    )]
    DaemonWithSockets,
    #[error("the demonstration cannot listen on {addr}: {source}")]
    Demo { addr: SocketAddr, source: io::Error },
    #[error("the helper process, which stays the superuser beside \"user\", failed ({})", Os(.0))]
    Helper(io::Error),
    #[error(
        "{source}: this is read as \"{user}\", the \"user\" of the configuration, which must be allowed to read it"
    )]
    AsUser { source: Box<Self>, user: String },
    #[error("open() \"{}\" failed ({})", path.display(), Os(source))]
    Open { path: PathBuf, source: io::Error },
    #[error(
        "\"lb_ready_file\": \"{}\" cannot be written ({}): the user of the process needs the right to create files in its directory",
        path.display(),
        Os(source)
    )]
    ReadyFile { path: PathBuf, source: io::Error },
    #[error("the runtime cannot be started ({})", Os(.0))]
    Runtime(io::Error),
    #[error("{}", reload_failed(.0))]
    Reload(#[from] ReloadError),
    #[error(transparent)]
    Signal(#[from] SignalError),
    #[error("{source} in {span}")]
    Syslog { source: SyslogError, span: Span },
    #[error("{call} failed ({})", Os(source))]
    System { call: String, source: io::Error },
    #[error("a thread cannot be started ({}){}", Os(.0), thread_hint(.0))]
    Thread(io::Error),
    #[error("{call}(\"{name}\") failed in {span}")]
    UnknownUser {
        call: &'static str,
        name: String,
        span: Span,
    },
    #[error(transparent)]
    Loop(#[from] Loop),
    #[error("{call} failed ({}): the upgrade is given up", Os(source))]
    Upgrade {
        call: &'static str,
        source: io::Error,
    },
}

impl StartError {
    /// The file at `path` cannot be opened.
    pub(crate) fn open(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Open {
            path: path.to_owned(),
            source,
        }
    }

    /// The file of `lb_ready_file` cannot be written.
    pub(crate) fn ready_file(config: &Config) -> impl FnOnce(io::Error) -> Self {
        let path = config.ready_file.as_ref();
        let path = path.map_or_else(PathBuf::new, |file| file.path.clone());
        |source| Self::ReadyFile { path, source }
    }

    /// The socket or the token of `lb_admin` cannot be opened.
    pub(crate) fn admin(listen: &AdminListen) -> impl FnOnce(AdminError) -> Self {
        |source| Self::Admin {
            source,
            token: listen.token.clone(),
            span: listen.span.clone(),
        }
    }

    /// The step `call` of an upgrade has failed.
    pub(crate) fn upgrade(call: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Upgrade { call, source }
    }

    /// The file operation named `what` has hung.
    pub(crate) fn hung(what: &str) -> impl FnOnce(io::Error) -> Self {
        |source| Self::System {
            call: what.to_owned(),
            source,
        }
    }

    /// What to do about it, if it does not say so itself.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => hint(error),
            Self::UnknownUser {
                call: "getgrnam",
                name,
                ..
            } => Some(format!(
                "there is no group \"{name}\", which without a second argument has the name of the user: name one, as in \"user USER GROUP\""
            )),
            Self::UnknownUser { name, .. } => Some(format!(
                "add \"{name}\" to the system, or name another in \"user\""
            )),
            _ => None,
        }
    }

    /// nginx's name of its severity.
    pub(crate) const fn level(&self) -> &'static str {
        match self {
            Self::Signal(error) => error.level(),
            _ => "emerg",
        }
    }
}

fn bind_failed(error: &BindError) -> String {
    match error {
        BindError::Listen { addr, source } => format!("bind() to {addr} failed ({})", Os(source)),
        BindError::Worker { source } => {
            let hint = thread_hint(source);
            format!("a worker cannot be started ({}){hint}", Os(source))
        }
        BindError::InTheWay {
            addr,
            other,
            source,
        } => format!(
            "bind() to {addr} failed ({}): another program listens there, or the sockets of the listener on {other} belong to \
             another user; if so, remove that listener by a reload of its own, or restart",
            Os(source)
        ),
        other => other.to_string(),
    }
}

fn admin_failed(error: &AdminError, token: Option<&Path>) -> String {
    match error {
        AdminError::InvalidToken => match token {
            Some(path) => format!("{error}, in the file {}", path.display()),
            None => error.to_string(),
        },
        AdminError::Listen { source, .. } | AdminError::ReadToken { source, .. } => {
            format!("{error} ({})", Os(source))
        }
        error => error.to_string(),
    }
}

/// The fix for too many threads.
fn thread_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::WouldBlock => {
            ": lower \"worker_processes\", or raise the limit of threads (ulimit -u, TasksMax, pids.max)"
        }
        _ => "",
    }
}

fn reload_failed(error: &ReloadError) -> String {
    match error {
        ReloadError::Bind(error) => bind_failed(error),
        other => other.to_string(),
    }
}
