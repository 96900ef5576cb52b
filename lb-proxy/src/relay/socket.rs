//! The system calls of a relay.

use std::io;

use rustix::io::ioctl_fionread;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use socket2::SockRef;
use tokio::io::Interest;

use crate::net::stream::Stream;

/// Reads once into `buffer`. `Ok(0)` is the end of the stream.
///
/// A short read means that the socket is drained, unless the kernel stopped in front of an urgent byte. The readiness of a
/// drained socket is cleared at once, which saves the system call that would return "would block".
#[inline]
pub(crate) fn read_some(stream: &Stream, buffer: &mut [u8]) -> io::Result<usize> {
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
#[inline]
pub(crate) fn write_some(stream: &Stream, bytes: &[u8]) -> io::Result<usize> {
    transfer_to(stream, bytes.len(), || {
        Ok(send(stream, bytes, SendFlags::NOSIGNAL)?)
    })
}

/// Calls `transfer`, which writes up to `wanted` bytes to `sink`. A short write means that the sink is full: its readiness
/// is cleared at once, which saves the system call that would return "would block".
pub(crate) fn transfer_to(
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

/// How many bytes can be read now. Urgent bytes may be counted although they are not read.
pub(super) fn readable(stream: &Stream) -> usize {
    ioctl_fionread(stream).map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX))
}

/// Sends a FIN behind the written bytes. Reading goes on.
pub(super) fn end(stream: &Stream) -> io::Result<()> {
    Ok(shutdown(stream, Shutdown::Write)?)
}

/// Waits until the connection is broken: reset by its peer, or timed out by the kernel.
pub(super) async fn break_of(stream: &Stream) {
    // The outcome is not needed: only an error sets error readiness, and errors are final.
    let _ = stream.ready(Interest::ERROR).await;
}

/// Whether the peer of a broken connection had ended its stream before, so that nothing of the stream is lost.
///
/// Linux reports a reset after the end as a broken pipe. Bytes received before can still be read, and then the end.
pub(super) fn ended_before_it_broke(stream: &Stream) -> bool {
    let error = SockRef::from(stream).take_error();
    error.is_ok_and(|error| error.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

/// Resets the connection. Discards the send queue.
///
/// A unix socket cannot be reset: it is ended, and its peer still reads what was written.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(super) fn reset(stream: &Stream) {
    // Connecting to AF_UNSPEC resets the connection and keeps the socket, which may have to wait for the other side.
    if stream.is_unix() {
        let _ = shutdown(stream, Shutdown::Both);
    } else if rustix::net::connect_unspec(stream).is_err() {
        reset_on_close(stream);
    }
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(super) use reset_on_close as reset;

/// Makes the close of `stream` reset the connection instead of ending it. The reset discards the send queue. Changes
/// nothing for a unix socket.
pub(crate) fn reset_on_close(stream: &Stream) {
    // Fails only on a connection that has ended, where nothing is left to reset.
    let _ = SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
}
