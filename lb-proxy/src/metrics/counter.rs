//! One live counter, and those of one session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Counters;
use super::session::SessionCounters;
use super::traffic::Direction;
use super::traffic_record::TrafficRecord;
use crate::upstream::attempt_times::AttemptTimes;

/// The counters of both directions of one session, which queries of live sessions read as well.
#[derive(Debug)]
pub(crate) struct SessionTraffic {
    pub(crate) to_backend: Counter,
    pub(crate) to_client: Counter,
}

impl SessionTraffic {
    /// Counters that also add to `counters`.
    pub(crate) fn new(counters: &Arc<Counters>) -> Self {
        Self {
            to_backend: Counter::of_session(counters, |counters| &counters.bytes_to_backends),
            to_client: Counter::of_session(counters, |counters| &counters.bytes_to_clients),
        }
    }

    /// Adds to what `session` is counted in as well.
    pub(crate) fn counted_in(self, session: &Arc<SessionCounters>) -> Self {
        Self {
            to_backend: self.to_backend.counted_in(session, Direction::ToBackend),
            to_client: self.to_client.counted_in(session, Direction::ToClient),
        }
    }

    /// Records what a summary reports. `first_byte` is notified when the first byte of the backend comes.
    pub(crate) fn recording(self, first_byte: Option<Arc<AttemptTimes>>) -> Self {
        Self {
            to_backend: self.to_backend.recording(TrafficRecord::default()),
            to_client: self
                .to_client
                .recording(TrafficRecord::timing_first_byte(first_byte)),
        }
    }

    /// Whether it records what a summary reports.
    pub(crate) fn is_recording(&self) -> bool {
        self.to_client.record().is_some()
    }
}

/// Selects one counter of a worker.
type SelectCounter = fn(&Counters) -> &Counter;

/// A live counter. All operations are relaxed: a reader may see counters of different moments.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    count: AtomicU64,
    /// Present in the counter of one direction of one session that is observed or counted in detail.
    session: Option<Box<SessionPart>>,
}

/// What the counter of one session has besides the count.
#[derive(Debug)]
struct SessionPart {
    /// The counter that includes this one.
    total: (Arc<Counters>, SelectCounter),
    /// What else includes it.
    detailed: Option<(Arc<SessionCounters>, Direction)>,
    /// Present if the session is observed.
    record: Option<TrafficRecord>,
}

impl Counter {
    /// A counter of one direction of one session, which also adds to one of `counters`.
    fn of_session(counters: &Arc<Counters>, which: SelectCounter) -> Self {
        Self {
            count: AtomicU64::new(0),
            session: Some(Box::new(SessionPart {
                total: (Arc::clone(counters), which),
                detailed: None,
                record: None,
            })),
        }
    }

    /// Adds to the counters of `session` as well.
    fn counted_in(mut self, session: &Arc<SessionCounters>, direction: Direction) -> Self {
        if let Some(part) = &mut self.session {
            part.detailed = Some((Arc::clone(session), direction));
        }
        self
    }

    /// Has `record` as its [record](Self::record).
    fn recording(mut self, record: TrafficRecord) -> Self {
        if let Some(session) = &mut self.session {
            session.record = Some(record);
        }
        self
    }

    pub(crate) fn add(&self, n: u64) {
        self.count.fetch_add(n, Relaxed);
        if let Some(session) = &self.session {
            session.add(n);
        }
    }

    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn decrement(&self) {
        self.count.fetch_sub(1, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// The record of the direction that it counts.
    pub(crate) fn record(&self) -> Option<&TrafficRecord> {
        self.session.as_ref()?.record.as_ref()
    }

    /// Records bytes that were read from the source of the direction.
    pub(crate) fn note_read(&self, n: usize) {
        if let Some(record) = self.record() {
            record.note_read(n as u64);
        }
    }

    /// Records bytes that the sink of the direction accepted and that are not counted.
    pub(crate) fn note_added(&self, n: usize) {
        if let Some(record) = self.record() {
            record.note_added(n as u64);
        }
    }

    /// Records the end or the reset of the source of the direction.
    pub(crate) fn note_end(&self) {
        if let Some(record) = self.record() {
            record.note_end();
        }
    }
}

impl SessionPart {
    /// Adds to what includes the counter.
    #[inline(never)]
    fn add(&self, n: u64) {
        let (counters, which) = &self.total;
        which(counters).add(n);
        if let Some((session, direction)) = &self.detailed {
            session.add_bytes(*direction, n);
        }
    }
}
