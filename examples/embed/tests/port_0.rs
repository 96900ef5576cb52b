//! How a program tests its own proxy: in the process, on a port from the kernel.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;

use lb_proxy::lb_core::Snapshot;
use lb_proxy::lb_discovery::Manual;
use lb_proxy::{Listener, Proxy, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A backend that says `name` to each client.
async fn backend(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let _ = client.write_all(name.as_bytes()).await;
        }
    });
    addr
}

async fn answer(of: SocketAddr) -> String {
    let mut answer = String::new();
    let mut stream = TcpStream::connect(of).await.unwrap();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn clients_get_the_backend_that_the_source_names() {
    let (blue, green) = (backend("blue").await, backend("green").await);
    let (source, handle) = Manual::new(Snapshot::from_addrs([blue]));
    let nodes = Upstream::builder("nodes")
        .discovery(source)
        .build()
        .unwrap();

    // A socket that the test has bound, or `Proxy::builder().listen(([127, 0, 0, 1], 0).into(), &nodes)` and
    // `server.local_addrs()`.
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    let listener = Listener::from_tokio(socket, &nodes).unwrap();
    let proxy = Proxy::builder().listener(listener).build().unwrap();
    let server = proxy.bind().await.unwrap();
    let control = server.handle();
    let running = tokio::spawn(server.run(std::future::pending()));

    assert_eq!(answer(addr).await, "blue");
    let mut pool = nodes.spawn().unwrap();
    handle.set(Snapshot::from_addrs([green]));
    pool.changed().await;
    assert_eq!(answer(addr).await, "green");

    control.shutdown();
    running.await.unwrap();
    assert_eq!(control.metrics().accepted, 2);
}
