//! The planned events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Something that happens at a moment.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Happening {
    /// The event of the scenario with this number.
    Change(usize),
    /// The next connection arrives.
    Arrival,
    /// An attempt of this connection succeeds.
    Connected(usize),
    /// An attempt of this connection fails; it counts against the backend unless the connection ran out of time.
    Failed { id: usize, blameless: bool },
    /// This connection's service ends.
    Served(usize),
}

/// All planned events by time in nanoseconds; of two at one moment the one planned first comes first.
#[derive(Clone, Debug, Default)]
pub(super) struct Schedule {
    heap: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    planned: u64,
}

impl Schedule {
    pub(super) fn plan(&mut self, at: u64, what: Happening) {
        self.heap.push(Reverse((at, self.planned, what)));
        self.planned += 1;
    }

    pub(super) fn next(&mut self) -> Option<(u64, Happening)> {
        let Reverse((at, _, what)) = self.heap.pop()?;
        Some((at, what))
    }
}
