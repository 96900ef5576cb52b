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

/// A log file, or the standard error stream. Logging to it never waits for its reader or its disk: a thread of its own
/// writes, in the order of the messages. Dropping it ends the thread behind the last message.
#[derive(Debug)]
pub(super) struct Sink {
    /// `None` is the standard error stream.
    path: Option<PathBuf>,
    queue: Arc<Queue>,
}

impl Sink {
    /// Starts the thread that writes to `file`.
    ///
    /// # Errors
    ///
    /// The kernel starts no more threads.
    pub(super) fn start(path: Option<&Path>, file: File) -> io::Result<Self> {
        let queue = Arc::<Queue>::default();
        let taken = Arc::clone(&queue);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(&taken, file))?;
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
        self.queue.push(message);
    }

    /// Writes later messages to `file`.
    pub(super) fn switch(&self, file: File) {
        self.queue.switch(file);
    }

    /// Waits until all messages are written, but not longer than until `deadline`.
    pub(super) fn flush(&self, deadline: Instant) {
        self.queue.flush(deadline);
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Writes what comes. The log itself tells how many messages it lacks.
fn write(queue: &Queue, mut file: File) {
    let mut lost = 0;
    while let Some(batch) = queue.take() {
        for entry in batch.entries {
            match entry {
                Entry::Message(message) => lost += u64::from(put(&file, &message).is_err()),
                Entry::Switch(next) => file = next,
            }
        }
        lost += batch.dropped;
        if lost > 0 && put(&file, notice(lost).as_bytes()).is_ok() {
            lost = 0;
        }
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

/// Looks like the messages around it.
fn notice(lost: u64) -> String {
    let mut line = String::new();
    // Writing to a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut line));
    let _ = writeln!(line, " ERROR Log messages dropped count={lost}");
    line
}

#[cfg(test)]
mod tests;
