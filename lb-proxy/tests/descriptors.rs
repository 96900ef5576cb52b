//! A proxy without free descriptors. A test binary of its own: the limit belongs to the process.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use test_support::deadline::{eventually, within};
use test_support::descriptors;
use test_support::nodes::named;
use test_support::proxy::RunningProxy;
use test_support::streams::ask;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn accepting_survives_the_exhaustion_of_descriptors() {
    let node = named("a").await;
    let proxy = RunningProxy::over([node]).await;
    let before = descriptors::limit();
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    descriptors::set_limit(descriptors::open() + 13);
    let mut clients = Vec::new();
    while let Ok(client) = std::net::TcpStream::connect(proxy.addr) {
        clients.push(client);
    }
    assert!(!clients.is_empty());
    eventually("the shortage", || proxy.metrics().accept_exhausted > 0).await;
    descriptors::set_limit(before);

    // The connections that waited in the kernel's queue are served. Connections that were accepted while no descriptor was
    // left for the backend's socket were reset, and that did not count against the backend.
    let mut answered = 0;
    for client in clients {
        client.set_nonblocking(true).unwrap();
        let mut client = TcpStream::from_std(client).unwrap();
        let mut answer = String::new();
        match within("an answer", client.read_to_string(&mut answer)).await {
            Ok(_) => {
                assert_eq!(answer, "a");
                answered += 1;
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
    assert!(answered > 0);
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    assert_eq!(proxy.metrics().ejections, 0);
    proxy.end().await;
}
