//! The relay between any two streams.

use std::io;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::task::{Context, Poll};

use lb_proxy::reports::{RelayEnd, RelayReport};
use lb_proxy::settings::{Bandwidth, HalfClose};
use lb_proxy::{Relay, Timeouts};
use test_support::bytes::noise;
use test_support::deadline::secs;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The ends of a client and a backend around a relay.
fn around(relay: Relay, room: usize) -> (DuplexStream, DuplexStream, JoinHandle<RelayReport>) {
    let (near, mut client) = duplex(room);
    let (mut backend, far) = duplex(room);
    let running = tokio::spawn(async move { relay.run_streams(&mut client, &mut backend).await });
    (near, far, running)
}

#[tokio::test]
async fn bytes_go_both_ways_and_an_end_leaves_the_other_direction_open() {
    for room in [1, 7, 4096, 1 << 20] {
        let (near, far, running) = around(Relay::new(), room);
        let (up, down) = (noise(1, 40_000), noise(2, 70_000));
        let (mut near_reads, mut near_writes) = tokio::io::split(near);
        let (mut far_reads, mut far_writes) = tokio::io::split(far);
        let sent = up.clone();
        let upload = tokio::spawn(async move {
            near_writes.write_all(&sent).await.unwrap();
            near_writes.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        far_reads.read_to_end(&mut received).await.unwrap();
        assert!(received == up);
        upload.await.unwrap();
        // The client has ended, and the answer comes.
        let sent = down.clone();
        let download = tokio::spawn(async move {
            far_writes.write_all(&sent).await.unwrap();
            far_writes.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        near_reads.read_to_end(&mut received).await.unwrap();
        assert!(received == down);
        download.await.unwrap();
        let report = running.await.unwrap();
        assert_eq!(report.end, RelayEnd::Finished);
        let moved = (report.bytes_to_backend, report.bytes_to_client);
        assert_eq!(moved, (40_000, 70_000));
    }
}

#[tokio::test(start_paused = true)]
async fn time_outs_are_those_of_a_session() {
    let timeouts = Timeouts::default()
        .idle(Some(secs(10)))
        .half_closed(Some(secs(5)));
    let begin = Instant::now();
    let (mut near, _far, running) = around(Relay::new().timeouts(timeouts), 64);
    tokio::time::sleep(secs(6)).await;
    near.write_all(b"x").await.unwrap();
    let report = running.await.unwrap();
    assert_eq!(report.end, RelayEnd::IdleTimeout);
    assert!((secs(16)..secs(17)).contains(&begin.elapsed()));

    let (mut near, _far, running) = around(Relay::new().timeouts(timeouts), 64);
    near.shutdown().await.unwrap();
    let report = running.await.unwrap();
    assert_eq!(report.end, RelayEnd::HalfClosedTimeout);

    let mute = timeouts.first_byte(Some(secs(2)));
    let (_near, _far, running) = around(Relay::new().timeouts(mute), 64);
    assert_eq!(running.await.unwrap().end, RelayEnd::FirstByteTimeout);

    let old = timeouts.max_age(Some(secs(3)));
    let (_near, _far, running) = around(Relay::new().timeouts(old), 64);
    assert_eq!(running.await.unwrap().end, RelayEnd::MaxAge);

    // A reader that accepts nothing.
    let (mut near, _far, running) = around(Relay::new().timeouts(timeouts), 64);
    let writing = tokio::spawn(async move { near.write_all(&[7; 1 << 16]).await });
    assert_eq!(running.await.unwrap().end, RelayEnd::IdleTimeout);
    assert!(writing.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_bandwidth_slows_its_direction_down() {
    let limit = Bandwidth::unlimited().upload(NonZeroU64::new(1000));
    let timeouts = Timeouts::default().idle(Some(secs(2)));
    let relay = Relay::new().bandwidth(limit).timeouts(timeouts);
    let begin = Instant::now();
    let (mut near, mut far, running) = around(relay, 1 << 16);
    near.write_all(&[7; 10_000]).await.unwrap();
    near.shutdown().await.unwrap();
    far.shutdown().await.unwrap();
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert_eq!(received.len(), 10_000);
    assert!((secs(8)..secs(12)).contains(&begin.elapsed()));
    assert_eq!(running.await.unwrap().end, RelayEnd::Finished);
}

#[tokio::test]
async fn with_half_close_end_the_end_of_one_side_ends_both() {
    let (mut near, mut far, running) = around(Relay::new().half_close(HalfClose::End), 64);
    near.write_all(b"bye").await.unwrap();
    near.shutdown().await.unwrap();
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"bye");
    assert_eq!(running.await.unwrap().end, RelayEnd::Finished);
}

/// Yields some bytes, and then fails.
struct Breaking(usize);

impl AsyncRead for Breaking {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0 == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let n = self.0.min(into.remaining());
        into.put_slice(&vec![7; n]);
        self.0 -= n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Breaking {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn an_error_is_a_reset_of_its_side_behind_the_bytes_before_it() {
    let (mut backend, mut far) = duplex(64);
    let relay = tokio::spawn(async move {
        let report = Relay::new()
            .run_streams(&mut Breaking(1000), &mut backend)
            .await;
        drop(backend);
        report
    });
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert_eq!(received.len(), 1000);
    let report = relay.await.unwrap();
    assert_eq!(
        (report.end, report.bytes_to_backend),
        (RelayEnd::ClientReset, 1000)
    );

    let (near, mut client) = duplex(64);
    let relay = Relay::new();
    let mut broken = Breaking(0);
    let relayed = relay.run_streams(&mut client, &mut broken);
    assert_eq!(relayed.await.end, RelayEnd::BackendReset);
    drop(near);

    // A peer that is gone cannot be written to.
    let (mut near, far, running) = around(Relay::new(), 64);
    drop(far);
    assert_eq!(
        near.read(&mut [0]).await.unwrap(),
        0,
        "the relay sees its end"
    );
    near.write_all(b"x").await.unwrap();
    assert_eq!(running.await.unwrap().end, RelayEnd::BackendReset);
}
