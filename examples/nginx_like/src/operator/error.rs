//! Errors of a subcommand that has no answer.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use lb_core::Escaped;
use lb_proxy::admin::AdminError;

use super::target::Target;
use crate::syntax::error::{ConfigError, Os};

/// The end of a subcommand, as an exit code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// The answer is as asked.
    Success = 0,
    /// The answer is not as asked.
    NotAsAsked = 1,
    /// The command line, the address or the token file is wrong.
    Usage = 2,
    /// The server cannot be reached, or does not answer as an admin server.
    Unreachable = 3,
    /// The request is refused.
    Refused = 4,
}

/// Why a subcommand has no answer. Texts of the server are escaped where they are shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperatorError {
    #[error("{target} does not answer as an admin server: {reason}")]
    Answer { target: Target, reason: String },
    #[error(
        "the answer of {target} is longer than {} MiB: ask for less, or read it with another client",
        limit / (1024 * 1024)
    )]
    AnswerTooLong { target: Target, limit: usize },
    #[error(
        "the address of the admin server is unknown ({source}): give it with --admin, or in LB_ADMIN"
    )]
    Config { source: ConfigError },
    #[error("{target} cannot be reached ({}){}", Os(source), connect_hint(source))]
    Connect { target: Target, source: io::Error },
    #[error("LB_ADMIN: {0}")]
    Environment(String),
    #[error("{}", Escaped(text))]
    Failed { text: String },
    #[error(
        "the address of the admin server is unknown: \"{}\" has no \"lb_admin\"; give the address with --admin, or in LB_ADMIN",
        path.display()
    )]
    NoAdmin { path: PathBuf },
    #[error("{0}")]
    NotAsAsked(String),
    #[error("the output cannot be written ({})", Os(.0))]
    Output(io::Error),
    #[error("{target} refuses the request: {text}{hint}")]
    Refused {
        target: Target,
        text: String,
        hint: String,
    },
    #[error("the runtime cannot be started ({})", Os(.0))]
    OperatorRuntime(io::Error),
    #[error("{target} has not answered within {} s", timeout.as_secs_f64())]
    Silent { target: Target, timeout: Duration },
    #[error(
        "{target} has version {found} of the status, and this program reads version {known}: use --json, or the program of the server's release"
    )]
    StatusVersion {
        target: Target,
        found: u32,
        known: u32,
    },
    #[error(transparent)]
    Token(AdminError),
    #[error("{text}")]
    Usage { text: String },
}

impl OperatorError {
    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Exit::Refused
            }
            Self::Answer { .. }
            | Self::AnswerTooLong { .. }
            | Self::Connect { .. }
            | Self::OperatorRuntime(_)
            | Self::Silent { .. }
            | Self::StatusVersion { .. } => Exit::Unreachable,
            Self::Config { .. }
            | Self::Environment(_)
            | Self::NoAdmin { .. }
            | Self::Token(_)
            | Self::Usage { .. } => Exit::Usage,
            Self::Failed { .. } | Self::NotAsAsked(_) | Self::Output(_) => Exit::NotAsAsked,
            Self::Refused { .. } => Exit::Refused,
        }
    }
}

/// What to do about a failed connection.
fn connect_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
            ": does the server run, with \"lb_admin\" at this address?"
        }
        io::ErrorKind::PermissionDenied => {
            ": be the user of the server, root, or a member of the group of its socket"
        }
        _ => "",
    }
}
