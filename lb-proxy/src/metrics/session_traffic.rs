//! The bytes of one session, and what else includes them.

use std::sync::{Arc, OnceLock};

use super::session::SessionCounters;
use super::traffic::Direction;
use super::traffic_record::TrafficRecord;
use super::{Counter, Counters};
use crate::upstream::attempt_times::AttemptTimes;

/// The counters of both directions of one session that is observed, tracked or counted in detail.
///
/// One allocation: the session's task and queries of live sessions share it.
#[derive(Debug)]
pub(crate) struct SessionTraffic {
    pub(crate) to_backend: Counter,
    pub(crate) to_client: Counter,
    /// The worker's, which include these.
    worker: Arc<Counters>,
    /// What else includes them, if the proxy counts in detail.
    counted: Option<SessionCounters>,
    /// Present if the session is observed, once it is connected.
    records: OnceLock<Box<TrafficRecords>>,
}

/// What a summary reports of both directions.
#[derive(Debug)]
struct TrafficRecords {
    to_backend: TrafficRecord,
    to_client: TrafficRecord,
}

impl SessionTraffic {
    /// Counters that also add to those of `worker` and to what the session is `counted` in.
    pub(crate) fn new(worker: &Arc<Counters>, counted: Option<SessionCounters>) -> Self {
        Self {
            to_backend: Counter::default(),
            to_client: Counter::default(),
            worker: Arc::clone(worker),
            counted,
            records: OnceLock::new(),
        }
    }

    /// What the session is counted in, if the proxy counts in detail.
    pub(crate) const fn counted(&self) -> Option<&SessionCounters> {
        self.counted.as_ref()
    }

    /// Begins to record what a summary reports. `first_byte` is notified when the first byte of the backend comes.
    pub(crate) fn begin_records(&self, first_byte: Option<Arc<AttemptTimes>>) {
        self.records.get_or_init(|| {
            Box::new(TrafficRecords {
                to_backend: TrafficRecord::default(),
                to_client: TrafficRecord::timing_first_byte(first_byte),
            })
        });
    }

    /// Whether it records what a summary reports.
    pub(crate) fn is_recording(&self) -> bool {
        self.records.get().is_some()
    }

    /// The record of one direction.
    pub(crate) fn record(&self, direction: Direction) -> Option<&TrafficRecord> {
        let records = self.records.get()?;
        Some(match direction {
            Direction::ToBackend => &records.to_backend,
            Direction::ToClient => &records.to_client,
        })
    }

    /// Counts bytes of one direction, also in what includes them.
    #[inline(never)]
    fn add(&self, direction: Direction, n: u64) {
        let (own, worker) = match direction {
            Direction::ToBackend => (&self.to_backend, &self.worker.bytes_to_backends),
            Direction::ToClient => (&self.to_client, &self.worker.bytes_to_clients),
        };
        own.add(n);
        worker.add(n);
        if let Some(counted) = &self.counted {
            counted.add_bytes(direction, n);
        }
    }
}

/// Where a relay counts the bytes of one direction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ByteCounter<'a> {
    /// The counter of a worker alone.
    Worker(&'a Counter),
    /// The counter of a session.
    Session(&'a SessionTraffic, Direction),
}

impl<'a> ByteCounter<'a> {
    /// Counts bytes that the sink of the direction accepted.
    pub(crate) fn add(self, n: u64) {
        match self {
            Self::Worker(counter) => counter.add(n),
            Self::Session(traffic, direction) => traffic.add(direction, n),
        }
    }

    /// Records bytes that were read from the source of the direction.
    pub(crate) fn note_read(self, n: usize) {
        if let Some(record) = self.record() {
            record.note_read(n as u64);
        }
    }

    /// Records bytes that the sink of the direction accepted and that are not counted.
    pub(crate) fn note_added(self, n: usize) {
        if let Some(record) = self.record() {
            record.note_added(n as u64);
        }
    }

    /// Records the end or the reset of the source of the direction.
    pub(crate) fn note_end(self) {
        if let Some(record) = self.record() {
            record.note_end();
        }
    }

    fn record(self) -> Option<&'a TrafficRecord> {
        match self {
            Self::Worker(_) => None,
            Self::Session(traffic, direction) => traffic.record(direction),
        }
    }
}
