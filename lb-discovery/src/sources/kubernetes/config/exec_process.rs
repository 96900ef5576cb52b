//! The process of an exec plugin.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::time::{interval, timeout};

/// The maximum number of bytes that are read from each output stream.
const MAX_OUTPUT: usize = 1 << 20;

/// How often to check whether a program has exited without closing its streams.
const LOOK: Duration = Duration::from_millis(100);

/// The result of a program that has exited.
pub(crate) struct PluginOutput {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// Whether a child process kept the streams open and was killed.
    pub(crate) was_held: bool,
}

/// Why there is no output.
#[derive(Debug)]
pub(crate) enum ProcessError {
    /// The program did not exit in time.
    Hung,
    /// The program exited, but a child process keeps its streams open.
    Held,
    /// A system error, or too much output.
    Io(io::Error),
}

impl From<io::Error> for ProcessError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A program that leads a process group. Dropping it before the program was reaped kills the group.
pub(crate) struct PluginProcess(pub(crate) Child);

impl PluginProcess {
    /// Waits until the program has exited and its streams are closed. Does not wait for the streams after the exit of a
    /// program that failed, or if its output is complete by `is_complete`.
    ///
    /// # Errors
    ///
    /// See [`ProcessError`]. The process group is killed then.
    pub(crate) async fn output(
        mut self,
        limit: Duration,
        is_complete: impl Fn(&[u8]) -> bool,
    ) -> Result<PluginOutput, ProcessError> {
        let group = self.group();
        let ending = timeout(limit, self.end(is_complete)).await;
        ending.unwrap_or_else(|_| {
            let has_ended = group.is_some_and(|group| ended(group).is_some());
            Err(if has_ended {
                ProcessError::Held
            } else {
                ProcessError::Hung
            })
        })
    }

    async fn end(
        &mut self,
        is_complete: impl Fn(&[u8]) -> bool,
    ) -> Result<PluginOutput, ProcessError> {
        let group = self.group();
        let mut stdout = OutputStream::of(self.0.stdout.take());
        let mut stderr = OutputStream::of(self.0.stderr.take());
        let mut look = interval(LOOK);
        let mut was_held = false;
        while stdout.is_open() || stderr.is_open() {
            tokio::select! {
                // The output is read before the exit is checked, so that none of it is lost.
                biased;
                read = stdout.read(), if stdout.is_open() => read?,
                read = stderr.read(), if stderr.is_open() => read?,
                _ = look.tick() => {
                    let succeeded = group.and_then(ended);
                    if succeeded.is_some_and(|succeeded| !succeeded || is_complete(&stdout.bytes)) {
                        was_held = true;
                        self.kill();
                        break;
                    }
                }
            }
        }
        Ok(PluginOutput {
            // Last: until the program is reaped its id cannot be reused, so killing the group is safe.
            status: self.0.wait().await?,
            stdout: stdout.bytes,
            stderr: stderr.bytes,
            was_held,
        })
    }

    /// The process group. `None` once the program was reaped: its id may be reused.
    fn group(&self) -> Option<Pid> {
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        id.and_then(Pid::from_raw)
    }

    fn kill(&self) {
        if let Some(group) = self.group() {
            // Fails only if every process of the group has exited.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for PluginProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether the program has succeeded. `None` while it runs. Does not reap it, so that its id is not reused.
fn ended(program: Pid) -> Option<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let status = waitid(WaitId::Pid(program), options).ok()??;
    Some(status.exit_status() == Some(0))
}

/// One output stream, and what was read from it.
struct OutputStream<R> {
    /// `None` at end of file.
    stream: Option<R>,
    bytes: Vec<u8>,
}

impl<R: AsyncRead + Unpin> OutputStream<R> {
    const fn of(stream: Option<R>) -> Self {
        let bytes = Vec::new();
        Self { stream, bytes }
    }

    const fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Reads once. Cancel-safe.
    async fn read(&mut self) -> io::Result<()> {
        if let Some(stream) = &mut self.stream
            && stream.read_buf(&mut self.bytes).await? == 0
        {
            self.stream = None;
        }
        if self.bytes.len() >= MAX_OUTPUT {
            let problem = format!("it writes {MAX_OUTPUT} bytes or more");
            return Err(io::Error::other(problem));
        }
        Ok(())
    }
}
