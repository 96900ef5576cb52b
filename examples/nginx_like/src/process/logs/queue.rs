//! A bounded queue between the threads that log and the thread that writes one log.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many bytes of messages may wait for one log. Its thread may hold as many again.
pub(super) const CAPACITY: usize = 4 << 20;

/// How many bytes a message may have. nginx cuts after 2048; text of other programs is longer at times.
pub(super) const LONGEST: usize = 64 << 10;

/// How long the writing thread waits for more messages before it ends.
///
/// While a second thread exists, the kernel counts references to descriptors in every system call of the process, which
/// costs the relay some percent of its time. Starting a thread costs about 50 us.
const IDLE: Duration = Duration::from_millis(100);

/// A bounded queue of messages. A thread that logs never waits: a message that does not fit is dropped and counted.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// An entry was added, or the queue was closed.
    arrived: Condvar,
    /// Everything was written.
    written: Condvar,
}

#[derive(Debug)]
struct State {
    /// `None` while a thread writes.
    output: Option<Output>,
    entries: VecDeque<Entry>,
    /// Where in `entries` the file is that the thread will switch to.
    switch: Option<usize>,
    /// Of the messages in `entries`.
    bytes: usize,
    /// Messages that did not fit behind `entries`.
    dropped: u64,
    is_closed: bool,
    thread: Thread,
}

/// What the thread that writes is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Thread {
    /// There is none.
    Ended,
    /// It is being started, or writes.
    Writing,
    /// It waits for messages.
    Waiting,
}

/// What messages are written to.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) file: File,
    /// Messages that are missing in the file and not yet counted in it.
    pub(super) lost: u64,
}

#[derive(Debug)]
pub(super) enum Entry {
    Message(Box<[u8]>),
    /// Later messages go to this file.
    Switch(File),
}

/// The entries that the thread writes next.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) entries: VecDeque<Entry>,
    /// Messages that were dropped after these entries.
    pub(super) dropped: u64,
}

impl Queue {
    /// A queue for `file`. The caller must [start](Self::begin) its thread.
    pub(super) fn new(file: File) -> Self {
        Self {
            state: Mutex::new(State {
                output: Some(Output { file, lost: 0 }),
                entries: VecDeque::new(),
                switch: None,
                bytes: 0,
                dropped: 0,
                is_closed: false,
                thread: Thread::Writing,
            }),
            arrived: Condvar::new(),
            written: Condvar::new(),
        }
    }

    /// Adds a message, cut after [`LONGEST`] bytes, or counts it as dropped. Says whether a thread must be
    /// [started](Self::begin).
    #[must_use]
    pub(super) fn push(&self, message: &[u8]) -> bool {
        let message = cut(message);
        let mut state = self.lock();
        // Once a message was dropped, all are until the thread has taken the queue: the dropped ones make one gap.
        if state.dropped > 0 || state.bytes + message.len() > CAPACITY {
            state.dropped += 1;
        } else {
            state.bytes += message.len();
            state.entries.push_back(Entry::Message(message.into()));
        }
        self.wake(state)
    }

    /// Sends the messages that come after those in the queue to `file`.
    ///
    /// At most one file waits: while the thread hangs, a later file replaces an earlier one, and gets its messages.
    ///
    /// Says whether a thread must be [started](Self::begin).
    #[must_use]
    pub(super) fn switch(&self, file: File) -> bool {
        let mut state = self.lock();
        let entry = Entry::Switch(file);
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
        let state = self.lock();
        state.has_work() && self.wake(state)
    }

    /// Closes the queue: its thread writes what is in it, closes the file and ends. Says whether a thread must be
    /// [started](Self::begin) for that, because closing a file may block.
    #[must_use]
    pub(super) fn close(&self) -> bool {
        let mut state = self.lock();
        state.is_closed = true;
        self.wake(state)
    }

    /// Waits for entries. Returns `None` if none come for a while, or the queue is closed: the thread ends. Only an open
    /// queue keeps `output` then.
    pub(super) fn take(&self, output: Output) -> Option<(Output, Batch)> {
        let mut state = self.lock();
        let mut is_over = false;
        loop {
            if state.has_work() {
                state.thread = Thread::Writing;
                state.bytes = 0;
                state.switch = None;
                let batch = Batch {
                    entries: std::mem::take(&mut state.entries),
                    dropped: std::mem::take(&mut state.dropped),
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

impl State {
    /// Whether the thread has entries to write or dropped messages to report.
    fn has_work(&self) -> bool {
        !self.entries.is_empty() || self.dropped > 0
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
