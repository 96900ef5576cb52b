//! The relay of a session: bytes both ways, half-close, resets and time-outs.
//!
//! Each direction is a state machine ([`pump`]): it reads, writes at once, holds the bytes that the other side does not
//! accept yet, and forwards the end as a FIN. The other direction goes on until it ends as well.
//!
//! Bytes go through the worker's scratch buffer. Long transfers, several in a row, go through a pipe of the worker instead
//! ([`transfer_mode`], [`pipe`]). Both are borrowed for one step, so an idle session owns neither. A blocked direction owns the
//! bytes that it holds, at most 64 KiB in a buffer or one pipe, and reads no more until they are written.
//!
//! A reset is not an end: if one side resets, the other side is reset as well, so a truncated stream never looks complete.
//! The same holds for a session that is cut or too old, and for one that times out with bytes held or with one direction
//! ended. Only a session that is silent in both directions is ended cleanly.
//!
//! Bytes that the kernel has acknowledged to a sender are delivered before a reset is forwarded, as long as the reader's
//! kernel answers within [`Timeouts::idle`] and accepts some within max(`idle`, 60 s). Without `idle` both times are 60 s
//! ([`deadlines`]). A broken source is read to its last byte. A session that is cut reads the bytes that the kernel had
//! acknowledged by then ([`read_limit`]). A side is reset when its peer's kernel has acknowledged everything ([`closing`],
//! [`send_queue`]). If there is no time for that ([`duplex`]) the side is ended, and the kernel continues to deliver.
//!
//! The kernel stops a read in front of an urgent byte, and splice(2) does not pass it. Where an urgent byte is possible, the
//! relay does not treat an empty read as a drained socket or as end of stream ([`stream`](crate::net::stream)).

mod closing;
mod deadlines;
mod duplex;
mod held_bytes;
mod pacing;
#[cfg_attr(
    not(any(target_os = "android", target_os = "linux")),
    path = "no_pipe.rs"
)]
mod pipe;
mod pump;
mod read_limit;
mod respond;
mod run;
#[cfg_attr(
    not(any(target_os = "android", target_os = "linux")),
    path = "no_send_queue.rs"
)]
mod send_queue;
mod setup;
mod socket;
mod state;
mod streams;
mod totals;
mod transfer_mode;

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::attempt_times::AttemptTimes;
use crate::bandwidth::Bandwidth;
use crate::config::{HalfClose, Splice, Timeouts};
use crate::lazy_timer::LazyTimer;
use crate::metrics::RelayTraffic;
use crate::net::stream::Stream;

pub(crate) use respond::{ResponseEnd, respond};
pub(crate) use run::relay;
pub(crate) use setup::{BytesAhead, CutReason, CutSignals, RelaySettings, TrafficCounters};
pub(crate) use socket::{read_some, reset_on_close, transfer_to, write_some};
pub(crate) use totals::RelayTotals;

/// The relay alone, for programs that accept and connect by themselves.
///
/// It is what a [`Server`](crate::Server) does with a client and its backend: bytes both ways with back-pressure,
/// half-close, forwarded resets, time-outs. tokio's `copy_bidirectional` has none of the last three, holds 16 KiB for every
/// connection, and copies.
///
/// ```no_run
/// use lb_proxy::Relay;
/// use tokio::net::{TcpListener, TcpStream};
///
/// # #[tokio::main]
/// # async fn main() -> std::io::Result<()> {
/// let (client, _) = TcpListener::bind("[::]:446").await?.accept().await?;
/// let backend = TcpStream::connect("10.0.0.1:446").await?;
/// let report = Relay::new().run(client, backend).await;
/// println!("{} bytes to the client, then {:?}", report.bytes_to_client, report.end);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Relay {
    timeouts: Timeouts,
    splice: Splice,
    half_close: HalfClose,
    bandwidth: Bandwidth,
}

impl Relay {
    /// A relay with default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time-outs, of which [`Timeouts::connect`] is not used. Default: [`Timeouts::default`].
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets whether long transfers use splice(2). Default: [`Splice::Auto`].
    pub fn splice(mut self, splice: Splice) -> Self {
        self.splice = splice;
        self
    }

    /// Sets what the relay does when one side's stream has ended. Default: [`HalfClose::Allow`].
    pub fn half_close(mut self, half_close: HalfClose) -> Self {
        self.half_close = half_close;
        self
    }

    /// Sets how many bytes a second are relayed. Default: [`Bandwidth::unlimited`].
    pub fn bandwidth(mut self, bandwidth: Bandwidth) -> Self {
        self.bandwidth = bandwidth;
        self
    }

    /// Relays bytes both ways until both streams have ended, a side resets, or a time-out passes. Then closes both sockets.
    ///
    /// A reset is forwarded after the bytes that were acknowledged before it. Dropping the future ends both sides at once:
    /// a side is reset if its peer has everything, and the kernel delivers its send queue to any other side. Small pieces
    /// are sent without delay only if the embedder has set `TCP_NODELAY`.
    ///
    /// An urgent byte (`MSG_OOB`) stops nothing: the bytes around it arrive in order. The byte itself is dropped, as in
    /// nginx, because it is no part of the stream for a reader without `SO_OOBINLINE`. Of several urgent bytes that the
    /// sender sends before the relay has read them, all but the last are part of the stream.
    pub async fn run(&self, client: TcpStream, backend: TcpStream) -> RelayReport {
        let backend = Stream::from(backend);
        self.run_sockets(client.into(), backend, Vec::new(), None, || {})
            .await
    }

    /// Sends `header` to the backend, and relays. Notifies `first_byte` of the backend's first byte, and calls `backend_left`
    /// if its connection ends while the client still has bytes to read.
    pub(crate) async fn run_sockets(
        &self,
        client: Stream,
        backend: Stream,
        header: Vec<u8>,
        first_byte: Option<Arc<AttemptTimes>>,
        backend_left: impl FnOnce(),
    ) -> RelayReport {
        let begin = Instant::now();
        let bytes = RelayTraffic::of_relay(first_byte);
        let traffic = TrafficCounters {
            bytes: &bytes,
            totals: None,
        };
        let settings = RelaySettings {
            timeouts: &self.timeouts,
            splice: self.splice,
            half_close: self.half_close,
            bandwidth: self.bandwidth,
            sets_nodelay: false,
            begin,
        };
        let never = CutSignals {
            cut: pin!(pending()),
            at_once: None,
            request: None,
            timer: pin!(LazyTimer::new(begin)),
            leaving: None,
        };
        let ahead = BytesAhead {
            announced: header.len(),
            bytes: header,
            consumed: 0,
        };
        let end = relay(
            &client,
            &backend,
            settings,
            ahead,
            traffic,
            never,
            backend_left,
        );
        let end = end.await;
        RelayReport {
            end,
            bytes_to_backend: bytes.to_backend.get(),
            bytes_to_client: bytes.to_client.get(),
        }
    }
}

/// The result of a [`Relay`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct RelayReport {
    /// Why it ended.
    pub end: RelayEnd,
    /// Bytes from the client that the kernel accepted for the backend.
    pub bytes_to_backend: u64,
    /// Bytes from the backend that the kernel accepted for the client.
    pub bytes_to_client: u64,
}

/// Why a relay ended.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RelayEnd {
    /// The backend reset its connection.
    BackendReset,
    /// The client reset its connection.
    ClientReset,
    /// Both sides sent all they had.
    Finished,
    /// Neither side ever sent anything: [`Timeouts::first_byte`].
    FirstByteTimeout,
    /// One side had ended, and the other was silent: [`Timeouts::half_closed`].
    HalfClosedTimeout,
    /// Both sides were silent: [`Timeouts::idle`].
    IdleTimeout,
    /// The session reached its maximum age: [`Timeouts::max_age`].
    MaxAge,
}

crate::names::names!(RelayEnd {
    BackendReset = "backend_reset",
    ClientReset = "client_reset",
    Finished = "finished",
    FirstByteTimeout = "first_byte_timeout",
    HalfClosedTimeout = "half_closed_timeout",
    IdleTimeout = "idle_timeout",
    MaxAge = "max_age",
});
