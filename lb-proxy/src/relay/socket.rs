//! The system calls of a relay.

use std::io;

use rustix::io::ioctl_fionread;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use socket2::SockRef;
use tokio::io::Interest;

use crate::net::stream::Stream;

/// Reads once. `Ok(0)` is the end.
///
/// Fewer bytes than there is room for mean that the socket is drained, unless the kernel stopped in front of an urgent
/// byte. The readiness of a drained socket is cleared without the further call that would only say so.
pub(super) fn read_some(stream: &Stream, buffer: &mut [u8]) -> io::Result<usize> {
    let wanted = buffer.len();
    let mut read = None;
    let outcome = stream.try_read(|| {
        let n = recv(stream, &mut *buffer, RecvFlags::empty())?.0;
        read = Some(n);
        if n > 0 && n < wanted && !stream.may_be_urgent() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(n)
    });
    read.map_or(outcome, Ok)
}

/// Writes once.
pub(super) fn write_some(stream: &Stream, bytes: &[u8]) -> io::Result<usize> {
    transfer_to(stream, bytes.len(), || {
        Ok(send(stream, bytes, SendFlags::NOSIGNAL)?)
    })
}

/// Transfers to `sink` once. Fewer bytes than `wanted` mean that it is full: its readiness is cleared without the further
/// call that would only say so.
pub(super) fn transfer_to(
    sink: &Stream,
    wanted: usize,
    transfer: impl FnOnce() -> io::Result<usize>,
) -> io::Result<usize> {
    let mut transferred = None;
    let outcome = sink.try_write(|| {
        let n = transfer()?;
        transferred = Some(n);
        if n > 0 && n < wanted {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(n)
    });
    transferred.map_or(outcome, Ok)
}

/// How many bytes can be read now. Urgent bytes may count although they are not read.
pub(super) fn readable(stream: &Stream) -> usize {
    ioctl_fionread(stream).map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX))
}

/// Sends a FIN after what was written; reading goes on.
pub(super) fn end(stream: &Stream) -> io::Result<()> {
    Ok(shutdown(stream, Shutdown::Write)?)
}

/// Completes when the connection is broken: reset by its peer, or timed out by the kernel.
pub(super) async fn break_of(stream: &Stream) {
    // The outcome says nothing more: error readiness is set only by an error, and errors are final.
    let _ = stream.ready(Interest::ERROR).await;
}

/// Whether the peer of a connection that broke had ended its stream before that, and nothing of it was lost. Linux calls
/// a reset after the end a broken pipe. What was received before can be read still, and then the end.
pub(super) fn ended_before_it_broke(stream: &Stream) -> bool {
    let error = SockRef::from(stream).take_error();
    error.is_ok_and(|error| error.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

/// Resets the connection. What is not yet sent is discarded.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(super) fn reset(stream: &Stream) {
    // Dissolving an association resets a connection without closing its socket, which may have to wait for the other.
    if rustix::net::connect_unspec(stream).is_err() {
        reset_on_close(stream);
    }
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(super) use reset_on_close as reset;

/// Makes closing `stream` reset the connection instead of ending it. What is not yet sent is discarded.
pub(crate) fn reset_on_close(stream: &Stream) {
    // Fails only on a socket that is already gone, where nothing is left to reset.
    let _ = SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
}
