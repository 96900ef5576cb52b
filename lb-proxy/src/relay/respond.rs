//! A fixed response: bytes for a client that gets no backend.

use std::time::Duration;

use tokio::io::Interest;
use tokio::time::{Instant, sleep, timeout};

use super::send_queue::SendQueue;
use super::socket::{end, read_some, write_some};
use crate::net::stream::Stream;

/// How long the client may accept nothing, as in nginx.
const STALLED: Duration = Duration::from_secs(5);

/// The interval between two polls of the kernel: the first one and the longest one.
const POLL_INTERVAL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(250));

/// How a response ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ResponseEnd {
    /// The client reset the connection before it had accepted everything.
    ClientReset,
    /// The client's kernel has everything, or has the end and accepts no more.
    Delivered,
    /// The client accepted nothing for [`STALLED`].
    Timeout,
}

/// Writes `bytes` to `client` and ends the stream, then waits until the client's kernel has acknowledged them: the close of
/// a socket with bytes unread resets the connection, and the reset would overtake the response. Calls `sent` with the
/// number of bytes of each write. What the client sends is discarded.
pub(crate) async fn respond(
    client: &Stream,
    mut bytes: &[u8],
    mut sent: impl FnMut(u64),
) -> ResponseEnd {
    while !bytes.is_empty() {
        match timeout(STALLED, client.ready(Interest::WRITABLE)).await {
            Err(_) => return ResponseEnd::Timeout,
            Ok(Err(_)) => return ResponseEnd::ClientReset,
            Ok(Ok(_)) => {}
        }
        match write_some(client, bytes) {
            Ok(n) => {
                sent(n as u64);
                bytes = &bytes[n..];
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return ResponseEnd::ClientReset,
        }
    }
    if end(client).is_err() {
        return ResponseEnd::ClientReset;
    }
    let begin = Instant::now();
    while let Ok(queue) = SendQueue::of(client)
        && !queue.is_empty
        && begin.elapsed() < STALLED
    {
        discard(client);
        let pause = (begin.elapsed() / 8).clamp(POLL_INTERVAL.0, POLL_INTERVAL.1);
        sleep(pause).await;
    }
    discard(client);
    ResponseEnd::Delivered
}

/// Reads and drops what the client has sent, up to 64 KiB.
fn discard(client: &Stream) {
    let mut buffer = [0; 4096];
    let more = |read: std::io::Result<usize>| read.is_ok_and(|n| n > 0);
    let _ = (0..16).all(|_| more(read_some(client, &mut buffer)));
}
