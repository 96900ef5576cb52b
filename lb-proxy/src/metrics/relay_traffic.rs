//! The bytes that relays move: those of one worker, or of one session and what includes them.

use std::sync::{Arc, OnceLock};

use super::session::SessionCounters;
use super::traffic::Direction;
use super::traffic_record::TrafficRecord;
use super::{Counter, Counters};
use crate::attempt_times::AttemptTimes;

/// The counters of both directions. A session that is observed, tracked or counted in detail has its own; all other
/// sessions of a worker share the worker's.
///
/// Those of a session are one allocation, which its task and queries of live sessions share.
#[derive(Debug, Default)]
pub(crate) struct RelayTraffic {
    pub(crate) to_backend: Counter,
    pub(crate) to_client: Counter,
    /// Present in those of one session.
    session: Option<SessionPart>,
}

/// What the counters of one session have besides the counts.
#[derive(Debug)]
struct SessionPart {
    /// The worker's, which include these. `None` for a relay without a server.
    worker: Option<Arc<Counters>>,
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

impl RelayTraffic {
    /// The counters of a session, which also add to those of `worker` and to what the session is `counted` in.
    pub(crate) fn of_session(worker: &Arc<Counters>, counted: Option<SessionCounters>) -> Self {
        Self {
            session: Some(SessionPart {
                worker: Some(Arc::clone(worker)),
                counted,
                records: OnceLock::new(),
            }),
            ..Self::default()
        }
    }

    /// The counters of a relay without a server, which notifies `first_byte` of the first byte of the backend.
    pub(crate) fn of_relay(first_byte: Option<Arc<AttemptTimes>>) -> Self {
        let session = first_byte.is_some().then(|| SessionPart {
            worker: None,
            counted: None,
            records: OnceLock::new(),
        });
        let traffic = Self {
            session,
            ..Self::default()
        };
        traffic.begin_records(first_byte);
        traffic
    }

    /// What the session is counted in, if the proxy counts in detail.
    pub(crate) fn counted(&self) -> Option<&SessionCounters> {
        self.session.as_ref()?.counted.as_ref()
    }

    /// Begins to record what a summary reports. `first_byte` is notified when the first byte of the backend comes.
    pub(crate) fn begin_records(&self, first_byte: Option<Arc<AttemptTimes>>) {
        if let Some(session) = &self.session {
            session.records.get_or_init(|| {
                Box::new(TrafficRecords {
                    to_backend: TrafficRecord::default(),
                    to_client: TrafficRecord::timing_first_byte(first_byte),
                })
            });
        }
    }

    /// Whether it records what a summary reports.
    pub(crate) fn is_recording(&self) -> bool {
        self.record(Direction::ToClient).is_some()
    }

    /// The record of one direction.
    pub(crate) fn record(&self, direction: Direction) -> Option<&TrafficRecord> {
        let records = self.session.as_ref()?.records.get()?;
        Some(match direction {
            Direction::ToBackend => &records.to_backend,
            Direction::ToClient => &records.to_client,
        })
    }

    /// Counts bytes that the sink of the direction accepted, also in what includes them.
    pub(crate) fn add(&self, direction: Direction, n: u64) {
        self.count(direction).add(n);
        if let Some(session) = &self.session {
            session.add(direction, n);
        }
    }

    const fn count(&self, direction: Direction) -> &Counter {
        match direction {
            Direction::ToBackend => &self.to_backend,
            Direction::ToClient => &self.to_client,
        }
    }

    /// Records bytes that were read from the source of the direction.
    pub(crate) fn note_read(&self, direction: Direction, n: usize) {
        if let Some(record) = self.record(direction) {
            record.note_read(n as u64);
        }
    }

    /// Records bytes that the sink of the direction accepted and that are not counted.
    pub(crate) fn note_added(&self, direction: Direction, n: usize) {
        if let Some(record) = self.record(direction) {
            record.note_added(n as u64);
        }
    }

    /// Records the end or the reset of the source of the direction.
    pub(crate) fn note_end(&self, direction: Direction) {
        if let Some(record) = self.record(direction) {
            record.note_end();
        }
    }
}

impl SessionPart {
    /// Adds to what includes the counters.
    #[inline(never)]
    fn add(&self, direction: Direction, n: u64) {
        if let Some(worker) = &self.worker {
            worker.relayed.count(direction).add(n);
        }
        if let Some(counted) = &self.counted {
            counted.add_bytes(direction, n);
        }
    }
}
