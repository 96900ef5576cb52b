//! A backend's connection in flight.

use std::num::{NonZeroU32, NonZeroU64};

use crate::lease::reference::take_seat;
use crate::state::backend_state::BackendState;
use crate::sync::Arc;
use crate::sync::atomic::{Ordering::SeqCst, fence};
use crate::time::Timestamp;

/// One connection in flight.
///
/// Two words, and none of their optional forms needs a third: they travel in registers.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Taken by the end of the lease only.
    state: Option<Arc<BackendState>>,
    taken_at: TakenAt,
}

impl Lease {
    /// A connection of the backend, unless `max_conns` are in flight. Whoever takes it has to note it.
    #[inline]
    pub(crate) fn take(
        state: &Arc<BackendState>,
        max_conns: Option<NonZeroU32>,
        now: Timestamp,
    ) -> Option<Self> {
        let (reference, seat) = match max_conns {
            None => (Arc::clone(state), Seat::Unlimited),
            Some(max) => (take_seat(state, max)?, Seat::Taken),
        };
        Some(Self {
            state: Some(reference),
            taken_at: TakenAt::new(now, seat),
        })
    }

    pub(crate) fn state(&self) -> &BackendState {
        self.state
            .as_ref()
            .expect("only the end of a lease takes its state")
    }

    pub(crate) const fn taken_at(&self) -> Timestamp {
        self.taken_at.timestamp()
    }

    #[cold]
    fn end(&mut self) {
        let Some(state) = self.state.take() else {
            return;
        };
        if self.taken_at.seat() == Seat::Taken {
            state.seats.give_back();
        }
        if !state.glance().is_placed() {
            return;
        }
        // The board keeps the state, which is asked once more where to note it when the lease is over: a board that
        // takes the place of the one that is found counts the references afterwards.
        let noted = state.noted_on();
        drop(state);
        fence(SeqCst);
        if let Some(noted) = noted {
            noted.state().note_lease(Some(noted.board()));
        }
    }
}

impl Drop for Lease {
    #[inline]
    fn drop(&mut self) {
        let noted = |state: &Arc<BackendState>| state.glance().is_placed();
        if self.taken_at.seat() == Seat::Taken || self.state.as_ref().is_some_and(noted) {
            self.end();
        }
    }
}

/// Whether a lease counts towards `max_conns`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Seat {
    Taken,
    Unlimited,
}

/// When a lease was taken, to 4 ns, and in the bits that are left whether it has a seat.
#[derive(Clone, Copy, Debug)]
struct TakenAt(NonZeroU64);

impl TakenAt {
    const ALWAYS: u64 = 0b10;
    const SEATED: u64 = 0b01;

    #[inline]
    const fn new(now: Timestamp, seat: Seat) -> Self {
        let seated = match seat {
            Seat::Taken => Self::SEATED,
            Seat::Unlimited => 0,
        };
        let word = now.as_nanos() & !0b11 | Self::ALWAYS | seated;
        Self(NonZeroU64::new(word).expect("one bit is always set"))
    }

    #[inline]
    const fn seat(self) -> Seat {
        if self.0.get() & Self::SEATED == 0 {
            Seat::Unlimited
        } else {
            Seat::Taken
        }
    }

    const fn timestamp(self) -> Timestamp {
        Timestamp::from_nanos(self.0.get() & !0b11)
    }
}
