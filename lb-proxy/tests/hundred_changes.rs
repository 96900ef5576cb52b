//! A hundred reloads during a transfer. A test binary of its own, because it counts the descriptors of the process.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use lb_core::Endpoint;
use lb_core::policy::PolicyKind;
use lb_proxy::{Listener, Proxy, Timeouts, Workers};
use test_support::deadline::{eventually, within};
use test_support::descriptors;
use test_support::nodes::listening;
use test_support::proxy::{RunningProxy, in_flight, pool, reload, round_robin};
use test_support::sockets::loopback;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The bytes that are transferred during the reloads: a gibibyte in optimised builds.
const TRANSFER: usize = if cfg!(debug_assertions) {
    128 << 20
} else {
    1 << 30
};

/// Reloads that add, change and remove listeners, upstreams, weights and policies.
async fn hundred_changes(workers: Workers) {
    let sink = TcpListener::bind(loopback()).await.unwrap();
    let bulk = round_robin("bulk", sink.local_addr().unwrap());
    let (one, two) = (listening("1").await, listening("2").await);
    let idle = |round: u16| {
        let policy = [
            PolicyKind::LeastConn,
            PolicyKind::WeightedRoundRobin,
            PolicyKind::Maglev,
        ][usize::from(round % 3)];
        let other = (!round.is_multiple_of(4)).then_some((two, 1 + round % 7));
        pool(
            "idle",
            policy,
            [(one, 1 + round % 5)].into_iter().chain(other),
        )
    };
    let first = idle(1);
    let begin = Proxy::builder()
        .workers(workers)
        .listen(loopback(), &bulk)
        .listen(loopback(), &first);
    let proxy = RunningProxy::run(begin).await;
    let (bulk_addr, idle_addr) = (proxy.addr, proxy.handle.local_addrs()[1]);

    let mut sleepers = Vec::new();
    for _ in 0..200 {
        let mut client = TcpStream::connect(idle_addr).await.unwrap();
        client.read_u8().await.unwrap();
        sleepers.push(client);
    }
    let open_before = descriptors::without_pipes();
    let sending = tokio::spawn(async move {
        let mut client = TcpStream::connect(bulk_addr).await.unwrap();
        let block = vec![7; 1 << 16];
        for _ in 0..TRANSFER / block.len() {
            client.write_all(&block).await.unwrap();
        }
        client.shutdown().await.unwrap();
        client.read_to_end(&mut Vec::new()).await.unwrap();
    });
    let (mut receiver, _) = sink.accept().await.unwrap();
    let half = Arc::new(tokio::sync::Notify::new());
    let go_on = Arc::clone(&half);
    let receiving = tokio::spawn(async move {
        let mut block = vec![0; 1 << 16];
        let (mut received, mut waited) = (0, false);
        loop {
            match receiver.read(&mut block).await.unwrap() {
                0 => return received,
                n => received += n,
            }
            // The rest is sent after the last reload, so the transfer spans all reloads.
            if received > TRANSFER / 2 && !waited {
                waited = true;
                go_on.notified().await;
            }
        }
    });
    let over = Arc::new(AtomicBool::new(false));
    let knocking = tokio::spawn({
        let over = Arc::clone(&over);
        async move {
            let mut knocks = 0;
            while !over.load(SeqCst) {
                // A refused or reset connection would be an error.
                let mut client = TcpStream::connect(idle_addr).await.unwrap();
                client.read_u8().await.unwrap();
                client.shutdown().await.unwrap();
                client.read_to_end(&mut Vec::new()).await.unwrap();
                knocks += 1;
            }
            knocks
        }
    });

    let mut extra = Vec::new();
    for round in 0..100 {
        let timeouts = Timeouts::default().idle(Some(Duration::from_secs(60 + round)));
        let round = round as u16;
        let idle = idle(round);
        let mut to = Proxy::builder()
            .workers(workers)
            .listen(bulk_addr, &bulk)
            .listener(Listener::new(idle_addr, &idle).timeouts(timeouts));
        let passing = round_robin(&format!("passing {}", round % 6), one);
        for _ in 0..round % 4 {
            to = to.listen(loopback(), &passing);
        }
        let reloaded = reload(&proxy, to).await.unwrap();
        assert!(
            reloaded
                .listeners
                .kept
                .starts_with(&[bulk_addr, idle_addr].map(Into::into))
        );
        let added = reloaded.listeners.added.iter();
        extra = added.map(Endpoint::key).collect();
        for addr in &extra {
            let mut client = TcpStream::connect(addr).await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'1');
        }
    }
    drop(extra);
    half.notify_one();
    assert_eq!(within("the transfer", receiving).await.unwrap(), TRANSFER);
    within("its end", sending).await.unwrap();
    over.store(true, SeqCst);
    assert!(within("the knocks", knocking).await.unwrap() > 0);

    // Back to the first configuration: nothing of the others is left.
    let begin = || {
        Proxy::builder()
            .workers(workers)
            .listen(bulk_addr, &bulk)
            .listen(idle_addr, &first)
    };
    reload(&proxy, begin()).await.unwrap();
    eventually("the knocks' ends", || proxy.metrics().active == 200).await;
    eventually("the counts", || in_flight(&first) == 200).await;
    assert_eq!(in_flight(&bulk), 0);
    eventually("the descriptors' return", || {
        descriptors::without_pipes() == open_before
    })
    .await;
    for client in &mut sleepers {
        client.write_all(b"awake").await.unwrap();
        client.shutdown().await.unwrap();
        client.read_to_end(&mut Vec::new()).await.unwrap();
    }
    drop(sleepers);
    eventually("the end of all", || proxy.metrics().active == 0).await;
    let report = proxy.end().await;
    assert_eq!((report.aborted, in_flight(&first)), (0, 0));
}

#[tokio::test]
async fn a_hundred_reloads_lose_nothing_and_leave_nothing_behind() {
    hundred_changes(Workers::CurrentRuntime).await;
    hundred_changes(Workers::Threads(2)).await;
}
