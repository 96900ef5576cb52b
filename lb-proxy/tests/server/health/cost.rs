//! What checks cost and how fast they find out, on request: they take seconds and a quiet machine.
//!
//! `cargo test --release -p lb-proxy --test server health::cost -- --ignored --nocapture`

#![allow(clippy::print_stdout, reason = "the figures are printed")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use lb_core::{Backend, Health, Snapshot};
use lb_discovery::Static;
use lb_proxy::health::{CheckSettings, CheckState, TcpCheck};
use lb_proxy::{Listener, Proxy, Upstream, Workers};
use test_support::deadline::{ms, secs};
use test_support::nodes::named;
use test_support::sockets::loopback;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::Checked;

/// The CPU time of the calling thread.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = text.split(' ').next().unwrap().parse().unwrap();
    Duration::from_nanos(nanoseconds)
}

/// Accepts on all loopback addresses, and closes. Returns the port.
fn accept_everywhere() -> u16 {
    let listener = std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    port
}

#[tokio::test]
#[ignore = "takes 12 seconds and measures"]
async fn ten_thousand_backends_every_two_seconds() {
    let port = accept_everywhere();
    let addr = |n: u32| Ipv4Addr::new(127, 1, (n / 250) as u8, (n % 250) as u8 + 1);
    let backends = (0..10_000).map(|n| Backend::new(SocketAddr::from((addr(n), port))));
    let upstream = Upstream::builder("many")
        .discovery(Static::new(Snapshot::from_backends(backends)))
        .health_check(TcpCheck::new(), CheckSettings::default().interval(secs(2)))
        .build()
        .unwrap();
    let proxy = Proxy::builder()
        .listener(Listener::new(loopback(), &upstream))
        .workers(Workers::Threads(std::num::NonZeroUsize::MIN));
    let server = proxy.build().unwrap().bind().await.unwrap();
    let handle = server.handle();
    let server = tokio::spawn(server.run(std::future::pending()));
    let probes = || {
        upstream
            .health_checks()
            .iter()
            .map(|s| s.probes)
            .sum::<u64>()
    };
    sleep(secs(2)).await;
    let (before, begin, cpu) = (probes(), Instant::now(), cpu_time());
    sleep(secs(10)).await;
    let (cpu, elapsed) = (cpu_time() - cpu, begin.elapsed());
    let made = probes() - before;
    let statuses = upstream.health_checks();
    assert!(statuses.iter().all(|status| status.state == CheckState::Up));
    assert!(made >= 45_000, "{made}");
    println!(
        "{made} probes in {elapsed:?}: {:.3} of a core, {:?} each",
        cpu.as_secs_f64() / elapsed.as_secs_f64(),
        cpu / made as u32,
    );
    handle.shutdown();
    server.await.unwrap();
}

#[tokio::test]
#[ignore = "measures"]
async fn the_time_until_no_session_tries_a_dead_backend() {
    for (interval, in_doubt, fall) in [(1000, 1000, 1), (1000, 100, 3), (200, 50, 2)] {
        let dies = TcpListener::bind(loopback()).await.unwrap();
        let addrs = [dies.local_addr().unwrap(), named("s").await];
        let settings = CheckSettings::default()
            .interval(ms(interval))
            .interval_in_doubt(Some(ms(in_doubt)))
            .fall(std::num::NonZeroU32::new(fall).unwrap());
        let scene = Checked::of(&addrs, TcpCheck::new(), settings).await;
        scene.becomes(0, Health::Healthy).await;
        sleep(ms(interval)).await;
        // As after kill -9: the kernel refuses connections at once.
        drop(dies);
        let (begin, mut last, mut failures) = (Instant::now(), Duration::ZERO, 0);
        while begin.elapsed() < ms(2 * interval) + ms(500) {
            scene.proxy.connect().await.read_u8().await.unwrap();
            let now = scene.proxy.metrics().connect_failures;
            if now > failures {
                (last, failures) = (begin.elapsed(), now);
            }
            sleep(ms(2)).await;
        }
        println!(
            "interval {interval} ms, {in_doubt} ms in doubt, fall {fall}: {failures} failed first attempts until {last:?}"
        );
        scene.proxy.end().await;
    }
}
