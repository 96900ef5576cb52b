//! One log and the thread that writes it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::queue::{Entry, Queue};

/// A log file, or the standard error stream.
///
/// A separate thread writes the messages in order, so a thread that logs never waits for the reader or the disk. The writing
/// thread ends when it has no message. After the drop it writes the queued messages and ends.
#[derive(Debug)]
pub(super) struct Sink {
    /// `None` is the standard error stream.
    path: Option<PathBuf>,
    queue: Arc<Queue>,
}

impl Sink {
    /// Writes to `file` from now on.
    ///
    /// # Errors
    ///
    /// The kernel starts no more threads.
    pub(super) fn start(path: Option<&Path>, file: File) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(file));
        // Starts a thread once, so that a failure is returned here.
        start_thread(&queue)?;
        let path = path.map(Path::to_owned);
        Ok(Self { path, queue })
    }

    /// The standard error stream, by a descriptor of its own: the lock of [`io::stderr`] stays free while the reader
    /// of the stream is slow.
    pub(super) fn stderr() -> io::Result<Self> {
        let file = io::stderr().as_fd().try_clone_to_owned()?;
        Self::start(None, file.into())
    }

    /// The file's name. `None` for the standard error stream.
    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Writes a message soon, or counts it as dropped if too many wait.
    pub(super) fn push(&self, message: &[u8]) {
        let needs_thread = self.queue.push(message);
        self.start_if(needs_thread);
    }

    /// Writes later messages to `file`.
    pub(super) fn switch(&self, file: File) {
        let needs_thread = self.queue.switch(file);
        self.start_if(needs_thread);
    }

    /// Waits until all messages are written, but not longer than until `deadline`.
    pub(super) fn flush(&self, deadline: Instant) {
        self.start_if(self.queue.needs_thread());
        self.queue.flush(deadline);
    }

    /// Starts the thread if it is needed. If the kernel starts no more threads the messages wait for the next try.
    fn start_if(&self, needs_thread: bool) {
        if needs_thread && start_thread(&self.queue).is_err() {
            self.queue.note_not_started();
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let needs_thread = self.queue.close();
        self.start_if(needs_thread);
    }
}

fn start_thread(queue: &Arc<Queue>) -> io::Result<()> {
    let queue = Arc::clone(queue);
    let thread = thread::Builder::new().name("log".to_owned());
    thread.spawn(move || write(&queue)).map(drop)
}

/// Writes queued messages until the queue stays empty for a time. Logs the number of dropped messages.
fn write(queue: &Queue) {
    let mut idle = queue.begin();
    while let Some(output) = idle.take()
        && let Some((mut output, batch)) = queue.take(output)
    {
        for entry in batch.entries {
            match entry {
                Entry::Message(message) => {
                    output.lost += u64::from(put(&output.file, &message).is_err());
                }
                Entry::Switch(next) => output.file = next,
            }
        }
        output.lost += batch.dropped;
        if output.lost > 0 && put(&output.file, notice(output.lost).as_bytes()).is_ok() {
            output.lost = 0;
        }
        idle = Some(output);
    }
}

/// Writes all of `message`, also to a pipe that another process has made non-blocking.
fn put(mut file: &File, mut message: &[u8]) -> io::Result<()> {
    while !message.is_empty() {
        match file.write(message) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => message = &message[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(file, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Formats the line about dropped messages like any other log line.
fn notice(lost: u64) -> String {
    let mut line = String::new();
    // Writing to a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut line));
    let _ = writeln!(line, " ERROR Log messages dropped count={lost}");
    line
}

#[cfg(test)]
mod tests;
