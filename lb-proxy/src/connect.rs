//! One attempt to reach a backend.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::time::timeout;

use crate::socket::{SocketOptions, Source};
use crate::stream::Stream;

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The backend or the way to it: refused, reset, unreachable.
    #[error("{0}")]
    Backend(io::Error),
    /// This machine: no free source port, no such source address or interface. Says nothing about the backend.
    #[error("{0}")]
    Local(io::Error),
    /// This machine: no descriptor or no memory. Another backend would not help.
    #[error("{0}")]
    Shortage(io::Error),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// Connects to `addr` within `limit`.
pub(crate) async fn connect(
    addr: SocketAddr,
    source: &Source,
    options: &SocketOptions,
    limit: Duration,
) -> Result<Stream, ConnectError> {
    let socket = source.connect(addr, options).map_err(blame)?;
    let stream = Stream::from_std(socket.into()).map_err(blame)?;
    let answer = timeout(limit, stream.ready(Interest::WRITABLE | Interest::ERROR)).await;
    let ready = answer
        .map_err(|_| ConnectError::Timeout(limit))?
        .map_err(blame)?;
    // Whoever is writable without an error is connected: asking the kernel would cost another call.
    if ready.is_error() || ready.is_write_closed() {
        let reason = SockRef::from(&stream).take_error().map_err(blame)?;
        let reason = reason.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into());
        return Err(blame(reason));
    }
    Ok(stream)
}

fn blame(error: io::Error) -> ConnectError {
    match Errno::from_io_error(&error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
            ConnectError::Shortage(error)
        }
        Some(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL | Errno::NODEV | Errno::PERM) => {
            ConnectError::Local(error)
        }
        _ => ConnectError::Backend(error),
    }
}
