//! One direction of a relay: its state, and one step of it.

mod forward;

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll};

use socket2::SockRef;

use super::held_bytes::HeldBytes;
use super::read_limit::ReadLimit;
use super::socket::{end, read_some};
use super::state::{DirectionState, ReadState};
use super::transfer_mode::TransferMode;
use crate::config::Splice;
use crate::metrics::{Direction, RelayTraffic};
use crate::net::stream::Stream;

/// The size of a worker's scratch buffer in bytes, the most that is read at once and that a blocked copy holds.
///
/// Large enough to make the cost of a system call small per byte, small enough to stay in the second-level cache.
const SCRATCH: usize = 64 * 1024;

/// How many reads a step that discards makes before it yields to other sessions.
const DISCARDED_READS: usize = 16;

thread_local! {
    static WORKER_SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

/// Moves bytes from `source` to `sink`.
#[derive(Debug)]
pub(super) struct Pump<'a> {
    source: &'a Stream,
    sink: &'a Stream,
    bytes: &'a RelayTraffic,
    direction: Direction,
    state: DirectionState,
    source_state: ReadState,
    mode: TransferMode,
    held: HeldBytes,
    limit: ReadLimit,
    /// Whether the session is cut, so that the last bytes are not delayed.
    is_cut: bool,
    /// Whether `TCP_NODELAY` is still to be set on the sink, before a write that is not the first.
    sets_nodelay: bool,
    /// Bytes that were read from the source.
    received: u64,
    /// Bytes that the sink accepted.
    sent: u64,
    /// How many of them do not come from the source, and are not counted.
    added: u32,
    /// How many of the next bytes are such.
    uncounted: u32,
}

/// The state after a step, and the number of bytes that the step moved.
type PumpStep = (DirectionState, usize);

impl<'a> Pump<'a> {
    pub(super) const fn new(
        source: &'a Stream,
        sink: &'a Stream,
        splice: Splice,
        (bytes, direction): (&'a RelayTraffic, Direction),
    ) -> Self {
        Self {
            source,
            sink,
            bytes,
            direction,
            state: DirectionState::Open,
            source_state: ReadState::Alive,
            mode: TransferMode::new(splice),
            held: HeldBytes::Nothing,
            limit: ReadLimit::None,
            is_cut: false,
            sets_nodelay: false,
            received: 0,
            sent: 0,
            added: 0,
            uncounted: 0,
        }
    }

    /// Sends `held` in front of all bytes of the source; writes once now. The first `uncounted` bytes are not counted.
    pub(super) fn begin_with(&mut self, held: HeldBytes, uncounted: usize) {
        let read = held.len().saturating_sub(uncounted);
        if read > 0 {
            self.received += read as u64;
            self.bytes.note_read(self.direction, read);
        }
        self.held = held;
        // A header, which is below 64 KiB.
        self.uncounted = u32::try_from(uncounted).unwrap_or(u32::MAX);
        if self.is_holding() {
            let written = self.held.write_to(self.sink);
            self.state = self.count(written).0;
        }
        if self.state.is_sink_broken() {
            self.held = HeldBytes::Nothing;
        }
    }

    /// Sets `TCP_NODELAY` on the sink before the second write.
    pub(super) const fn set_nodelay_later(&mut self) {
        self.sets_nodelay = true;
    }

    /// Called before each write.
    fn prepare_sink(&mut self) {
        if self.sets_nodelay && self.sent > 0 {
            self.sets_nodelay = false;
            // Fails only on a connection that has ended.
            let _ = SockRef::from(self.sink).set_tcp_nodelay(true);
        }
    }

    pub(super) const fn state(&self) -> DirectionState {
        self.state
    }

    pub(super) const fn source(&self) -> &'a Stream {
        self.source
    }

    pub(super) const fn sink(&self) -> &'a Stream {
        self.sink
    }

    /// Bytes that were read from the source, those included that the direction began with.
    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// Bytes that the sink accepted.
    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    /// How many of them do not come from the source.
    pub(super) fn added(&self) -> u64 {
        self.added.into()
    }

    /// Whether the direction holds bytes that the sink has not accepted.
    pub(super) const fn is_holding(&self) -> bool {
        !self.held.is_nothing()
    }

    /// Whether the direction reads now, so that a read would report a reset of the source.
    pub(super) fn is_reading(&self) -> bool {
        self.state == DirectionState::Open && !self.is_holding()
    }

    /// Whether the source is known to be broken.
    pub(super) fn is_source_broken(&self) -> bool {
        self.source_state != ReadState::Alive
    }

    /// Whether the source's stream has ended or was reset.
    pub(super) fn is_source_over(&self) -> bool {
        self.is_source_broken()
            || matches!(
                self.state,
                DirectionState::Ending | DirectionState::SourceReset
            )
            || self.state.is_complete()
    }

    /// Marks the source as broken. Bytes that it sent before can still be read.
    pub(super) fn note_broken(&mut self, ended_before: bool) {
        self.bytes.note_end(self.direction);
        self.source_state = if ended_before {
            ReadState::Ended
        } else {
            ReadState::Reset
        };
    }

    /// Marks the sink as broken. The held bytes are lost.
    pub(super) fn give_up(&mut self, ended_before: bool) {
        if !self.state.is_final() {
            self.state = if ended_before {
                DirectionState::SinkClosed
            } else {
                DirectionState::SinkReset
            };
        }
        self.held = HeldBytes::Nothing;
    }

    /// Limits reads to the bytes that the kernel has acknowledged to the source by now.
    pub(super) fn limit(&mut self) {
        if self.limit == ReadLimit::None && self.state == DirectionState::Open {
            self.limit = ReadLimit::now(self.source);
        }
    }

    /// [Limits](Self::limit) reads because the session is cut.
    pub(super) fn cut(&mut self) {
        self.is_cut = true;
        self.limit();
    }

    pub(super) const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// How many bytes the direction holds.
    pub(super) fn holding(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_limited(&self) -> bool {
        self.limit != ReadLimit::None
    }

    /// Takes one step if possible now: moves some bytes, or the end. Reads at most `most` bytes. Returns the number of
    /// bytes moved.
    pub(super) fn step(&mut self, cx: &mut Context<'_>, most: usize) -> Option<usize> {
        let step = if self.state.is_final() {
            Poll::Pending
        } else if self.is_holding() {
            self.poll_flush(cx)
        } else {
            self.poll_forward(cx, most)
        };
        let Poll::Ready((state, n)) = step else {
            return None;
        };
        if matches!(state, DirectionState::Ending | DirectionState::SourceReset) {
            self.bytes.note_end(self.direction);
        }
        self.state = match state {
            DirectionState::Ending
                if self.state == DirectionState::Open && self.source_state == ReadState::Reset =>
            {
                DirectionState::SourceReset
            }
            DirectionState::Ending if !self.is_holding() => DirectionState::AtEnd,
            state => state,
        };
        if self.state.is_sink_broken() {
            self.held = HeldBytes::Nothing;
        }
        Some(n)
    }

    /// Forwards the source's end if it was reached.
    pub(super) fn pass_end(&mut self) {
        if self.state == DirectionState::AtEnd {
            self.state = match end(self.sink) {
                Ok(()) => DirectionState::Done,
                Err(_) => DirectionState::SinkClosed,
            };
        }
    }

    /// Reads and discards bytes for a sink that accepts none any more.
    ///
    /// The source's peer may have to write before it reads the bytes of the other direction. Returns true if nothing more
    /// can be read now; otherwise wakes the task.
    pub(super) fn discard(&self, cx: &mut Context<'_>) -> bool {
        for _ in 0..DISCARDED_READS {
            match self.source.poll_read_ready(cx) {
                Poll::Ready(Ok(())) => {}
                _ => return true,
            }
            let read = WORKER_SCRATCH.with_borrow_mut(|scratch| read_some(self.source, scratch));
            match read {
                Ok(0) => return true,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return true,
                _ => {}
            }
        }
        cx.waker().wake_by_ref();
        false
    }
}
