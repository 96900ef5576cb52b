//! The byte pump of a session.
//!
//! Each direction is a small machine ([`pump`]): read, write on at once, hold what the other side does not take yet,
//! pass the end on as a FIN. The other direction goes on until it ends too.
//!
//! Bytes go through the worker's scratch buffer; transfers that fill it several times in a row go through a pipe of the
//! worker instead ([`gauge`], [`pipe`]). Both are borrowed for a step. So an idle session owns neither; a blocked
//! direction owns what it holds, at most 64 KiB copied or one pipe, and reads no more until that is written.
//!
//! A reset is not an end: whichever side resets, the other gets a reset as well, so that a truncated stream never
//! looks complete. The same goes for a session that is cut off or too old, and for one that times out with bytes still
//! held or with one direction ended; only a session that is silent both ways is ended cleanly.
//!
//! Bytes that the kernel has acknowledged to a sender are delivered before a reset is passed on, as long as their reader
//! takes some within the idle time-out, or within a minute if that is longer. A broken source is read to its last byte.
//! A session that is cut reads what the kernel had acknowledged by then ([`limit`]). A side is reset when its peer's
//! kernel has acknowledged everything ([`closing`], [`queue`]). Where there is no time for that ([`both`]) the side is
//! ended, and the kernel goes on.
//!
//! The kernel stops a read in front of an urgent byte, and splice(2) does not pass it: neither a drained socket nor an
//! end is believed where there may be one ([`stream`](crate::stream)).

mod both;
mod closing;
mod deadlines;
mod gauge;
mod held;
mod limit;
#[cfg_attr(
    not(any(target_os = "android", target_os = "linux")),
    path = "no_pipe.rs"
)]
mod pipe;
mod pump;
#[cfg_attr(
    not(any(target_os = "android", target_os = "linux")),
    path = "no_queue.rs"
)]
mod queue;
mod run;
mod socket;
mod state;

use std::future::pending;
use std::pin::pin;

use tokio::net::TcpStream;

use crate::config::{HalfClose, Splice, Timeouts};
use crate::metrics::Counter;
use crate::net::stream::Stream;

pub(crate) use run::{Ahead, Cuts, Settings, Traffic, relay};
pub(crate) use socket::reset_on_close;

/// The relay alone, for programs that accept and connect by themselves.
///
/// What a [`Server`](crate::Server) does with a client and its backend: bytes both ways with back-pressure, half-close,
/// resets passed on, time-outs. tokio's `copy_bidirectional` has none of the last three, holds 16 KiB for every
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
/// let relayed = Relay::new().run(client, backend).await;
/// println!("{} bytes to the client, then {:?}", relayed.bytes_to_client, relayed.end);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Relay {
    timeouts: Timeouts,
    splice: Splice,
    half_close: HalfClose,
}

impl Relay {
    /// A relay with default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time-outs, of which [`Timeouts::connect`] plays no part. Default: [`Timeouts::default`].
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets whether long transfers are spliced. Default: [`Splice::Auto`].
    pub fn splice(mut self, splice: Splice) -> Self {
        self.splice = splice;
        self
    }

    /// Sets what the end of one side means. Default: [`HalfClose::Allow`].
    pub fn half_close(mut self, half_close: HalfClose) -> Self {
        self.half_close = half_close;
        self
    }

    /// Moves bytes both ways until both ends are reached, a side resets, or a time-out passes, and closes both.
    ///
    /// A reset goes on to the other side after the bytes that were acknowledged before it. Dropping the future ends both
    /// at once: it resets a side whose peer has everything, and leaves to the kernel what it has for the other ones.
    /// Small pieces are sent without delay only if the embedder has set `TCP_NODELAY`.
    ///
    /// An urgent byte (`MSG_OOB`) stops nothing: what surrounds it arrives, in order. The byte itself is dropped: it is no
    /// part of the stream for a reader without `SO_OOBINLINE`. nginx drops it, too. Of several urgent
    /// bytes that follow each other before the relay has read them, all but the last are part of the stream.
    pub async fn run(&self, client: TcpStream, backend: TcpStream) -> Relayed {
        let (to_backend, to_client) = (Counter::default(), Counter::default());
        let traffic = Traffic {
            to_backend: &to_backend,
            to_client: &to_client,
        };
        let settings = Settings {
            timeouts: &self.timeouts,
            splice: self.splice,
            half_close: self.half_close,
        };
        let never = Cuts {
            cut: pin!(pending()),
            at_once: None,
            leaving: None,
        };
        let (client, backend) = (Stream::from(client), Stream::from(backend));
        let ahead = Ahead::default();
        let end = relay(&client, &backend, settings, ahead, traffic, never, || {}).await;
        Relayed {
            end,
            bytes_to_backend: to_backend.get(),
            bytes_to_client: to_client.get(),
        }
    }
}

/// What a [`Relay`] did.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Relayed {
    /// How it ended.
    pub end: RelayEnd,
    /// Bytes from the client that were handed to the kernel for the backend.
    pub bytes_to_backend: u64,
    /// Bytes from the backend that were handed to the kernel for the client.
    pub bytes_to_client: u64,
}

/// How a relay ended.
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
    /// One side had ended, the other fell silent: [`Timeouts::half_closed`].
    HalfClosedTimeout,
    /// Both sides fell silent: [`Timeouts::idle`].
    IdleTimeout,
    /// It had lasted as long as it may: [`Timeouts::max_age`].
    MaxAge,
}
