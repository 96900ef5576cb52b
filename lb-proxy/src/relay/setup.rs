//! The parameters of a relay: counters, settings, the bytes sent first and the signals that end it.

use std::pin::Pin;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::RelayEnd;
use super::totals::RelayTotals;
use crate::bandwidth::Bandwidth;
use crate::close_request::CloseRequest;
use crate::config::{HalfClose, Splice, Timeouts};
use crate::lazy_timer::LazyTimer;
use crate::metrics::RelayTraffic;

/// The byte counters of both directions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrafficCounters<'a> {
    pub(crate) bytes: &'a RelayTraffic,
    /// Where the relay leaves its own totals at its end.
    pub(crate) totals: Option<&'a RelayTotals>,
}

/// The settings of a relay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RelaySettings<'a> {
    pub(crate) timeouts: &'a Timeouts,
    pub(crate) splice: Splice,
    pub(crate) half_close: HalfClose,
    pub(crate) bandwidth: Bandwidth,
    /// Whether the socket of the backend still has to be told not to delay small pieces (`TCP_NODELAY`). The kernel delays none
    /// while nothing is unacknowledged, so there is time until the second write.
    pub(crate) sets_nodelay: bool,
    /// The time-outs count from then.
    pub(crate) begin: Instant,
}

/// The bytes that the backend is sent first.
#[derive(Debug, Default)]
pub(crate) struct BytesAhead {
    pub(crate) bytes: Vec<u8>,
    /// How many of the first `bytes` are not for the backend.
    pub(crate) consumed: usize,
    /// How many of the remaining bytes are not the client's, and are not counted as its bytes.
    pub(crate) announced: usize,
}

/// Why a relay is cut from outside.
pub(crate) trait CutReason: From<RelayEnd> {
    /// Whether nothing reaches the client any more: the relay then delivers to the backend alone.
    fn has_lost_client(&self) -> bool {
        false
    }
}

impl CutReason for RelayEnd {}

/// The signals that end a relay, apart from those of its sockets.
#[derive(Debug)]
pub(crate) struct CutSignals<'a, F> {
    /// Completes when the session is to be cut: the relay then delivers the acknowledged bytes and no more. The
    /// caller pins it, because a future that takes another one by value keeps room for it twice.
    pub(crate) cut: Pin<&'a mut F>,
    /// Cancelled when a cut session must not wait any longer; before `cut` completes if it must not wait at all.
    pub(crate) at_once: Option<&'a CancellationToken>,
    /// Says whether both sides are to be reset, whatever they still have to deliver. The relay waits for that once it was
    /// cut or has ended, while it delivers and closes. It notes here that the session was cut.
    pub(crate) request: Option<&'a CloseRequest>,
    /// The session's timer, for the time-outs of the relay.
    pub(crate) timer: Pin<&'a mut LazyTimer>,
    /// Cancelled when the server begins to drain: the relay then leaves to the kernel what it can deliver alone.
    pub(crate) leaving: Option<&'a CancellationToken>,
}
