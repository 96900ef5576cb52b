//! Ten thousand connections with random faults, from a seed: `LB_CHAOS_SEED=n` replays one.
//!
//! Afterwards no descriptor (pipes included), task, lease or entry of a live session is left, and every connection and byte
//! is accounted for.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use lb_core::{Backend, FailLimit, Rng, SplitMix64};
use lb_proxy::access::ClientZone;
use lb_proxy::events::{CloseReason, Connection, Summary};
use lb_proxy::reports::{BackendMetrics, DetailedMetrics, SessionFilter};
use lb_proxy::{Hooks, Listener, Metrics, Proxy, Timeouts};
use test_support::bytes::noise;
use test_support::deadline::{eventually, within};
use test_support::descriptors;
use test_support::proxy::{RunningProxy, in_flight, upstream};
use test_support::sockets::{BlackHole, loopback, refusing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

const CONNECTIONS: usize = 10_000;
const AT_ONCE: usize = 256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_connections_leave_nothing_behind() {
    let seed = std::env::var("LB_CHAOS_SEED").map_or(0x5EED, |seed| seed.parse().unwrap());
    eprintln!("LB_CHAOS_SEED={seed}");
    let mut rng = SplitMix64::new(seed);

    let (_held, dead) = refusing();
    let hole = BlackHole::open();
    let mut backends = vec![Backend::new(dead), Backend::new(hole.addr)];
    for _ in 0..3 {
        backends.push(Backend::new(moody(rng.next_u64()).await));
    }
    // They are tried again and again.
    let limit = FailLimit::new(NonZeroU32::new(3).unwrap(), Duration::from_millis(50));
    let backends = backends
        .into_iter()
        .map(|backend| backend.fail_limit(Some(limit)));
    let upstream = upstream(backends);
    let zone = ClientZone::builder().build();
    let totals = Arc::new(Totals::default());
    let silence = Some(Duration::from_millis(150));
    let timeouts = Timeouts::default().connect(Duration::from_millis(40));
    let listener = Listener::new(loopback(), &upstream)
        .timeouts(timeouts.idle(silence).half_closed(silence))
        .limit_clients(&zone, u32::MAX)
        .hooks(totals.clone());
    let before = Resources::now();
    let proxy = Proxy::builder().listener(listener).track_sessions(true);
    let proxy = proxy.drain_timeout(None).detailed_metrics(true);
    let proxy = RunningProxy::run(proxy).await;

    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut clients = Vec::with_capacity(CONNECTIONS);
    let addr = proxy.addr;
    for _ in 0..CONNECTIONS {
        let place = places.clone().acquire_owned().await.unwrap();
        let seed = rng.next_u64();
        clients.push(tokio::spawn(async move {
            let outcome = client(addr, seed).await;
            drop(place);
            outcome
        }));
    }
    let mut echoed = 0;
    for client in clients {
        echoed += u64::from(within("a client", client).await.unwrap());
    }
    // Many connections meet a fault, but not all.
    assert!(
        echoed > CONNECTIONS as u64 / 10,
        "{echoed} conversations came to their end"
    );

    eventually("the last session", || proxy.metrics().active == 0).await;
    let metrics = proxy.metrics();
    assert_eq!(metrics.accepted, CONNECTIONS as u64);
    assert_eq!(metrics.ended(), CONNECTIONS as u64, "{metrics:?}");
    for (faults, count) in [
        ("refusals", metrics.connect_failures),
        ("black holes", metrics.connect_timeouts),
        ("resets by clients", metrics.client_resets),
        ("resets by backends", metrics.backend_resets),
        (
            "silence",
            metrics.idle_timeouts + metrics.half_closed_timeouts,
        ),
        ("ends", metrics.finished),
    ] {
        assert!(count > 0, "no {faults}: {metrics:?}");
    }
    // The hooks' sums of connections, bytes and reasons match the counters.
    assert_eq!(totals.closed.load(Relaxed), CONNECTIONS as u64);
    assert_eq!(totals.finished.load(Relaxed), metrics.finished);
    assert_eq!(totals.to_backend.load(Relaxed), metrics.bytes_to_backends);
    assert_eq!(totals.to_client.load(Relaxed), metrics.bytes_to_clients);
    check_sums(&metrics, &proxy.handle.detailed_metrics().unwrap(), &totals);
    assert_eq!(in_flight(&upstream), 0);
    assert!(zone.is_empty());
    assert_eq!(proxy.handle.sessions(&SessionFilter::new()).matched, 0);
    proxy.end().await;
    within("the former numbers", before.restored()).await;
}

/// The counters by listener, upstream and backend add up to those of the server, and to what the hooks have observed.
fn check_sums(metrics: &Metrics, detailed: &DetailedMetrics, totals: &Totals) {
    let ([listener], [upstream]) = (&*detailed.listeners, &*detailed.upstreams) else {
        panic!("{detailed:?}");
    };
    assert_eq!((listener.accepted, listener.active), (metrics.accepted, 0));
    assert_eq!(
        (upstream.active, upstream.ended.total()),
        (0, upstream.sessions)
    );
    for &reason in CloseReason::ALL {
        let ended = totals.reasons[reason as usize].load(Relaxed);
        assert_eq!(listener.ended.get(reason), ended, "{reason:?}");
        assert_eq!(metrics.ended_for(reason), ended, "{reason:?}");
        // All got as far as the upstream, because nothing refuses them before.
        assert_eq!(upstream.ended.get(reason), ended, "{reason:?}");
    }
    let attempts = &upstream.attempts;
    assert_eq!(attempts.total(), metrics.connect_attempts);
    let failed = attempts.total() - attempts.abandoned - attempts.connected - attempts.timeout;
    assert_eq!(failed, metrics.connect_failures);
    assert_eq!(attempts.timeout, metrics.connect_timeouts);
    assert_eq!(upstream.connect_time.count(), attempts.connected);
    assert_eq!(upstream.session_length.count(), upstream.sessions);
    assert_eq!(upstream.ejections, metrics.ejections);
    let backends = upstream.backends.iter();
    assert_eq!(backends.clone().map(|one| one.active).sum::<u64>(), 0);
    let of_backends = |count: fn(&BackendMetrics) -> u64| backends.clone().map(count).sum::<u64>();
    assert_eq!(of_backends(|one| one.attempts.total()), attempts.total());
    assert_eq!(
        of_backends(|one| one.attempts.connected),
        attempts.connected
    );
    assert_eq!(of_backends(|one| one.ejections), metrics.ejections);
    assert_eq!(of_backends(|one| one.resets), metrics.backend_resets);
    for (to_backends, to_clients) in [
        (listener.traffic.to_backends, listener.traffic.to_clients),
        (upstream.traffic.to_backends, upstream.traffic.to_clients),
        (
            of_backends(|one| one.traffic.to_backends),
            of_backends(|one| one.traffic.to_clients),
        ),
    ] {
        assert_eq!(to_backends, totals.to_backend.load(Relaxed));
        assert_eq!(to_clients, totals.to_client.load(Relaxed));
    }
}

/// The resources that the process uses without the proxy.
#[derive(Debug)]
struct Resources {
    descriptors: usize,
    tasks: usize,
}

impl Resources {
    fn now() -> Self {
        Self {
            descriptors: descriptors::without_pipes(),
            tasks: tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks(),
        }
    }

    async fn restored(&self) {
        loop {
            let now = Self::now();
            if now.descriptors <= self.descriptors && now.tasks <= self.tasks {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Sums over the calls of hooks.
#[derive(Debug, Default)]
struct Totals {
    closed: AtomicU64,
    finished: AtomicU64,
    reasons: [AtomicU64; CloseReason::ALL.len()],
    to_backend: AtomicU64,
    to_client: AtomicU64,
}

impl Hooks for Totals {
    fn close(&self, _: &Connection, summary: &Summary<'_>) {
        self.closed.fetch_add(1, Relaxed);
        let finished = summary.reason == CloseReason::Finished;
        self.finished.fetch_add(finished.into(), Relaxed);
        self.reasons[summary.reason as usize].fetch_add(1, Relaxed);
        self.to_backend.fetch_add(summary.bytes_to_backend, Relaxed);
        self.to_client.fetch_add(summary.bytes_to_client, Relaxed);
    }
}

fn chance(rng: &mut SplitMix64, percent: u64) -> bool {
    rng.next_u64() % 100 < percent
}

/// Pauses, mostly for less than the idle time-out, sometimes for longer.
async fn dawdle(rng: &mut SplitMix64) {
    let millis = if chance(rng, 10) {
        250
    } else {
        rng.next_u64() % 10
    };
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// A backend that echoes, and sometimes resets, stalls, ends early or reads slowly.
async fn moody(seed: u64) -> std::net::SocketAddr {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut rng = SplitMix64::new(seed);
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream, SplitMix64::new(rng.next_u64())));
        }
    });
    addr
}

async fn echo(mut stream: TcpStream, mut rng: SplitMix64) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        if chance(&mut rng, 3) {
            test_support::streams::reset(stream);
            return Ok(());
        }
        if chance(&mut rng, 10) {
            dawdle(&mut rng).await;
        }
        if chance(&mut rng, 2) {
            return stream.shutdown().await;
        }
        match stream.read(&mut buffer).await? {
            0 => return stream.shutdown().await,
            n => stream.write_all(&buffer[..n]).await?,
        }
    }
}

/// Runs one session. Returns true if everything came back and both sides ended. Asserts that what came back was sent.
async fn client(addr: std::net::SocketAddr, seed: u64) -> bool {
    let mut rng = SplitMix64::new(seed);
    let Ok(mut stream) = TcpStream::connect(addr).await else {
        return false;
    };
    if chance(&mut rng, 5) {
        // Closes or resets at once.
        if chance(&mut rng, 50) {
            test_support::streams::reset(stream);
        }
        return false;
    }
    let len = match rng.next_u64() % 10 {
        0 => 200_000,
        1..=3 => 20_000,
        _ => 200,
    };
    let said = noise(seed, usize::try_from(rng.next_u64() % len).unwrap());
    let leaves = chance(&mut rng, 10);
    let slow = chance(&mut rng, 10);
    let (mut reader, mut writer) = stream.split();
    let speak = async {
        writer.write_all(&said).await?;
        if leaves {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        writer.shutdown().await
    };
    let mut heard = Vec::new();
    let listen = async {
        let mut buffer = [0; 8192];
        loop {
            if slow {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            match reader.read(&mut buffer).await? {
                0 => return Ok(()),
                n => heard.extend_from_slice(&buffer[..n]),
            }
        }
    };
    let outcome: std::io::Result<((), ())> = tokio::try_join!(speak, listen);
    assert!(said.starts_with(&heard), "other bytes than were sent");
    if leaves {
        test_support::streams::reset(stream);
    }
    outcome.is_ok() && heard == said
}
