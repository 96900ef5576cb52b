//! One log and the thread that writes it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use rustix::io::Errno;
use tracing::error;

use super::chunk::Chunk;
use super::flush_timer::FlushTimer;
use super::level::LogLevel;
use super::line::{line, os_error};
use super::path_cache::{FileCacheSettings, PathCache};
use super::queue::{Entry, Output, Pushed, Queue, is_due};
use super::syslog::{Syslog, SyslogSocket};
use super::writer::{WriteError, Writer};

/// The `tracing` target of events that nginx logs at `alert`.
pub(crate) const ALERT_TARGET: &str = "nginx_like::alert";

/// The `tracing` target of events that nginx logs at `emerg`.
pub(crate) const EMERG_TARGET: &str = "nginx_like::emerg";

/// Lines of an access log without a buffer are gathered for this time, up to this size: each write costs a system call
/// and wakes a thread, which ten thousand sessions in a second must not each pay for.
const GATHER: LogBuffer = LogBuffer {
    size: 32 << 10,
    flush: Some(Duration::from_millis(50)),
    gzip: None,
};

/// A log: a file, the standard error stream, files by name, or a syslog server.
///
/// A separate thread writes the messages in order, so a thread that logs never waits for the reader or the disk. The writing
/// thread ends when it has no message. After the drop it writes the queued messages and ends.
#[derive(Debug)]
pub(crate) struct Sink {
    shown: Arc<str>,
    path: Option<PathBuf>,
    queue: Arc<Queue>,
    reports: Reports,
    syslog: Option<Syslog>,
}

/// How many lines are gathered before they are written.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct LogBuffer {
    /// In bytes.
    pub(crate) size: usize,
    /// The longest time that a line waits. `None`: until the buffer is full.
    pub(crate) flush: Option<Duration>,
    /// The level of compression, 1 to 9.
    pub(crate) gzip: Option<u32>,
}

/// Where the number of lost lines is reported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reports {
    /// In the log itself.
    Itself,
    /// In the error log, with the reason.
    ErrorLog,
}

impl Sink {
    /// An error log: writes each message to `file` from now on.
    ///
    /// # Errors
    ///
    /// The kernel starts no more threads.
    pub(crate) fn start(path: Option<&Path>, file: File) -> io::Result<Self> {
        let shown = path.map_or_else(|| "stderr".into(), |path| path.display().to_string().into());
        let mut started = Self::new(shown, Writer::File(file), 0, None, Reports::Itself)?;
        started.path = path.map(Path::to_owned);
        Ok(started)
    }

    /// The standard error stream, by a descriptor of its own: the lock of [`io::stderr`] stays free while the reader
    /// of the stream is slow.
    pub(crate) fn stderr() -> io::Result<Self> {
        let file = io::stderr().as_fd().try_clone_to_owned()?;
        Self::start(None, file.into())
    }

    /// An access log in `file`.
    ///
    /// # Errors
    ///
    /// The kernel starts no more threads.
    pub(crate) fn access(path: &Path, file: File, buffer: Option<LogBuffer>) -> io::Result<Self> {
        let buffer = buffer.unwrap_or(GATHER);
        let writer = match buffer.gzip {
            Some(level) => Writer::Gzip(file, Compression::new(level)),
            None => Writer::File(file),
        };
        let shown = path.display().to_string().into();
        let mut started = Self::new(shown, writer, buffer.size, buffer.flush, Reports::ErrorLog)?;
        started.path = Some(path.to_owned());
        Ok(started)
    }

    /// An access log in files that each line names.
    ///
    /// # Errors
    ///
    /// The kernel starts no more threads.
    pub(crate) fn paths(shown: &str, cache: Option<FileCacheSettings>) -> io::Result<Self> {
        let writer = Writer::Paths(PathCache::new(cache));
        Self::new(shown.into(), writer, 0, None, Reports::ErrorLog)
    }

    /// A syslog server, by a [socket](Syslog::connect) to it.
    ///
    /// # Errors
    ///
    /// The kernel starts no more threads.
    pub(crate) fn syslog(syslog: &Syslog, socket: SyslogSocket) -> io::Result<Self> {
        let shown = syslog.server.to_string().into();
        let mut started = Self::new(shown, Writer::Syslog(socket), 0, None, Reports::ErrorLog)?;
        started.syslog = Some(syslog.clone());
        Ok(started)
    }

    fn new(
        shown: Arc<str>,
        writer: Writer,
        chunk_size: usize,
        flush: Option<Duration>,
        reports: Reports,
    ) -> io::Result<Self> {
        let started = Self {
            path: None,
            queue: Arc::new(Queue::new(writer, chunk_size, flush)),
            shown,
            reports,
            syslog: None,
        };
        // Starts a thread once, so that a failure is returned here.
        start_thread(&started.queue, &started.shown, reports)?;
        Ok(started)
    }

    /// The file's name, if it is one file.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Writes a line soon, or counts it as dropped if too many wait. `level` is that of the line, if it has one.
    pub(crate) fn push(&self, level: Option<LogLevel>, line: &[u8]) {
        match &self.syslog {
            Some(syslog) => self.push_to(None, &syslog.message(level, line)),
            None => self.push_to(None, line),
        }
    }

    /// Writes a line to the file at `path` soon, for a log in files by name.
    pub(crate) fn push_to(&self, path: Option<&Path>, message: &[u8]) {
        let Pushed {
            needs_thread,
            needs_timer,
            begins_gap,
        } = self.queue.push(message, path);
        self.start_if(needs_thread);
        if let Some(due) = needs_timer {
            let (shown, reports) = (Arc::clone(&self.shown), self.reports);
            let start =
                move |queue: &Arc<Queue>, is_needed| start_if(queue, &shown, reports, is_needed);
            FlushTimer::start(&self.queue, due, start);
        }
        if begins_gap && self.reports != Reports::Itself {
            error!(target: ALERT_TARGET, log = &*self.shown, "Log lines dropped, their reader or disk is too slow");
        }
    }

    /// Its name in messages, and how many messages have not reached it since it was opened.
    pub(crate) fn missing(&self) -> (&Arc<str>, u64) {
        (&self.shown, self.queue.missing())
    }

    /// Writes later messages to `file`, or opens files by name again.
    pub(crate) fn reopen(&self, file: Option<File>) {
        let needs_thread = self.queue.reopen(file);
        self.start_if(needs_thread);
    }

    /// Waits until all messages are written, but not longer than until `deadline`.
    pub(crate) fn flush(&self, deadline: Instant) {
        self.start_if(self.queue.needs_thread());
        self.queue.flush(deadline);
    }

    fn start_if(&self, needs_thread: bool) {
        start_if(&self.queue, &self.shown, self.reports, needs_thread);
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let needs_thread = self.queue.close();
        self.start_if(needs_thread);
    }
}

/// Starts the thread if it is needed. If the kernel starts no more threads the messages wait for the next try.
fn start_if(queue: &Arc<Queue>, shown: &Arc<str>, reports: Reports, needs_thread: bool) {
    if needs_thread && start_thread(queue, shown, reports).is_err() {
        queue.note_not_started();
    }
}

fn start_thread(queue: &Arc<Queue>, shown: &Arc<str>, reports: Reports) -> io::Result<()> {
    let (queue, shown) = (Arc::clone(queue), Arc::clone(shown));
    let thread = thread::Builder::new().name("log".to_owned());
    thread
        .spawn(move || write(&queue, &shown, reports))
        .map(drop)
}

/// Writes queued messages until the queue stays empty for a time. Reports the number of lost messages.
fn write(queue: &Queue, shown: &str, reports: Reports) {
    let mut idle = queue.begin();
    while let Some(output) = idle.take()
        && let Some((mut output, batch)) = queue.take(output)
    {
        let mut failed = None;
        for entry in batch.entries {
            match entry {
                Entry::Lines(chunk) => {
                    if let Err(error) = output.writer.write(&chunk) {
                        output.lost += chunk.lines;
                        queue.note_missing(chunk.lines);
                        failed = Some((error, chunk.path));
                    }
                }
                Entry::Reopen(file) => output.writer.reopen(file),
            }
        }
        output.lost += batch.dropped + batch.refused;
        if batch.refused > 0 {
            let (call, source) = ("open()", Errno::NAMETOOLONG.into());
            failed = Some((WriteError { call, source }, None));
        }
        match reports {
            Reports::Itself => output.note_gap(),
            Reports::ErrorLog => output.report_gap(shown, failed),
        }
        idle = Some(output);
    }
}

impl Output {
    /// Writes the number of lost messages to the log itself, where the gap is.
    fn note_gap(&mut self) {
        if self.lost == 0 {
            return;
        }
        let lost = self.lost;
        let notice = line(
            LogLevel::Alert,
            format_args!("Log messages dropped count={lost}"),
        );
        let chunk = Chunk {
            bytes: notice.into_bytes(),
            lines: 0,
            path: None,
        };
        if self.writer.write(&chunk).is_ok() {
            self.lost = 0;
        }
    }

    /// Reports the number of lost lines to the error log, at most once in a minute while lines are lost. `failed` has the
    /// last error, and the file if each line names its own.
    fn report_gap(&mut self, log: &str, failed: Option<(WriteError, Option<Box<Path>>)>) {
        let Some(lines) = self.take_lost(Instant::now()) else {
            return;
        };
        match failed {
            Some((WriteError { call, source }, path)) => {
                let error = os_error(&source);
                let file = path.map_or_else(|| log.to_owned(), |path| path.display().to_string());
                match call {
                    // Only a syslog server is sent to. The words are nginx's.
                    "send()" => {
                        error!(target: ALERT_TARGET, lines, "send() failed ({error}) while logging to syslog, server: {log}");
                    }
                    "open()" => {
                        error!(target: ALERT_TARGET, lines, "open() \"{file}\" failed ({error})")
                    }
                    _ => {
                        error!(target: ALERT_TARGET, lines, "{call} to \"{file}\" failed ({error})")
                    }
                }
            }
            None => error!(target: ALERT_TARGET, log, lines, "Log lines lost"),
        }
    }

    /// How many messages were lost, if they are due to be reported.
    fn take_lost(&mut self, now: Instant) -> Option<u64> {
        let is_due = self.lost > 0 && is_due(&mut self.reported_at, now);
        is_due.then(|| std::mem::take(&mut self.lost))
    }
}

#[cfg(test)]
mod tests;
