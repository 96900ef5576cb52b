//! One attempt to reach a backend.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The backend or the way to it: refused, reset, unreachable.
    #[error("{0}")]
    Backend(io::Error),
    /// This machine: no descriptor, no memory, no free source port. Says nothing about the backend.
    #[error("{0}")]
    Local(io::Error),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// Connects to `addr` within `limit`.
pub(crate) async fn connect(addr: SocketAddr, limit: Duration) -> Result<TcpStream, ConnectError> {
    let attempt = timeout(limit, TcpStream::connect(addr)).await;
    attempt
        .map_err(|_| ConnectError::Timeout(limit))?
        .map_err(blame)
}

fn blame(error: io::Error) -> ConnectError {
    const LOCAL: [Errno; 5] = [
        Errno::ADDRNOTAVAIL,
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
    ];
    if Errno::from_io_error(&error).is_some_and(|errno| LOCAL.contains(&errno)) {
        ConnectError::Local(error)
    } else {
        ConnectError::Backend(error)
    }
}
