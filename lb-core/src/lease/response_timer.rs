//! The times of one connection, for policies that weigh how fast backends respond.

use crate::state::expectation::{Expectation, Measure};
use crate::state::response_times::ResponseTimes;
use crate::sync::Arc;
use crate::time::Timestamp;

/// Measures one connection to a backend, for [`LeastTime`](crate::policy::LeastTime).
///
/// [`Pick::response_timer`](super::pick::Pick::response_timer) starts it. Report each moment once, in this order. The
/// averages of the backend change when the connection has [`ended`](Self::ended), or, if attempts in flight count, at the
/// measured moment. A timer that is dropped counts nothing.
#[derive(Debug)]
pub struct ResponseTimer {
    times: Arc<ResponseTimes>,
    /// As the policy asked when the connection was picked for.
    expectation: Expectation,
    begun: Timestamp,
    /// In milliseconds.
    connect: Option<u32>,
    first_byte: Option<u32>,
    is_in_flight: bool,
}

impl ResponseTimer {
    pub(super) fn new(times: &Arc<ResponseTimes>, begun: Timestamp) -> Self {
        let expectation = times.expectation();
        Self {
            times: Arc::clone(times),
            expectation,
            begun,
            connect: None,
            first_byte: None,
            is_in_flight: expectation.in_flight && times.in_flight.begin(begun),
        }
    }

    /// Whether the policy weighs the time to the first byte, so that [`first_byte`](Self::first_byte) must be reported.
    pub const fn needs_first_byte(&self) -> bool {
        matches!(self.expectation.measure, Measure::FirstByte)
    }

    /// Reports that the connection was established at `now`.
    pub fn connected(&mut self, now: Timestamp) {
        let took = self.elapsed(now);
        self.connect = Some(took);
        self.reached(Measure::Connect, took);
    }

    /// Reports the first byte of the backend, or the end of its stream if that came first.
    pub fn first_byte(&mut self, now: Timestamp) {
        if self.first_byte.is_some() {
            return;
        }
        let took = self.elapsed(now);
        self.first_byte = Some(took);
        self.reached(Measure::FirstByte, took);
    }

    /// Reports that the session ended at `now`. Counts nothing if the connection was never established.
    pub fn ended(mut self, now: Timestamp) {
        let Some(connect) = self.connect else {
            return;
        };
        let took = self.elapsed(now);
        self.leave_flight();
        self.times.add(Measure::LastByte, took);
        if !self.is_counted_at_once(Measure::Connect) {
            self.times.add(Measure::Connect, connect);
        }
        if let Some(first_byte) = self.first_byte
            && !self.is_counted_at_once(Measure::FirstByte)
        {
            self.times.add(Measure::FirstByte, first_byte);
        }
    }

    /// Reports that the attempt failed at `now`.
    pub fn failed(mut self, now: Timestamp) {
        if std::mem::take(&mut self.is_in_flight) {
            self.times.in_flight.fail(now);
        }
    }

    /// Counts a moment at once where attempts in flight count until then.
    fn reached(&mut self, measure: Measure, took: u32) {
        if self.is_counted_at_once(measure) {
            self.times.add(measure, took);
            self.leave_flight();
        }
    }

    fn is_counted_at_once(&self, measure: Measure) -> bool {
        self.expectation.in_flight && self.expectation.measure == measure
    }

    fn leave_flight(&mut self) {
        if std::mem::take(&mut self.is_in_flight) {
            self.times.in_flight.end(self.begun);
        }
    }

    fn elapsed(&self, now: Timestamp) -> u32 {
        let millis = now.saturating_since(self.begun).as_millis();
        u32::try_from(millis).unwrap_or(u32::MAX)
    }
}

impl Drop for ResponseTimer {
    fn drop(&mut self) {
        self.leave_flight();
    }
}
