//! The times of one attempt, which some policies weigh.

use std::sync::{Mutex, PoisonError};

use lb_core::{ResponseTimer, Timestamp};

use crate::clock::Clock;

/// The times of one attempt: they are reported by its lease, and by its relay where the first byte counts.
///
/// The lock is held for some arithmetic only, and the two that take it work for one session.
#[derive(Debug)]
pub(crate) struct AttemptTimes {
    /// `None` once the attempt is over.
    timer: Mutex<Option<ResponseTimer>>,
    needs_first_byte: bool,
    clock: Clock,
}

impl AttemptTimes {
    pub(crate) fn new(timer: ResponseTimer, clock: Clock) -> Self {
        Self {
            needs_first_byte: timer.needs_first_byte(),
            timer: Mutex::new(Some(timer)),
            clock,
        }
    }

    /// Whether [`first_byte`](Self::first_byte) must be reported.
    pub(crate) const fn needs_first_byte(&self) -> bool {
        self.needs_first_byte
    }

    /// Reports the first byte of the backend, or the end of its stream.
    pub(crate) fn first_byte(&self) {
        self.report(ResponseTimer::first_byte, self.clock.now());
    }

    pub(crate) fn connected(&self, now: Timestamp) {
        self.report(ResponseTimer::connected, now);
    }

    pub(crate) fn failed(&self, now: Timestamp) {
        self.take().into_iter().for_each(|timer| timer.failed(now));
    }

    /// Reports the end of the session; without effect if there was no connection.
    pub(crate) fn ended(&self) {
        let now = self.clock.now();
        self.take().into_iter().for_each(|timer| timer.ended(now));
    }

    fn report(&self, moment: fn(&mut ResponseTimer, Timestamp), now: Timestamp) {
        let mut timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner);
        timer.iter_mut().for_each(|timer| moment(timer, now));
    }

    fn take(&self) -> Option<ResponseTimer> {
        let mut timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner);
        timer.take()
    }
}
