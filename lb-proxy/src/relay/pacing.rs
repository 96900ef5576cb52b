//! Pacing: how much each direction of a relay may read now.

use std::num::NonZeroU64;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::pump::Pump;
use crate::bandwidth::Bandwidth;

/// The most that one read takes, or the bytes of this fraction of a second if these are more. So a slow direction moves
/// smoothly, as nginx's with its default buffer, and a fast one makes long transfers.
const READ: u64 = 16 * 1024;
const READS_A_SECOND: u64 = 64;

/// The paces of both directions of a session with a limit.
#[derive(Debug)]
pub(super) struct Pacing {
    pub(super) up: Pace,
    pub(super) down: Pace,
}

/// The pace of one direction.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes a second. `None`: no limit.
    rate: Option<NonZeroU64>,
    since: Instant,
    /// The bytes read so far.
    received: u64,
    /// Completes when the direction may read again.
    pause: Option<Pin<Box<Sleep>>>,
    has_paused: bool,
}

impl Pacing {
    /// Whether a direction has waited for its bandwidth since the last call.
    pub(super) fn has_paused(&mut self) -> bool {
        self.up.has_paused() | self.down.has_paused()
    }

    /// Counts from now on, when the client has sent `sent` bytes. `None` without a limit.
    pub(super) fn new(bandwidth: Bandwidth, sent: usize) -> Option<Box<Self>> {
        let Bandwidth { upload, download } = bandwidth;
        (!bandwidth.is_unlimited()).then(|| {
            let since = Instant::now();
            Box::new(Self {
                up: Pace::new(upload, since, sent as u64),
                down: Pace::new(download, since, 0),
            })
        })
    }
}

impl Pace {
    const fn new(rate: Option<NonZeroU64>, since: Instant, received: u64) -> Self {
        Self {
            rate,
            since,
            received,
            pause: None,
            has_paused: false,
        }
    }

    /// Takes one step of `pump` if the pace allows it now. Otherwise wakes the task when it does.
    pub(super) fn step(&mut self, pump: &mut Pump<'_>, cx: &mut Context<'_>) -> Option<usize> {
        if self.rate.is_none() || !applies_to(pump) {
            return pump.step(cx, usize::MAX);
        }
        let Poll::Ready(most) = self.poll_room(cx) else {
            return None;
        };
        let moved = pump.step(cx, most)?;
        // It held nothing before.
        self.note_read((moved + pump.holding()) as u64);
        Some(moved)
    }

    /// How many bytes may be read now. Pending during a pause.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let Some(rate) = self.rate else {
            return Poll::Ready(usize::MAX);
        };
        loop {
            if let Some(pause) = &mut self.pause {
                self.has_paused = true;
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.allowed(rate) {
                Ok(most) => return Poll::Ready(most),
                Err(delay) => self.pause_for(delay),
            }
        }
    }

    /// Counts bytes that were read, and pauses for the time that they take.
    pub(super) fn note_read(&mut self, read: u64) {
        let Some(rate) = self.rate else {
            return;
        };
        self.received += read;
        let millis = u128::from(read) * 1000 / u128::from(rate.get());
        if millis > 0 {
            self.pause_for(Duration::from_millis(
                u64::try_from(millis).unwrap_or(u64::MAX),
            ));
        }
    }

    /// How many bytes may be read now, or how long to wait. nginx's formula.
    fn allowed(&self, rate: NonZeroU64) -> Result<usize, Duration> {
        let rate = rate.get();
        let seconds = self.since.elapsed().as_secs().saturating_add(1);
        let total = u128::from(rate) * u128::from(seconds);
        let received = u128::from(self.received);
        if received >= total {
            let millis = (received - total) * 1000 / u128::from(rate) + 1;
            return Err(Duration::from_millis(
                u64::try_from(millis).unwrap_or(u64::MAX),
            ));
        }
        let most = u128::from(READ.max(rate / READS_A_SECOND));
        Ok(usize::try_from(most.min(total - received)).unwrap_or(usize::MAX))
    }

    fn pause_for(&mut self, delay: Duration) {
        // As far away as tokio's timers reach.
        const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
        self.pause = Some(Box::pin(sleep_until(Instant::now() + delay.min(FAR))));
    }

    /// Whether `pump` waits for the end of a pause.
    pub(super) fn is_pausing(&self, pump: &Pump<'_>) -> bool {
        self.pause.is_some() && applies_to(pump)
    }

    /// Whether the direction has waited for the end of a pause since the last call.
    pub(super) fn has_paused(&mut self) -> bool {
        std::mem::take(&mut self.has_paused)
    }
}

/// Whether a step of `pump` would read bytes that may be delayed. The last bytes of a session that is cut, or of a source
/// that broke, are not.
fn applies_to(pump: &Pump<'_>) -> bool {
    pump.is_reading() && !pump.is_cut() && !pump.is_source_broken()
}
