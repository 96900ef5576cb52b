//! A program that is waited for.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::time::{interval, timeout};

/// The most bytes that are read of what a program writes to one of its streams.
const MAX_OUTPUT: usize = 1 << 20;

/// How often to look whether a program has ended that has not closed its streams.
const LOOK: Duration = Duration::from_millis(100);

/// What a program that has ended left behind.
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// Whether a process that the program started kept its streams open, and was killed for it.
    pub(crate) was_held: bool,
}

/// Why there is no output.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The program did not end in time.
    Hung,
    /// The program ended, but a process that it started keeps its streams open.
    Held,
    /// An error of the system, or output without end.
    Io(io::Error),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A program that leads a process group, which is killed when this is dropped before the program was waited for.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Waits until it has ended and closed its streams. Open streams of a program that has ended are not waited for
    /// where it failed, or where its output is complete by `is_complete`.
    ///
    /// # Errors
    ///
    /// See [`Problem`]. The process group is killed then.
    pub(crate) async fn output(
        mut self,
        limit: Duration,
        is_complete: impl Fn(&[u8]) -> bool,
    ) -> Result<Output, Problem> {
        let group = self.group();
        let ending = timeout(limit, self.end(is_complete)).await;
        ending.unwrap_or_else(|_| {
            let has_ended = group.is_some_and(|group| ended(group).is_some());
            Err(if has_ended {
                Problem::Held
            } else {
                Problem::Hung
            })
        })
    }

    async fn end(&mut self, is_complete: impl Fn(&[u8]) -> bool) -> Result<Output, Problem> {
        let group = self.group();
        let mut stdout = Reading::of(self.0.stdout.take());
        let mut stderr = Reading::of(self.0.stderr.take());
        let mut look = interval(LOOK);
        let mut was_held = false;
        while stdout.is_open() || stderr.is_open() {
            tokio::select! {
                // What a program wrote before it ended is read before its end is looked for.
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
        Ok(Output {
            // Last: before that the number of the group cannot be another's, so the group can be killed.
            status: self.0.wait().await?,
            stdout: stdout.bytes,
            stderr: stderr.bytes,
            was_held,
        })
    }

    /// The process group. `None` once the program was waited for: the number may be another's.
    fn group(&self) -> Option<Pid> {
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        id.and_then(Pid::from_raw)
    }

    fn kill(&self) {
        if let Some(group) = self.group() {
            // Fails only if the group has ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether the program has succeeded. `None` while it runs. Does not wait for it, so that its number stays its own.
fn ended(program: Pid) -> Option<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let status = waitid(WaitId::Pid(program), options).ok()??;
    Some(status.exit_status() == Some(0))
}

/// What was read of a stream.
struct Reading<R> {
    /// `None` after its end.
    stream: Option<R>,
    bytes: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reading<R> {
    const fn of(stream: Option<R>) -> Self {
        let bytes = Vec::new();
        Self { stream, bytes }
    }

    const fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Reads once. Cancelling it loses nothing.
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
