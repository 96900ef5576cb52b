//! Reload: listeners and upstreams that are kept, added, changed and removed; unrelated sessions go on.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use lb_core::{Backend, Snapshot};
use lb_proxy::errors::ReloadError;
use lb_proxy::reports::Changes;
use lb_proxy::{Limits, Listener, Proxy, Upstream, Workers};
use test_support::deadline::{eventually, within};
use test_support::nodes::{listening, named};
use test_support::proxy::{RunningProxy, in_flight, reload, round_robin};
use test_support::sockets::loopback;
use test_support::streams::{ask, assert_refused};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Waits until the backend `name` answers connections to `addr`.
pub(crate) async fn answered_by(addr: SocketAddr, name: &str) {
    within(name, async { while ask(addr).await.unwrap() != name {} }).await;
}

#[tokio::test]
async fn a_reload_adds_keeps_and_removes_listeners() {
    let (a, b) = (round_robin("a", named("a").await), named("b").await);
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &a)).await;
    let first = proxy.addr;
    let to = Proxy::builder()
        .listen(loopback(), &a)
        .listen(loopback(), &a);
    let reloaded = reload(&proxy, to).await.unwrap();
    let second = reloaded.listeners.added[0].key();
    assert_eq!(reloaded.listeners.kept, [first]);
    assert_eq!(proxy.handle.local_addrs(), [first, second]);
    assert_eq!(ask(second).await.unwrap(), "a");

    let b = round_robin("b", b);
    let reloaded = reload(&proxy, Proxy::builder().listen(second, &b))
        .await
        .unwrap();
    assert_eq!(
        (reloaded.listeners.kept, reloaded.listeners.removed),
        (vec![second.into()], vec![first.into()])
    );
    assert_eq!(ask(second).await.unwrap(), "b");
    within("the refusal", async {
        while TcpStream::connect(first).await.is_ok() {}
    })
    .await;
    proxy.end().await;
}

#[tokio::test]
async fn a_proxy_that_may_lack_listeners_gets_its_first_one_and_loses_its_last_one_by_a_reload() {
    let a = round_robin("a", named("a").await);
    for workers in [Workers::CurrentRuntime, Workers::Threads(2)] {
        let described = || Proxy::builder().may_be_empty(true).workers(workers);
        let server = described().build().unwrap().bind().await.unwrap();
        let handle = server.handle();
        let running = tokio::spawn(server.run(std::future::pending()));
        eventually("readiness", || handle.is_ready()).await;
        assert_eq!(handle.local_addrs(), []);
        let one = described().listen(loopback(), &a).build().unwrap();
        let reloaded = handle.reload(one).await.unwrap();
        let addr = reloaded.listeners.added[0].key();
        assert_eq!(ask(addr).await.unwrap(), "a");
        let none = described().build().unwrap();
        let reloaded = handle.reload(none).await.unwrap();
        assert_eq!(reloaded.listeners.removed, [addr]);
        within("the refusal", async {
            while TcpStream::connect(addr).await.is_ok() {}
        })
        .await;
        assert!(handle.is_ready());
        handle.shutdown();
        within("the end", running).await.unwrap();
    }
}

#[tokio::test]
async fn a_reload_reports_no_fixed_upstream() {
    let node = named("a").await;
    let described = || {
        let backends = Snapshot::from_backends([Backend::new(node)]);
        let fixed = Upstream::builder("fixed").fixed(&backends).unwrap();
        Proxy::builder().listen(loopback(), &fixed).upstream(&fixed)
    };
    let proxy = RunningProxy::run(described()).await;
    for _ in 0..2 {
        let reloaded = reload(&proxy, described()).await.unwrap();
        assert_eq!(reloaded.upstreams, Changes::default());
        assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    }
    proxy.end().await;
}

#[tokio::test]
async fn sessions_of_a_removed_listener_end_by_its_deadline_and_no_others() {
    let nodes = TcpListener::bind(loopback()).await.unwrap();
    let upstream = round_robin("a", nodes.local_addr().unwrap());
    let listener = |addr, deadline: Option<u64>| {
        let deadline = deadline.map(Duration::from_millis);
        Listener::new(addr, &upstream).removal_deadline(deadline)
    };
    let proxy = Proxy::builder()
        .listener(listener(loopback(), Some(50)))
        .listener(listener(loopback(), Some(50)))
        .listener(listener(loopback(), None));
    let proxy = RunningProxy::run(proxy).await;
    let addrs = proxy.handle.local_addrs();
    let mut sessions = Vec::new();
    for addr in &addrs {
        let client = TcpStream::connect(addr).await.unwrap();
        sessions.push((client, nodes.accept().await.unwrap().0));
    }
    // The second listener stays with another description, and its sessions go on.
    let to = Proxy::builder().listener(listener(addrs[1], None));
    reload(&proxy, to).await.unwrap();
    let [(removed, _), kept @ ..] = &mut sessions[..] else {
        panic!("three sessions");
    };
    let end = within("the end of the session", removed.read(&mut [0])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    for (client, node) in kept {
        node.write_all(b"x").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'x');
    }
    drop(sessions);
    proxy.end().await;
}

#[tokio::test]
async fn a_removed_listener_serves_every_connection_that_it_accepted() {
    for workers in [Workers::CurrentRuntime, Workers::Threads(2)] {
        let upstream = round_robin("pool", named("a").await);
        let with = |listens: &[SocketAddr]| {
            let proxy = Proxy::builder().workers(workers);
            let listens = listens.iter();
            listens.fold(proxy, |proxy, addr| proxy.listen(*addr, &upstream))
        };
        let proxy = RunningProxy::run(with(&[loopback(), loopback()])).await;
        let [stays, goes] = proxy.handle.local_addrs()[..] else {
            panic!("two listeners");
        };
        let mut knocking = JoinSet::new();
        for _ in 0..20 {
            knocking.spawn(async move {
                let mut served = 0;
                loop {
                    match ask(goes).await {
                        Ok(answer) => assert_eq!(answer, "a"),
                        Err(error) => break (served, error.kind()),
                    }
                    served += 1;
                }
            });
        }
        eventually("the load", || proxy.metrics().accepted > 200).await;
        reload(&proxy, with(&[stays])).await.unwrap();
        let mut all = 0;
        while let Some(ended) = within("the end", knocking.join_next()).await {
            let (served, error) = ended.unwrap();
            // The kernel resets a connection made between the last accept and the close of the socket.
            assert!(
                [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset].contains(&error),
                "{error}"
            );
            all += served;
        }
        assert_eq!(proxy.metrics().accepted, all);
        assert_eq!(ask(stays).await.unwrap(), "a");
        proxy.end().await;
    }
}

#[tokio::test]
async fn a_session_outlives_its_listener_and_its_upstream() {
    let old = round_robin("old", listening("o").await);
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &old)).await;
    let mut client = proxy.connect().await;
    assert_eq!(client.read_u8().await.unwrap(), b'o');
    let new = round_robin("new", named("new").await);
    reload(&proxy, Proxy::builder().listen(loopback(), &new))
        .await
        .unwrap();
    client.write_all(b"still there").await.unwrap();
    client.shutdown().await.unwrap();
    client.read_to_end(&mut Vec::new()).await.unwrap();
    eventually("its end", || in_flight(&old) == 0).await;
    assert_eq!(proxy.end().await.aborted, 0);
}

#[tokio::test]
async fn a_reload_to_an_address_in_use_changes_nothing() {
    let a = round_robin("a", named("a").await);
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &a)).await;
    let taken = TcpListener::bind(loopback()).await.unwrap();
    let taken = taken.local_addr().map(|addr| (addr, taken)).unwrap();
    let b = round_robin("a", named("b").await);
    let to = Proxy::builder()
        .listen(loopback(), &b)
        .listen(taken.0, &b)
        .bind_timeout(Duration::ZERO);
    let error = reload(&proxy, to).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {}", taken.0));
    assert_eq!(proxy.handle.local_addrs(), [proxy.addr]);
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    // The proxy that was refused is unchanged.
    reload(&proxy, Proxy::builder().listen(proxy.addr, &b))
        .await
        .unwrap();
    answered_by(proxy.addr, "b").await;
    let handle = proxy.handle.clone();
    proxy.end().await;
    let again = Proxy::builder().listen(loopback(), &a).build().unwrap();
    assert!(matches!(
        handle.reload(again).await,
        Err(ReloadError::Ended)
    ));
}

#[tokio::test]
async fn changed_limits_count_the_open_sessions() {
    let upstream = round_robin("pool", listening("a").await);
    let limited = |n| {
        let limits = Limits::default().sessions(n);
        let limits = limits.excess(lb_proxy::access::Excess::Refuse);
        Listener::new(loopback(), &upstream).limits(limits)
    };
    let proxy = RunningProxy::run(Proxy::builder().listener(limited(2))).await;
    let join = async || {
        let mut client = proxy.connect().await;
        client.read_u8().await.unwrap();
        client
    };
    let _two = (join().await, join().await);
    assert_refused(proxy.addr).await;
    reload(&proxy, Proxy::builder().listener(limited(3)))
        .await
        .unwrap();
    let _third = join().await;
    assert_refused(proxy.addr).await;
    reload(&proxy, Proxy::builder().listener(limited(1)))
        .await
        .unwrap();
    assert_refused(proxy.addr).await;
    assert_eq!(proxy.metrics().active, 3);
    proxy.handle.abort();
    proxy.end().await;
}

#[tokio::test]
async fn a_waiting_connection_is_served_when_a_reload_raises_the_limit() {
    let upstream = round_robin("pool", listening("a").await);
    let limited = |n| {
        let limits = Limits::default().sessions(n);
        Proxy::builder()
            .listen(loopback(), &upstream)
            .limits(limits)
    };
    let proxy = RunningProxy::run(limited(1)).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(proxy.connect().await);
    }
    assert_eq!(clients[0].read_u8().await.unwrap(), b'a');
    reload(&proxy, limited(10)).await.unwrap();
    for client in &mut clients[1..] {
        assert_eq!(within("room", client.read_u8()).await.unwrap(), b'a');
    }
    drop(clients);
    proxy.end().await;
}
