//! Connections that wait in the kernel's queue at once.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, OnceLock};

use lb_core::Backend;
use lb_proxy::events::{Admission, Connection};
use lb_proxy::{Handle, Hooks, Listener, Proxy};
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, upstream};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// How many connections had been accepted when each session began.
#[derive(Debug, Default)]
struct AcceptedBefore {
    handle: OnceLock<Handle>,
    counts: Mutex<Vec<u64>>,
}

impl Hooks for AcceptedBefore {
    fn accept(&self, _: &Connection) -> Admission {
        let accepted = self.handle.get().unwrap().metrics().accepted;
        self.counts.lock().unwrap().push(accepted);
        Admission::Admit
    }
}

/// The runtime of the test has one thread, so that the order is the same each time.
#[tokio::test]
async fn in_a_burst_sessions_begin_after_every_second_connection() {
    let upstream = upstream([Backend::new(named("a").await)]);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let mut clients = Vec::new();
    for _ in 0..7 {
        clients.push(TcpStream::connect(addr).await.unwrap());
    }
    let begun = Arc::new(AcceptedBefore::default());
    let listener = Listener::from_std(socket, &upstream).unwrap();
    let proxy = Proxy::builder().listener(listener.hooks(Arc::clone(&begun)));
    let proxy = RunningProxy::run(proxy).await;
    begun.handle.set(proxy.handle.clone()).unwrap();
    for client in &mut clients {
        assert_eq!(client.read_u8().await.unwrap(), b'a');
    }
    assert_eq!(*begun.counts.lock().unwrap(), [2, 2, 4, 4, 6, 6, 7]);
    drop(clients);
    proxy.end().await;
}
