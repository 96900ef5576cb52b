//! The rate of a session's relay, on the runtime's own clock.
use std::time::Duration;

use lb_proxy::reports::{RelayEnd, RelayReport};
use lb_proxy::settings::{Bandwidth, HalfClose, Splice};
use lb_proxy::{Relay, Timeouts};
use test_support::bytes::noise;
use test_support::sockets::pair_on_loopback;
use test_support::streams::{read_all, read_until_reset, reset};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

struct Paced {
    client: TcpStream,
    server: TcpStream,
    relay: JoinHandle<RelayReport>,
    begin: Instant,
}

fn stream(stream: std::net::TcpStream) -> TcpStream {
    stream.set_nonblocking(true).unwrap();
    TcpStream::from_std(stream).unwrap()
}

fn paced(relay: Relay) -> Paced {
    let (clients, servers) = (pair_on_loopback(), pair_on_loopback());
    let (client, backend) = (stream(clients.1), stream(servers.0));
    Paced {
        client: stream(clients.0),
        server: stream(servers.1),
        relay: tokio::spawn(async move { relay.run(client, backend).await }),
        begin: Instant::now(),
    }
}

fn upload(rate: u64) -> Relay {
    Relay::new().bandwidth(Bandwidth::unlimited().upload(rate))
}

fn download(rate: u64) -> Relay {
    Relay::new().bandwidth(Bandwidth::unlimited().download(rate))
}

/// The first second's bytes move at once, the next ones a second later.
#[tokio::test(start_paused = true)]
async fn each_second_lets_its_bytes_through() {
    for up in [true, false] {
        let relay = if up { upload(10_000) } else { download(10_000) };
        let Paced {
            client,
            server,
            relay,
            begin,
        } = paced(relay);
        let (mut from, mut to) = if up {
            (client, server)
        } else {
            (server, client)
        };
        let bytes = noise(1, 35_000);
        from.write_all(&bytes).await.unwrap();
        from.shutdown().await.unwrap();
        let mut received = vec![0; 35_000];
        for (from, until, second) in [
            (0, 10_000, 0),
            (10_000, 20_000, 1),
            (20_000, 30_000, 2),
            (30_000, 35_000, 3),
        ] {
            to.read_exact(&mut received[from..until]).await.unwrap();
            assert_eq!(begin.elapsed().as_secs(), second, "{until} bytes");
        }
        assert!(received == bytes);
        assert_eq!(read_all(&mut to).await, b"");
        drop((from, to));
        assert_eq!(relay.await.unwrap().end, RelayEnd::Finished);
    }
}

/// A long transfer is spliced: at this rate a read takes more than 32 KiB.
#[tokio::test(start_paused = true)]
async fn a_fast_transfer_keeps_its_rate_with_splice_and_without() {
    const RATE: usize = 8 << 20;
    for splice in [Splice::Auto, Splice::Off] {
        let Paced {
            client,
            mut server,
            begin,
            relay,
        } = paced(upload(RATE as u64).splice(splice));
        let bytes = noise(2, 3 * RATE);
        let sent = bytes.clone();
        let sending = tokio::spawn(async move {
            let mut client = client;
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
            client
        });
        assert!(read_all(&mut server).await == bytes);
        let seconds = begin.elapsed().as_secs_f64();
        assert!((2.0..3.5).contains(&seconds), "{seconds} s, {splice:?}");
        drop((sending.await.unwrap(), server));
        relay.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_other_direction_has_no_limit() {
    let Paced {
        mut client,
        mut server,
        begin,
        relay,
    } = paced(upload(1));
    client.write_all(b"request").await.unwrap();
    server.write_all(&[7; 50_000]).await.unwrap();
    client.read_exact(&mut [0; 50_000]).await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 0);
    server.read_exact(&mut [0; 7]).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(6));
    drop((client, server));
    relay.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_direction_that_pauses_is_not_idle() {
    let idle = Timeouts::default().idle(Some(Duration::from_secs(5)));
    // A read of 16 KiB pauses for 16 s.
    let Paced {
        mut client,
        mut server,
        begin,
        relay,
    } = paced(upload(1024).timeouts(idle));
    client.write_all(&[7; 40_000]).await.unwrap();
    server.read_exact(&mut vec![0; 40_000]).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(37));
    // Without bytes and pauses it is.
    let report = relay.await.unwrap();
    assert_eq!(report.end, RelayEnd::IdleTimeout);
    assert_eq!(report.bytes_to_backend, 40_000);
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_session_keeps_its_rate() {
    let Paced {
        mut client,
        mut server,
        begin,
        relay,
    } = paced(
        download(1000).timeouts(Timeouts::default().half_closed(Some(Duration::from_secs(2)))),
    );
    client.shutdown().await.unwrap();
    server.write_all(&[7; 9500]).await.unwrap();
    drop(server);
    assert_eq!(read_all(&mut client).await.len(), 9500);
    assert_eq!(begin.elapsed().as_secs(), 9);
    drop(client);
    assert_eq!(relay.await.unwrap().end, RelayEnd::Finished);
}

#[tokio::test(start_paused = true)]
async fn what_has_arrived_by_the_end_of_the_other_side_keeps_its_rate() {
    let Paced {
        mut client,
        mut server,
        begin,
        relay,
    } = paced(download(1000).half_close(HalfClose::End));
    server.write_all(&[7; 9500]).await.unwrap();
    client.read_exact(&mut [0; 1000]).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut client).await.len(), 8500);
    assert_eq!(begin.elapsed().as_secs(), 9);
    drop((client, server));
    assert_eq!(relay.await.unwrap().end, RelayEnd::Finished);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_too_old_delivers_its_last_bytes_at_once() {
    let old = Timeouts::default().max_age(Some(Duration::from_secs(3)));
    let Paced {
        client,
        mut server,
        begin,
        relay,
    } = paced(upload(1000).timeouts(old));
    let mut client = client;
    client.write_all(&[7; 9500]).await.unwrap();
    assert_eq!(read_until_reset(&mut server).await.len(), 9500);
    assert_eq!(begin.elapsed().as_secs(), 3);
    assert_eq!(relay.await.unwrap().end, RelayEnd::MaxAge);
}

/// The paused side is not read, and its reset is noticed nevertheless.
#[tokio::test(start_paused = true)]
async fn a_reset_of_the_paused_side_ends_the_session() {
    let Paced {
        mut client,
        mut server,
        begin,
        relay,
    } = paced(upload(10));
    client.write_all(&[7; 1000]).await.unwrap();
    server.read_exact(&mut [0; 10]).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    reset(client);
    read_until_reset(&mut server).await;
    assert_eq!(begin.elapsed().as_secs(), 0);
    assert_eq!(relay.await.unwrap().end, RelayEnd::ClientReset);
}
