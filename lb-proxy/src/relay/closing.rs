//! Closing both sides of a relay, each when its peer has what there is for it.
//!
//! A reset throws away what the kernel still holds, and so does closing a socket with bytes unread. So a side waits until
//! its peer has acknowledged everything. epoll does not report that: the kernel is asked, seldom if it takes long.

use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::RelayEnd;
use super::both::{Both, has_everything};
use super::deadlines::Patience;
use super::pump::Pump;
use super::queue::SendQueue;
use super::socket::{end, readable, reset};
use super::state::State;

/// A side that took fewer bytes has them: TCP sends as many as this, ten segments, without waiting for the first
/// acknowledgement. A short session ends without the system call that would only say so.
const FLIGHT: u32 = 14_600;

/// How long the kernel is left alone before it is asked again: at first, and at the most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(250));

/// Part of the time that was waited already which is the next pause.
const PART: u32 = 8;

/// How long a side that is ended stays open for what its peer still sends. The kernel delivers without the socket, too,
/// but resets a connection whose peer sends more after the socket is closed.
const LINGER: Duration = Duration::from_secs(5);

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

    /// Waits until both peers have what there is for them, or `patience` is over for a peer. A side that has nothing to
    /// wait for ends at once, and so does one that the kernel can end alone once `leaving` is cancelled. `backend_left` is called when that is the backend, which the client may outlast by far.
    pub(super) async fn finish(
        self,
        up: &Pump<'_>,
        down: &Pump<'_>,
        patience: Patience,
        leaving: Option<&CancellationToken>,
        backend_left: impl FnOnce(),
    ) {
        let client = async {
            finish(up, down, self.client, patience, leaving).await;
            leave(up, down);
        };
        let backend = async {
            finish(down, up, self.backend, patience, leaving).await;
            leave(down, up);
            backend_left();
        };
        tokio::join!(client, backend);
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

/// Does to the connection what closing its socket will do, which may have to wait for the other side.
fn leave(from: &Pump<'_>, towards: &Pump<'_>) {
    let sink = towards.sink();
    if !from.is_source_over() && readable(sink) > 0 && has_everything(sink) {
        reset(sink);
    } else {
        // Fails if the connection is over already.
        let _ = end(sink);
    }
}

/// Waits until the peer has everything, and closes.
///
/// A receiver reports room only when about half of its buffer is free. So a slow reader takes nothing for a while that
/// the kernel could show, and has longer than a kernel that does not answer.
async fn finish(
    from: &Pump<'_>,
    towards: &Pump<'_>,
    how: Close,
    patience: Patience,
    leaving: Option<&CancellationToken>,
) {
    if how == Close::Now {
        return;
    }
    let begin = Instant::now();
    let [mut answered, mut taken] = [patience.since; 2];
    while let Ok(queue) = SendQueue::of(towards.sink())
        && !queue.is_empty
    {
        let now = Instant::now();
        if queue.is_answered {
            answered = now;
        }
        if let Some(moved) = queue.moved.and_then(|ago| now.checked_sub(ago)) {
            taken = taken.max(moved);
        }
        let mut left = patience.left(answered, taken, now);
        if how == Close::End {
            if leaving.is_some_and(CancellationToken::is_cancelled) {
                break;
            }
            left = left.min(patience.left_of(LINGER, now));
        }
        if left.is_zero() {
            break;
        }
        // A peer that has to write before it reads can do so, but not at full speed.
        from.discard(&mut Context::from_waker(Waker::noop()));
        let pause = ((now - begin) / PART).clamp(PAUSE.0, PAUSE.1).min(left);
        sleep(pause).await;
    }
    if how == Close::Reset {
        reset(towards.sink());
    }
}
