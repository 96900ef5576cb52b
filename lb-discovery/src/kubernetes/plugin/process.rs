//! A program that is waited for.

use std::io;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;

/// The most bytes that are read of what a program writes to one of its streams.
const MAX_OUTPUT: u64 = 1 << 20;

/// What a program that has ended left behind.
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// A program that leads a process group, which is killed when this is dropped.
pub(super) struct Running(pub(super) Child);

impl Running {
    /// Waits until it has ended and closed its streams.
    ///
    /// # Errors
    ///
    /// Those of the system, and output without end.
    pub(super) async fn output(mut self) -> io::Result<Output> {
        let (stdout, stderr) = (self.0.stdout.take(), self.0.stderr.take());
        let (status, stdout, stderr) = tokio::try_join!(self.0.wait(), read(stdout), read(stderr))?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A process that was waited for has no id any more: the number may be another's.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            // Fails only if the group has ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(MAX_OUTPUT).read_to_end(&mut bytes).await?;
    }
    if bytes.len() as u64 == MAX_OUTPUT {
        let problem = format!("it writes {MAX_OUTPUT} bytes or more");
        return Err(io::Error::other(problem));
    }
    Ok(bytes)
}
