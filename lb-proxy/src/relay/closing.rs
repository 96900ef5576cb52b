//! Closing both sides of a relay, each when its peer has what there is for it.
//!
//! A reset throws away what the kernel still holds, and so does closing a socket with bytes unread. So a side waits until
//! its peer has acknowledged everything. epoll does not tell of that: the kernel is asked, seldom if it takes long.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::RelayEnd;
use super::both::{Both, has_everything};
use super::pump::Pump;
use super::queue::SendQueue;
use super::socket::{end, reset};
use super::state::State;

/// A side that took fewer bytes has them: TCP sends as many as this, ten segments, without waiting for the first
/// acknowledgement. A short session ends without the system call that would only say so.
const FLIGHT: u32 = 14_600;

/// How long the kernel is left alone before it is asked again: at first, and at the most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(250));

/// Part of the time that was waited already which is the next pause.
const PART: u32 = 8;

/// How one side is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Close {
    /// Nothing is left to do before the socket is closed.
    Now,
    /// By its end, once the peer has everything.
    End,
    /// By a reset, once the peer has everything.
    Reset,
}

/// How both sides of a relay are closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    client: Close,
    backend: Close,
}

impl Closing {
    /// Decides it for a relay that ended so, or was cut (`None`), and does what can be done at once.
    pub(super) fn begin(both: &Both<'_>, how: Option<RelayEnd>) -> Self {
        Self {
            client: begin(&both.up, &both.down, how),
            backend: begin(&both.down, &both.up, how),
        }
    }

    /// Whether nothing is left to do before the sockets are closed.
    pub(super) fn is_done(self) -> bool {
        self.client == Close::Now && self.backend == Close::Now
    }

    /// Waits until both peers have what there is for them, each at most as long as it takes nothing for `patience`.
    pub(super) async fn finish(self, up: &Pump<'_>, down: &Pump<'_>, patience: Duration) {
        tokio::join!(
            finish(up, down, self.client, patience),
            finish(down, up, self.backend, patience),
        );
    }
}

/// Decides how the side that `from` reads and `towards` writes to is closed, and does what can be done at once.
fn begin(from: &Pump<'_>, towards: &Pump<'_>, how: Option<RelayEnd>) -> Close {
    if from.is_source_broken() || from.state() == State::SourceReset {
        return Close::Now;
    }
    let sink = towards.sink();
    let is_cut_short = match how {
        Some(RelayEnd::Finished | RelayEnd::FirstByteTimeout | RelayEnd::IdleTimeout) => {
            towards.is_holding()
        }
        _ => !towards.state().is_complete(),
    };
    if is_cut_short {
        if has_everything(sink) {
            reset(sink);
            return Close::Now;
        }
        return Close::Reset;
    }
    let is_silent = matches!(
        how,
        Some(RelayEnd::FirstByteTimeout | RelayEnd::IdleTimeout)
    );
    if from.is_source_over() || is_silent || towards.sent() < FLIGHT {
        return Close::Now;
    }
    // The peer may still send, and the kernel resets a connection whose socket is closed then.
    let _ = end(sink);
    if has_everything(sink) {
        Close::Now
    } else {
        Close::End
    }
}

/// Waits until the peer has everything, and closes.
async fn finish(from: &Pump<'_>, towards: &Pump<'_>, how: Close, patience: Duration) {
    if how == Close::Now {
        return;
    }
    let begin = Instant::now();
    let mut taken = begin;
    while let Ok(queue) = SendQueue::of(towards.sink())
        && !queue.is_empty
    {
        let now = Instant::now();
        if let Some(moved) = queue.moved.and_then(|ago| now.checked_sub(ago)) {
            taken = taken.max(moved);
        }
        let left = patience.saturating_sub(now - taken);
        if left.is_zero() {
            break;
        }
        let pause = ((now - begin) / PART).clamp(PAUSE.0, PAUSE.1).min(left);
        // A peer that has to write before it reads can do so.
        let discarding = poll_fn(|cx| {
            from.discard(cx);
            Poll::<()>::Pending
        });
        let _ = timeout(pause, discarding).await;
    }
    if how == Close::Reset {
        reset(towards.sink());
    }
}
