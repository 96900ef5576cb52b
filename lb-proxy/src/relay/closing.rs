//! Closes both sides of a relay, each when its peer has received everything.
//!
//! A reset discards the kernel's send queue, and so does the close of a socket with bytes unread. So a side waits until its
//! peer has acknowledged everything. epoll does not report that, so the relay polls the kernel, in growing intervals.

use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::RelayEnd;
use super::deadlines::DeliveryTimeout;
use super::duplex::{Duplex, has_everything};
use super::pump::Pump;
use super::send_queue::SendQueue;
use super::socket::{end, readable, reset};
use super::state::DirectionState;

/// A side that accepted fewer bytes is assumed to have received them.
///
/// TCP sends this many, ten segments, without waiting for the first acknowledgement. So a short session ends without the
/// system call that reads the send queue.
const INITIAL_WINDOW: u64 = 14_600;

/// The interval between two polls of the kernel: the first one and the longest one.
const POLL_INTERVAL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(250));

/// The next interval is the time waited so far divided by this.
const INTERVAL_DIVISOR: u32 = 8;

/// How long an ended side stays open for bytes that its peer still sends.
///
/// The kernel delivers without the socket as well, but resets the connection if the peer sends more after the close.
const LINGER: Duration = Duration::from_secs(5);

/// How one side is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum CloseMode {
    /// Closes the socket at once.
    Now,
    /// Ends the stream, and closes the socket once the peer has everything.
    End,
    /// Resets the connection once the peer has everything.
    Reset,
}

/// How both sides of a relay are closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    client: CloseMode,
    backend: CloseMode,
}

impl Closing {
    /// Decides it for a relay that ended by `how`, or was cut (`None`), and does what can be done at once.
    pub(super) fn begin(both: &Duplex<'_>, how: Option<RelayEnd>) -> Self {
        Self {
            client: begin(&both.up, &both.down, how),
            backend: begin(&both.down, &both.up, how),
        }
    }

    /// Whether both sockets can be closed at once.
    pub(super) fn is_done(self) -> bool {
        self.client == CloseMode::Now && self.backend == CloseMode::Now
    }

    /// Waits until both peers have received everything, or their delivery time-out has passed.
    ///
    /// A side that has nothing to wait for ends at once. So does a side that the kernel can finish alone, once `leaving` is
    /// cancelled. `backend_left` is called when the backend's side has ended, which may be long before the client's.
    pub(super) async fn finish(
        self,
        up: &Pump<'_>,
        down: &Pump<'_>,
        delivery_timeout: DeliveryTimeout,
        leaving: Option<&CancellationToken>,
        backend_left: impl FnOnce(),
    ) {
        let client = async {
            finish(up, down, self.client, delivery_timeout, leaving).await;
            leave(up, down);
        };
        let backend = async {
            finish(down, up, self.backend, delivery_timeout, leaving).await;
            leave(down, up);
            backend_left();
        };
        tokio::join!(client, backend);
    }
}

/// Decides how to close the side that `from` reads and `towards` writes, and does what can be done at once.
fn begin(from: &Pump<'_>, towards: &Pump<'_>, how: Option<RelayEnd>) -> CloseMode {
    if from.is_source_broken() || from.state() == DirectionState::SourceReset {
        return CloseMode::Now;
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
            return CloseMode::Now;
        }
        return CloseMode::Reset;
    }
    let is_silent = matches!(
        how,
        Some(RelayEnd::FirstByteTimeout | RelayEnd::IdleTimeout)
    );
    if from.is_source_over() || is_silent || towards.sent() < INITIAL_WINDOW {
        return CloseMode::Now;
    }
    // The peer may still send, and after a close the kernel would answer with a reset.
    let _ = end(sink);
    if has_everything(sink) {
        CloseMode::Now
    } else {
        CloseMode::End
    }
}

/// Does what the close of the socket will do, because the close itself may have to wait for the other side.
fn leave(from: &Pump<'_>, towards: &Pump<'_>) {
    let sink = towards.sink();
    if !from.is_source_over() && readable(sink) > 0 && has_everything(sink) {
        reset(sink);
    } else {
        // Fails if the connection has ended already.
        let _ = end(sink);
    }
}

/// Waits until the peer has everything, and resets if `how` says so.
///
/// A receiving kernel advertises window space only when about half of its buffer is free. So a slow reader shows no
/// progress for a while, and gets more time than a kernel that does not answer.
async fn finish(
    from: &Pump<'_>,
    towards: &Pump<'_>,
    how: CloseMode,
    delivery_timeout: DeliveryTimeout,
    leaving: Option<&CancellationToken>,
) {
    if how == CloseMode::Now {
        return;
    }
    let begin = Instant::now();
    let [mut answered, mut taken] = [delivery_timeout.since; 2];
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
        let mut left = delivery_timeout.left(answered, taken, now);
        if how == CloseMode::End {
            if leaving.is_some_and(CancellationToken::is_cancelled) {
                break;
            }
            left = left.min(delivery_timeout.left_of(LINGER, now));
        }
        if left.is_zero() {
            break;
        }
        // Lets a peer write that writes before it reads, though not at full speed.
        from.discard(&mut Context::from_waker(Waker::noop()));
        let pause = ((now - begin) / INTERVAL_DIVISOR)
            .clamp(POLL_INTERVAL.0, POLL_INTERVAL.1)
            .min(left);
        sleep(pause).await;
    }
    if how == CloseMode::Reset {
        reset(towards.sink());
    }
}
