//! A bounded queue between the threads that log and the thread that writes one log.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How many bytes of messages may wait for one log. As many again may be in the hands of its thread.
pub(super) const CAPACITY: usize = 4 << 20;

/// How many bytes a message may have. nginx cuts after 2048; text of other programs is longer at times.
pub(super) const LONGEST: usize = 64 << 10;

/// Never makes a thread that logs wait: what does not fit is dropped and counted.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// An entry was added, or the queue was closed.
    arrived: Condvar,
    /// Everything was written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
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
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Thread {
    #[default]
    Writing,
    Waiting,
}

#[derive(Debug)]
pub(super) enum Entry {
    Message(Box<[u8]>),
    /// Later messages go to this file.
    Switch(File),
}

/// What is to be written next.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) entries: VecDeque<Entry>,
    /// Messages that were dropped after these entries.
    pub(super) dropped: u64,
}

impl Queue {
    /// Adds a message, cut after [`LONGEST`] bytes, or counts it as dropped.
    pub(super) fn push(&self, message: &[u8]) {
        let message = cut(message);
        let mut state = self.lock();
        // Once a message was dropped, all are until the thread has taken the queue: the dropped ones make one gap.
        if state.dropped > 0 || state.bytes + message.len() > CAPACITY {
            state.dropped += 1;
        } else {
            state.bytes += message.len();
            state.entries.push_back(Entry::Message(message.into()));
        }
        self.wake(state);
    }

    /// Sends the messages that come after those in the queue to `file`.
    ///
    /// At most one file waits: while the thread hangs, a later file takes the place of an earlier one, and gets its messages.
    pub(super) fn switch(&self, file: File) {
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
        self.wake(state);
        // Closing a file may block, so it happens outside of the lock.
        drop(replaced);
    }

    /// Ends the thread once it has written what is in the queue.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_one();
    }

    /// Waits for entries. `None` if the queue is closed and empty.
    pub(super) fn take(&self) -> Option<Batch> {
        let mut state = self.lock();
        loop {
            if state.has_work() {
                state.bytes = 0;
                state.switch = None;
                return Some(Batch {
                    entries: std::mem::take(&mut state.entries),
                    dropped: std::mem::take(&mut state.dropped),
                });
            }
            state.thread = Thread::Waiting;
            self.written.notify_all();
            if state.is_closed {
                return None;
            }
            let woken = self.arrived.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
            state.thread = Thread::Writing;
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

    /// Waking a thread is a system call, so only one that waits is woken.
    fn wake(&self, state: MutexGuard<'_, State>) {
        let waits = state.thread == Thread::Waiting;
        drop(state);
        if waits {
            self.arrived.notify_one();
        }
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
