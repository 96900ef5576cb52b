//! `least_time`: sessions report their times, and a slow backend gets few of them.

use std::net::SocketAddr;
use std::time::Duration;

use lb_core::Backend;
use lb_core::policy::LeastTime;
use lb_discovery::Static;
use lb_proxy::{Listener, Upstream};
use test_support::deadline::eventually;
use test_support::proxy::RunningProxy;
use test_support::sockets::loopback;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;

/// A backend that sends its `name` after `first`, and closes after `last`.
async fn backend(name: u8, first: Duration, last: Duration) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                sleep(first).await;
                let _ = stream.write_all(&[name]).await;
                sleep(last).await;
            });
        }
    });
    addr
}

/// The names of the backends of six sessions, each after the one before.
async fn chosen(policy: LeastTime, first: u64, last: u64) -> String {
    let slow = backend(
        b's',
        Duration::from_millis(first),
        Duration::from_millis(last),
    );
    let slow = slow.await;
    let fast = backend(b'f', Duration::ZERO, Duration::ZERO).await;
    let upstream = Upstream::builder("test")
        .policy(policy)
        .discovery(Static::new(
            [slow, fast].map(Backend::new).into_iter().collect(),
        ))
        .build()
        .unwrap();
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    let mut names = String::new();
    for _ in 0..6 {
        let mut client = proxy.connect().await;
        client.read_to_string(&mut names).await.unwrap();
        drop(client);
        // The session ends after its client has read the end.
        let idle = || {
            let set = upstream.backends();
            set.status(upstream.now())
                .all(|status| status.in_flight == 0)
        };
        eventually("the end of the session", idle).await;
    }
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_answers_late_is_avoided_once_its_time_is_known() {
    let first_byte = LeastTime::first_byte();
    let [at_end, at_once] = [false, true].map(|in_flight| first_byte.in_flight(in_flight));
    let (at_end, at_once, last_byte) = tokio::join!(
        chosen(at_end, 400, 0),
        chosen(at_once, 400, 0),
        chosen(LeastTime::last_byte(), 0, 400),
    );
    assert_eq!([at_end, at_once, last_byte], ["sfffff"; 3]);
}
