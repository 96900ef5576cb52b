//! The queue of planned events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// An event of the simulation.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Event {
    /// The event of the scenario with this number.
    Change(usize),
    /// The next connection arrives.
    Arrival,
    /// An attempt of this connection succeeds.
    Connected(usize),
    /// An attempt of this connection fails. The failure counts against the backend unless the connection ran out of time.
    Failed { id: usize, blameless: bool },
    /// This connection's service ends.
    Served(usize),
}

/// All planned events by time in nanoseconds. Events at one time keep the order in which they were planned.
#[derive(Clone, Debug, Default)]
pub(super) struct Schedule {
    heap: BinaryHeap<Reverse<(u64, u64, Event)>>,
    planned: u64,
}

impl Schedule {
    pub(super) fn plan(&mut self, at: u64, what: Event) {
        self.heap.push(Reverse((at, self.planned, what)));
        self.planned += 1;
    }

    pub(super) fn next(&mut self) -> Option<(u64, Event)> {
        let Reverse((at, _, what)) = self.heap.pop()?;
        Some((at, what))
    }
}
