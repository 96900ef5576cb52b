//! A bounded queue between the threads that log and the thread that writes one log.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time;

use super::chunk::Chunk;
use super::writer::Writer;

use state::{State, Thread};

pub(super) use state::{Batch, Entry, Output, is_due};

mod state;

/// How many bytes of messages may wait for one log, besides those that a chunk gathers. Its thread may hold as many again.
pub(super) const CAPACITY: usize = 4 << 20;

/// How many bytes a message may have. nginx cuts after 2048; text of other programs is longer at times.
pub(super) const LONGEST: usize = 64 << 10;

/// The longest file name, as the kernel has it. Clients may choose the values of variables in file names.
const LONGEST_PATH: usize = 4096;

/// How long the thread that writes each line at once waits for more before it ends. One that writes gathered lines ends when
/// it has written them: the next ones come later than a thread takes to start.
///
/// While a second thread exists, the kernel counts references to descriptors in every system call of the process, which
/// costs the relay some percent of its time. Starting a thread costs about 50 us.
const IDLE: Duration = Duration::from_millis(100);

/// A bounded queue of messages. A thread that logs never waits: a message that does not fit is dropped and counted.
///
/// With a chunk size lines are gathered, and are written when the next line would not fit or when they are due.
#[derive(Debug)]
pub(super) struct Queue {
    /// 0: each line is written at once.
    chunk_size: usize,
    /// The longest time that a line waits for more.
    longest_wait: Option<Duration>,
    /// Messages that did not reach the log since it was opened.
    missing: AtomicU64,
    state: Mutex<State>,
    /// An entry was added, or the queue was closed.
    arrived: Condvar,
    /// Everything was written.
    written: Condvar,
}

/// What the caller of [`Queue::push`] must do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Pushed {
    /// A thread must be [started](Queue::begin).
    pub(super) needs_thread: bool,
    /// No timer waits for the chunk that the line begins: one must be started that waits until this time.
    pub(super) needs_timer: Option<time::Instant>,
    /// The line is the first that was dropped in a row, and the error log did not report such a line for a minute.
    pub(super) begins_gap: bool,
}

impl Queue {
    /// A queue for `writer` that gathers `chunk_size` bytes, but for `longest_wait` at most. The caller must
    /// [start](Self::begin) its thread.
    pub(super) fn new(writer: Writer, chunk_size: usize, longest_wait: Option<Duration>) -> Self {
        Self {
            chunk_size,
            longest_wait,
            missing: AtomicU64::new(0),
            state: Mutex::new(State {
                output: Some(Output {
                    writer,
                    lost: 0,
                    reported_at: None,
                }),
                entries: VecDeque::new(),
                gathered: Chunk::default(),
                due: None,
                has_timer: false,
                switch: None,
                bytes: 0,
                dropped: 0,
                reported_at: None,
                refused: 0,
                is_closed: false,
                thread: Thread::Writing,
            }),
            arrived: Condvar::new(),
            written: Condvar::new(),
        }
    }

    /// Adds a message, cut after [`LONGEST`] bytes, or counts it as dropped. `path` is its file, if the log has files by
    /// name.
    #[must_use]
    pub(super) fn push(&self, message: &[u8], path: Option<&Path>) -> Pushed {
        let message = cut(message);
        let mut pushed = Pushed::default();
        let mut state = self.lock();
        // Once a message was dropped, all are until the thread has taken the queue: the dropped ones make one gap.
        let held = path.map_or(0, |path| path.as_os_str().len() + size_of::<Entry>());
        let held = held + message.len();
        if path.is_some_and(|path| path.as_os_str().len() >= LONGEST_PATH) {
            state.refused += 1;
            self.note_missing(1);
        } else if state.dropped > 0 || state.bytes + held > CAPACITY + self.chunk_size {
            state.dropped += 1;
            self.note_missing(1);
            pushed.begins_gap =
                state.dropped == 1 && is_due(&mut state.reported_at, Instant::now());
        } else {
            state.bytes += held;
            let gathers = message.len() <= self.chunk_size && path.is_none();
            if !gathers || state.gathered.bytes.len() + message.len() > self.chunk_size {
                state.ripen();
            }
            if gathers {
                if state.gathered.lines == 0 {
                    state.due = self.longest_wait.map(|wait| time::Instant::now() + wait);
                    if !state.has_timer {
                        state.has_timer = state.due.is_some();
                        pushed.needs_timer = state.due;
                    }
                }
                state.gathered.bytes.extend_from_slice(&message);
                state.gathered.lines += 1;
            } else {
                state.entries.push_back(Entry::Lines(Chunk {
                    bytes: message.into_owned(),
                    lines: 1,
                    path: path.map(Into::into),
                }));
            }
        }
        if state.has_work() {
            pushed.needs_thread = self.wake(state);
        }
        pushed
    }

    /// Counts messages that do not reach the log.
    pub(super) fn note_missing(&self, messages: u64) {
        self.missing.fetch_add(messages, Relaxed);
    }

    /// Messages that did not reach the log since it was opened.
    pub(super) fn missing(&self) -> u64 {
        self.missing.load(Relaxed)
    }

    /// Lets the thread write the lines that wait for more, if they are due. The one timer calls this at the time that it
    /// waited for. `Err`: it must wait until this time. `Ok`: it ends, and says whether a thread must be
    /// [started](Self::begin).
    pub(super) fn ripen_due(&self) -> Result<bool, time::Instant> {
        let state = self.lock();
        // Of a chunk that began after the timer was started.
        if let Some(due) = state.due
            && due > time::Instant::now()
        {
            return Err(due);
        }
        Ok(self.end_timer(state))
    }

    /// Lets the thread write the lines that wait for more, because no timer waits for them any longer. Says whether a
    /// thread must be [started](Self::begin).
    #[must_use]
    pub(super) fn ripen_now(&self) -> bool {
        self.end_timer(self.lock())
    }

    fn end_timer(&self, mut state: MutexGuard<'_, State>) -> bool {
        state.has_timer = false;
        state.ripen();
        state.has_work() && self.wake(state)
    }

    /// Sends the messages that come after those in the queue to `file`, or to files that are opened again.
    ///
    /// At most one file waits: while the thread hangs, a later file replaces an earlier one, and gets its messages.
    ///
    /// Says whether a thread must be [started](Self::begin).
    #[must_use]
    pub(super) fn reopen(&self, file: Option<File>) -> bool {
        let mut state = self.lock();
        state.ripen();
        let entry = Entry::Reopen(file);
        let replaced = match state.switch {
            Some(at) => Some(std::mem::replace(&mut state.entries[at], entry)),
            None => {
                state.switch = Some(state.entries.len());
                state.entries.push_back(entry);
                None
            }
        };
        let needs_thread = self.wake(state);
        // Closing a file may block, so it happens outside of the lock.
        drop(replaced);
        needs_thread
    }

    /// Begins the work of a thread.
    pub(super) fn begin(&self) -> Option<Output> {
        self.lock().output.take()
    }

    /// Notes that the thread could not be started. The next entry, or the end, tries again.
    pub(super) fn note_not_started(&self) {
        self.lock().thread = Thread::Ended;
    }

    /// Says whether entries wait for a thread that must be [started](Self::begin).
    pub(super) fn needs_thread(&self) -> bool {
        let mut state = self.lock();
        state.ripen();
        state.has_work() && self.wake(state)
    }

    /// Closes the queue: its thread writes what is in it, closes the file and ends. Says whether a thread must be
    /// [started](Self::begin) for that, because closing a file may block.
    #[must_use]
    pub(super) fn close(&self) -> bool {
        let mut state = self.lock();
        state.is_closed = true;
        state.ripen();
        self.wake(state)
    }

    /// Waits for entries. Returns `None` if none come for a while, lines are gathered, or the queue is closed: the thread
    /// ends. Only an open queue keeps `output` then.
    pub(super) fn take(&self, output: Output) -> Option<(Output, Batch)> {
        let mut state = self.lock();
        let mut is_over = self.chunk_size > 0;
        loop {
            if state.has_work() {
                state.thread = Thread::Writing;
                state.bytes = state.gathered.bytes.len();
                state.switch = None;
                let batch = Batch {
                    entries: std::mem::take(&mut state.entries),
                    dropped: std::mem::take(&mut state.dropped),
                    refused: std::mem::take(&mut state.refused),
                };
                return Some((output, batch));
            }
            if state.is_closed || is_over {
                state.thread = Thread::Ended;
                if !state.is_closed {
                    state.output = Some(output);
                }
                self.written.notify_all();
                return None;
            }
            state.thread = Thread::Waiting;
            self.written.notify_all();
            let woken = self.arrived.wait_timeout(state, IDLE);
            let (woken, timeout) = woken.unwrap_or_else(PoisonError::into_inner);
            (state, is_over) = (woken, timeout.timed_out());
        }
    }

    /// Waits until everything is written, but not longer than until `deadline`.
    pub(super) fn flush(&self, deadline: Instant) {
        let mut state = self.lock();
        while state.thread == Thread::Writing || state.has_work() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.written.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Wakes the thread if it waits. Returns whether there is no thread, so that the caller must start one.
    fn wake(&self, mut state: MutexGuard<'_, State>) -> bool {
        let before = state.thread;
        if before == Thread::Ended {
            state.thread = Thread::Writing;
        }
        drop(state);
        // Waking a thread is a system call, so only one that waits is woken.
        if before == Thread::Waiting {
            self.arrived.notify_one();
        }
        before == Thread::Ended
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The message, or as much of it as a line may have and how much is missing.
fn cut(message: &[u8]) -> Cow<'_, [u8]> {
    if message.len() <= LONGEST {
        return message.into();
    }
    let kept = String::from_utf8_lossy(&message[..LONGEST]);
    let missing = message.len() - LONGEST;
    format!("{kept} [{missing} more bytes]\n")
        .into_bytes()
        .into()
}
