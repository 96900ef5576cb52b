//! Relays from and to unix sockets.

use std::io::{Read, Write};
use std::net::SocketAddr;

use lb_core::Backend;
use lb_proxy::Listener;
use lb_proxy::settings::{HalfClose, SocketOptions, Splice};
use tempfile::TempDir;
use test_support::bytes::noise;
use test_support::deadline::{eventually, within};
use test_support::proxy::{RunningProxy, upstream};
use test_support::sockets::loopback;
use test_support::streams::{read_all, reset};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::{accepted, backend, directory, path};

/// Megabytes both ways at once, through pipes and through buffers, with half-close in both orders.
#[tokio::test]
async fn a_relay_between_unix_sockets_delivers_everything_and_half_closes() {
    for splice in [Splice::Auto, Splice::Off] {
        let dir = directory();
        let (backend, listener) = backend(&path(&dir, "back"));
        let front = path(&dir, "front");
        let described = Listener::unix(&*front, &upstream([backend])).splice(splice);
        let proxy = RunningProxy::start(described, None).await;
        for client_first in [true, false] {
            let mut client = UnixStream::connect(&front).await.unwrap();
            let mut server = accepted(&listener).await;
            let (up, down) = (noise(1, 8 << 20), noise(2, 8 << 20));
            let (first, second) = match client_first {
                true => (&mut client, &mut server),
                false => (&mut server, &mut client),
            };
            let mut received = Vec::new();
            let transfer = async {
                let send = async {
                    first.write_all(&up).await.unwrap();
                    first.shutdown().await.unwrap();
                };
                tokio::join!(send, second.read_to_end(&mut received))
                    .1
                    .unwrap();
                assert!(received == up);
                // The other direction goes on after the first has ended.
                received.clear();
                let send = async {
                    second.write_all(&down).await.unwrap();
                    second.shutdown().await.unwrap();
                };
                tokio::join!(send, first.read_to_end(&mut received))
                    .1
                    .unwrap();
                assert!(received == down);
            };
            within("the transfer", transfer).await;
        }
        proxy.end().await;
    }
}

/// A unix socket is closed with everything in the queue of its peer, which reads it later.
#[tokio::test]
async fn a_slow_reader_on_a_unix_socket_gets_all_after_its_peer_has_closed() {
    let dir = directory();
    let (backend, listener) = backend(&path(&dir, "back"));
    let front = path(&dir, "front");
    let upstream = upstream([backend]);
    let described = Listener::unix(&*front, &upstream).half_close(HalfClose::End);
    let proxy = RunningProxy::start(described, None).await;
    let mut client = UnixStream::connect(&front).await.unwrap();
    let mut server = accepted(&listener).await;
    let sent = noise(3, 100 << 10);
    server.write_all(&sent).await.unwrap();
    drop(server);
    eventually("the end of the session", || proxy.metrics().active == 0).await;
    let mut received = vec![0; sent.len()];
    within("the bytes", client.read_exact(&mut received))
        .await
        .unwrap();
    assert!(received == sent);
    assert_eq!(within("the end", client.read(&mut [0])).await.unwrap(), 0);
    proxy.end().await;
}

/// A session between a TCP client that has sent "hello" and a backend on a unix socket in `dir`.
async fn greeted(dir: &TempDir) -> (RunningProxy, TcpStream, UnixStream) {
    let (backend, listener) = backend(&path(dir, "back"));
    let described = Listener::new(loopback(), &upstream([backend]));
    let proxy = RunningProxy::start(described, None).await;
    let mut client = proxy.connect().await;
    let server = accepted(&listener).await;
    client.write_all(b"hello").await.unwrap();
    (proxy, client, server)
}

/// A reset of the one side ends the other at once. A unix socket has no reset, so its peer reads an end.
#[tokio::test]
async fn a_reset_of_a_client_ends_the_backends_unix_socket() {
    let dir = directory();
    let (proxy, client, mut server) = greeted(&dir).await;
    let mut received = [0; 5];
    server.read_exact(&mut received).await.unwrap();
    reset(client);
    assert_eq!(within("the end", server.read(&mut [0])).await.unwrap(), 0);
    eventually("the count", || proxy.metrics().client_resets == 1).await;
    proxy.end().await;
}

/// A backend that closes with bytes unread resets the session, as with TCP.
#[tokio::test]
async fn a_unix_backend_that_closes_with_bytes_unread_resets_the_client() {
    let dir = directory();
    let (proxy, mut client, mut server) = greeted(&dir).await;
    let arrived = || rustix::io::ioctl_fionread(&server).unwrap() == 5;
    eventually("the bytes", arrived).await;
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let received = test_support::streams::read_until_reset(&mut client).await;
    assert_eq!(received, b"answer");
    proxy.end().await;
}

#[tokio::test]
async fn buffers_of_unix_sockets_have_the_sizes_that_are_set() {
    let dir = directory();
    let (backend, listener) = backend(&path(&dir, "back"));
    let front = path(&dir, "front");
    let options = SocketOptions::default().send_buffer(Some(8192));
    let described = Listener::unix(&*front, &upstream([backend])).backend_options(options);
    let proxy = RunningProxy::start(described, None).await;
    let client = UnixStream::connect(&front).await.unwrap();
    let server = accepted(&listener).await;
    // The proxy's send buffer is full long before the default of some 200 KB.
    let mut sent = 0;
    let sending = async {
        loop {
            client.writable().await.unwrap();
            sent += client.try_write(&[0; 4096]).unwrap_or(0);
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_millis(300), sending).await;
    assert!(sent > 0);
    let queued = rustix::io::ioctl_fionread(&server).unwrap();
    assert!(queued <= 16384, "{queued} of {sent} bytes");
    drop((client, server));
    proxy.end().await;
}

/// What the tests of other modules show for TCP, between a client on TCP and a backend on a unix socket.
#[tokio::test]
async fn a_transfer_from_tcp_to_a_unix_socket_is_whole() {
    let dir = directory();
    let back = path(&dir, "back");
    let listener = std::os::unix::net::UnixListener::bind(&back).unwrap();
    let echo = std::thread::spawn(move || {
        let (mut server, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        server.read_to_end(&mut bytes).unwrap();
        server.write_all(&bytes).unwrap();
    });
    let described = Listener::new(loopback(), &upstream([Backend::unix(&*back)]));
    let proxy = RunningProxy::start(described, None).await;
    let mut client: TcpStream = proxy.connect().await;
    let sent = noise(4, 4 << 20);
    client.write_all(&sent).await.unwrap();
    client.shutdown().await.unwrap();
    assert!(read_all(&mut client).await == sent);
    echo.join().unwrap();
    let _: SocketAddr = proxy.addr;
    drop(client);
    proxy.end().await;
}
