//! The system calls of a relay.

use std::io;
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Reads once. `Ok(0)` is the end.
pub(super) fn read_some(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let wanted = buffer.len();
    some(stream, Interest::READABLE, wanted, || {
        Ok(recv(stream, &mut *buffer, RecvFlags::empty())?.0)
    })
}

/// Writes once.
pub(super) fn write_some(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    some(stream, Interest::WRITABLE, bytes.len(), || {
        Ok(send(stream, bytes, SendFlags::NOSIGNAL)?)
    })
}

/// Transfers once. Fewer bytes than `wanted` mean that the socket is drained or full: its readiness is cleared
/// without the further call that would only say so.
pub(super) fn some(
    stream: &TcpStream,
    interest: Interest,
    wanted: usize,
    mut transfer: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    let mut transferred = None;
    let outcome = stream.try_io(interest, || {
        let n = transfer()?;
        transferred = Some(n);
        if n > 0 && n < wanted {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(n)
    });
    transferred.map_or(outcome, Ok)
}

/// Sends a FIN after what was written; reading goes on.
pub(super) fn end(stream: &TcpStream) -> io::Result<()> {
    Ok(shutdown(stream, Shutdown::Write)?)
}

/// Completes when the connection is broken: reset by its peer, or timed out by the kernel.
pub(super) async fn reset_of(stream: &TcpStream) {
    // The outcome says nothing more: error readiness is set only by an error, and errors are final.
    let _ = stream.ready(Interest::ERROR).await;
}

/// Whether the peer of a connection that broke had ended its stream before that, and nothing of it was lost. Linux calls
/// a reset after the end a broken pipe. What was received before can be read still, and then the end.
pub(super) fn ended_before_it_broke(stream: &TcpStream) -> bool {
    let error = SockRef::from(stream).take_error();
    error.is_ok_and(|error| error.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

/// Makes closing `stream` reset the connection instead of ending it. What is not yet sent is discarded.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    // Fails only on a socket that is already gone, where nothing is left to reset.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
