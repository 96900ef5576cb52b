//! The state of a queue, and the entries that its thread takes out.

use std::collections::VecDeque;
use std::fs::File;
use std::time::{Duration, Instant};

use tokio::time;

use crate::logs::chunk::Chunk;
use crate::logs::writer::Writer;

/// How often the error log reports the same fault of a log.
const COMPLAINT: Duration = Duration::from_secs(60);

/// What the lock of a queue protects.
#[derive(Debug)]
pub(super) struct State {
    /// `None` while a thread writes.
    pub(super) output: Option<Output>,
    pub(super) entries: VecDeque<Entry>,
    /// Lines that wait for more.
    pub(super) gathered: Chunk,
    /// When `gathered` is written although it is not full.
    pub(super) due: Option<time::Instant>,
    /// Whether a timer waits until lines are due.
    pub(super) has_timer: bool,
    /// Where in `entries` the file is that the thread will switch to.
    pub(super) switch: Option<usize>,
    /// Of the messages in `entries` and `gathered`. Those with a file name count with it and their entry.
    pub(super) bytes: usize,
    /// Messages that did not fit behind `entries`.
    pub(super) dropped: u64,
    /// When the error log last reported a gap.
    pub(super) reported_at: Option<Instant>,
    /// Messages whose file name is too long.
    pub(super) refused: u64,
    pub(super) is_closed: bool,
    pub(super) thread: Thread,
}

/// What the thread that writes is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Thread {
    /// There is none.
    Ended,
    /// It is being started, or writes.
    Writing,
    /// It waits for messages.
    Waiting,
}

/// What messages are written to.
#[derive(Debug)]
pub(in crate::logs) struct Output {
    pub(in crate::logs) writer: Writer,
    /// Messages that are missing in the log and not yet counted in it.
    pub(in crate::logs) lost: u64,
    /// When the error log last reported lost messages.
    pub(in crate::logs) reported_at: Option<Instant>,
}

#[derive(Debug)]
pub(in crate::logs) enum Entry {
    Lines(Chunk),
    /// Later messages go to this file, or to files that are opened again.
    Reopen(Option<File>),
}

/// The entries that the thread writes next.
#[derive(Debug)]
pub(in crate::logs) struct Batch {
    pub(in crate::logs) entries: VecDeque<Entry>,
    /// Messages that were dropped after these entries.
    pub(in crate::logs) dropped: u64,
    /// Messages whose file name is too long.
    pub(in crate::logs) refused: u64,
}

impl State {
    /// Moves the lines that wait for more to those that are written.
    pub(super) fn ripen(&mut self) {
        self.due = None;
        if self.gathered.lines > 0 {
            let chunk = std::mem::take(&mut self.gathered);
            self.entries.push_back(Entry::Lines(chunk));
        }
    }

    /// Whether the thread has entries to write or dropped messages to report.
    pub(super) fn has_work(&self) -> bool {
        !self.entries.is_empty() || self.dropped > 0 || self.refused > 0
    }
}

/// Whether the error log reports a fault again. Stores the time if so.
pub(in crate::logs) fn is_due(reported_at: &mut Option<Instant>, now: Instant) -> bool {
    let is_due = reported_at.is_none_or(|at| now.duration_since(at) >= COMPLAINT);
    if is_due {
        *reported_at = Some(now);
    }
    is_due
}
