//! Runs a command without a shell, for a bounded time.

use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use lb_core::Escaped;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::select;
use tokio::time::timeout;

use crate::config::shutdown::WithdrawCommand;
use crate::syntax::error::Os;

/// How much of its output is in the log, if it fails.
const MAX_OUTPUT: usize = 1024;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error("{status}{}", shown(output))]
    Failed { status: ExitStatus, output: Vec<u8> },
    #[error("it cannot be started ({})", Os(.0))]
    Start(io::Error),
    #[error("killed, because it did not end within {limit:?}{}", shown(output))]
    TimedOut { limit: Duration, output: Vec<u8> },
    #[error("its end cannot be observed ({})", Os(.0))]
    Wait(io::Error),
}

/// The output, where there is some.
fn shown(output: &[u8]) -> String {
    match String::from_utf8_lossy(output).trim() {
        "" => String::new(),
        text => format!(": {}", Escaped(text)),
    }
}

/// Runs `command`, and kills it with all that it has started after its time. Dropping the future kills it, too.
pub(super) async fn run(command: &WithdrawCommand) -> Result<(), CommandError> {
    let (mut running, pipe) = start(command).map_err(CommandError::Start)?;
    let limit = command.timeout;
    let mut output = CommandOutput::new(pipe).map_err(CommandError::Start)?;
    let ended = timeout(limit, async {
        loop {
            select! {
                status = running.child.wait() => return status,
                () = output.read() => {}
            }
        }
    })
    .await;
    let Ok(ended) = ended else {
        output.read_rest();
        return Err(CommandError::TimedOut {
            limit,
            output: output.bytes,
        });
    };
    let status = ended.map_err(CommandError::Wait)?;
    match status.success() {
        true => Ok(()),
        false => {
            output.read_rest();
            Err(CommandError::Failed {
                status,
                output: output.bytes,
            })
        }
    }
}

/// Both of its outputs are one pipe. The descriptors of the command are closed here.
fn start(command: &WithdrawCommand) -> io::Result<(RunningCommand, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    let child = Command::new(&command.program)
        .args(&command.arguments)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()?;
    Ok((RunningCommand { child }, reader))
}

/// The process, leader of a process group of its own.
struct RunningCommand {
    child: Child,
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        // Without an id it has been waited for. Until then no other group has its number.
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// The first bytes of its output. All others are read and dropped, so that the command never waits for a reader.
struct CommandOutput {
    pipe: Option<Receiver>,
    bytes: Vec<u8>,
}

impl CommandOutput {
    fn new(pipe: PipeReader) -> io::Result<Self> {
        Ok(Self {
            pipe: Some(Receiver::from_owned_fd(OwnedFd::from(pipe))?),
            bytes: Vec::new(),
        })
    }

    /// Reads what comes next. Never completes after the end. Cancel-safe.
    async fn read(&mut self) {
        match &self.pipe {
            Some(pipe) if pipe.readable().await.is_ok() => self.read_rest(),
            _ => std::future::pending().await,
        }
    }

    /// Reads what is there.
    fn read_rest(&mut self) {
        let mut chunk = [0; MAX_OUTPUT];
        while let Some(pipe) = &self.pipe {
            match pipe.try_read(&mut chunk) {
                Ok(read @ 1..) => {
                    let kept = read.min(MAX_OUTPUT - self.bytes.len());
                    self.bytes.extend_from_slice(&chunk[..kept]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // A process that the command has started may keep the pipe.
                Ok(0) | Err(_) => self.pipe = None,
            }
        }
    }
}
