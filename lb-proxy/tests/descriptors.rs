//! Running out of descriptors. A file of its own, because the limit is the whole process's.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Running, ask, named, until, within};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

fn limit_descriptors(current: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(current),
            maximum,
        },
    )
    .unwrap();
}

#[tokio::test]
async fn accepting_survives_the_exhaustion_of_descriptors() {
    let node = named("a").await;
    let proxy = Running::over([node]).await;
    let before = getrlimit(Resource::Nofile).current.unwrap();
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    limit_descriptors(open_descriptors() + 12);
    let mut clients = Vec::new();
    while let Ok(client) = std::net::TcpStream::connect(proxy.addr) {
        clients.push(client);
    }
    assert!(!clients.is_empty());
    until("the shortage", || proxy.metrics().accept_exhausted > 0).await;
    limit_descriptors(before);

    // The connections that waited in the kernel's queue are served. Those accepted while no descriptor was left for
    // the way to the backend were reset, without blame for the backend.
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

/// How many descriptors are in use, one of them by the look itself.
fn open_descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd").unwrap().count() as u64
}
