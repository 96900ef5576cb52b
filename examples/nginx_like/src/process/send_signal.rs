//! `-s`: sends a signal to the process that serves already.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};

use crate::syntax::error::Os;

/// More bytes than any process id has.
const MAX_BYTES: u64 = 32;

/// The argument of `-s`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SignalCommand {
    /// Stop at once: SIGTERM
    Stop,
    /// Stop accepting and wait for the open connections: SIGQUIT
    Quit,
    /// Read the configuration again: SIGHUP
    Reload,
    /// Reopen the logs: SIGUSR1
    Reopen,
}

/// Why the signal was not sent. Worded as in nginx, but for the hints.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignalError {
    #[error("invalid PID number \"{text}\" in \"{}\"", path.display())]
    Invalid { text: String, path: PathBuf },
    #[error("kill({pid}, {signal}) failed ({}): the id comes from \"{}\"", Os(source), path.display())]
    Kill {
        pid: i32,
        signal: i32,
        path: PathBuf,
        source: io::Error,
    },
    #[error("open() \"{}\" failed ({})", path.display(), Os(source))]
    Open { path: PathBuf, source: io::Error },
    #[error("read() \"{}\" failed ({})", path.display(), Os(source))]
    Read { path: PathBuf, source: io::Error },
}

impl SignalError {
    /// nginx's name of its severity.
    pub(crate) const fn level(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "alert",
            Self::Read { .. } => "crit",
            Self::Invalid { .. } | Self::Open { .. } => "error",
        }
    }
}

impl SignalCommand {
    /// Sends the signal to the process that wrote the file `path`, the `pid` of the configuration.
    pub(crate) fn send(self, path: &Path) -> Result<(), SignalError> {
        let (pid, signal) = (process_of(path)?, self.signal());
        kill_process(pid, signal).map_err(|errno| SignalError::Kill {
            pid: pid.as_raw_nonzero().get(),
            signal: signal.as_raw(),
            path: path.to_owned(),
            source: errno.into(),
        })
    }

    const fn signal(self) -> Signal {
        match self {
            Self::Stop => Signal::TERM,
            Self::Quit => Signal::QUIT,
            Self::Reload => Signal::HUP,
            Self::Reopen => Signal::USR1,
        }
    }
}

/// The process with the id in the file.
pub(crate) fn process_of(path: &Path) -> Result<Pid, SignalError> {
    // A FIFO without a writer reads as empty, and does not block.
    let mut options = File::options();
    options
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path).map_err(|source| SignalError::Open {
        path: path.to_owned(),
        source,
    })?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES).read_to_end(&mut bytes);
    read.map_err(|source| SignalError::Read {
        path: path.to_owned(),
        source,
    })?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_end_matches(['\r', '\n']);
    // A zero or a sign would address groups of processes.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let id = text.parse().ok().filter(|_| digits);
    id.and_then(Pid::from_raw)
        .ok_or_else(|| SignalError::Invalid {
            text: text.to_owned(),
            path: path.to_owned(),
        })
}
