//! The cost of checks and the time until they notice a failure, on request: they take seconds and a quiet machine.
//!
//! `cargo test --release -p lb-proxy --test server health::cost -- --ignored --nocapture`

#![allow(clippy::print_stdout, reason = "the figures are printed")]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use lb_core::{Backend, Health, Snapshot};
use lb_discovery::Static;
use lb_proxy::health::{CheckSettings, CheckState, TcpCheck};
use lb_proxy::{Listener, Proxy, Upstream, Workers};
use rustix::net::connect_unspec;
use socket2::{Domain, SockAddr, Socket, Type};
use test_support::deadline::{ms, secs};
use test_support::nodes::named;
use test_support::sockets::loopback;
use tokio::io::AsyncReadExt;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::Checked;
use super::peer::Peer;

/// The processor time of all threads of this process, those that have ended included.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The name of the process is in parentheses, and may have blanks. Behind it `utime` and `stime` are the fields 12 and 13.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    // A hundred a second, on all architectures.
    ms(ticks * 10)
}

fn print(what: &str, count: u64, cpu: Duration, elapsed: Duration) {
    let part = cpu.as_secs_f64() / elapsed.as_secs_f64();
    let each = cpu / u32::try_from(count).unwrap();
    println!("{what}: {count} in {elapsed:?}, {part:.3} of a processor, {each:?} each");
}

/// The system calls of `handshake` and no other work, at the rate of the probes: what the kernel takes of them, its work for the
/// accepting end included.
fn bare(what: &str, peer: &Peer, mut handshake: impl FnMut(&SockAddr)) {
    let (cpu, begin) = (processor_time(), Instant::now());
    let addrs: Vec<SockAddr> = peer.addrs().map(SockAddr::from).collect();
    let (mut count, mut addrs) = (0_u64, addrs.iter().cycle());
    while begin.elapsed() < secs(4) {
        while count < begin.elapsed().as_micros() as u64 / 200 {
            handshake(addrs.next().unwrap());
            count += 1;
        }
        std::thread::sleep(ms(5));
    }
    print(what, count, processor_time() - cpu, begin.elapsed());
}

fn socket() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    socket
}

fn bare_handshakes(peer: &Peer) {
    bare("bare handshakes, a socket each", peer, |addr| {
        let socket = socket();
        socket.set_tcp_quickack(false).unwrap();
        // In progress.
        let _ = socket.connect(addr);
    });
    let socket = socket();
    bare("bare handshakes of one socket", peer, |addr| {
        socket.set_tcp_quickack(false).unwrap();
        let _ = socket.connect(addr);
        socket.connect(addr).unwrap();
        connect_unspec(&socket).unwrap();
    });
}

#[tokio::test]
#[ignore = "takes 45 seconds and measures"]
async fn ten_thousand_backends_every_two_seconds() {
    let peer = Peer::start();
    let upstream = peer.many(secs(2));
    for _ in 0..3 {
        bare_handshakes(&peer);
        let proxy = Proxy::builder()
            .listener(Listener::new(loopback(), &upstream))
            .workers(Workers::Threads(1));
        let server = proxy.build().unwrap().bind().await.unwrap();
        let handle = server.handle();
        let server = tokio::spawn(server.run(std::future::pending()));
        let probes = || {
            let checks = upstream.health_checks();
            checks.iter().map(|status| status.probes).sum::<u64>()
        };
        sleep(secs(2)).await;
        let (before, begin, cpu) = (probes(), Instant::now(), processor_time());
        sleep(secs(6)).await;
        let (cpu, elapsed) = (processor_time() - cpu, begin.elapsed());
        let made = probes() - before;
        let statuses = upstream.health_checks();
        assert!(statuses.iter().all(|status| status.state == CheckState::Up));
        assert!(made >= 27_000, "{made}");
        print("probes", made, cpu, elapsed);
        handle.shutdown();
        server.await.unwrap();
    }
}

/// The times of round trips of a session, one every 2 ms: the median and the 99th percentile.
fn round_trips(proxy: SocketAddr) -> [Duration; 2] {
    let mut session = TcpStream::connect(proxy).unwrap();
    session.set_nodelay(true).unwrap();
    let mut times: Vec<Duration> = std::iter::repeat_with(|| {
        std::thread::sleep(ms(2));
        let begin = Instant::now();
        session.write_all(b"x").unwrap();
        session.read_exact(&mut [0]).unwrap();
        begin.elapsed()
    })
    .take(2_000)
    .collect();
    times.sort();
    [times[1_000], times[1_980]]
}

#[tokio::test]
#[ignore = "takes 30 seconds and measures"]
async fn sessions_beside_ten_thousand_backends() {
    let peer = Peer::start();
    for workers in [Workers::CurrentRuntime, Workers::Threads(1)] {
        for are_probed in [false, true] {
            let backend = Snapshot::from_backends([Backend::new(peer.echoing)]);
            let echoing = Upstream::builder("echo").discovery(Static::new(backend));
            let echoing = echoing.build().unwrap();
            let mut proxy = Proxy::builder()
                .listener(Listener::new(loopback(), &echoing))
                .workers(workers);
            if are_probed {
                proxy = proxy.upstream(&peer.many(secs(2)));
            }
            let server = proxy.build().unwrap().bind().await.unwrap();
            let (handle, addr) = (server.handle(), server.local_addrs()[0]);
            let server = tokio::spawn(server.run(std::future::pending()));
            sleep(secs(2)).await;
            let [median, p99] = spawn_blocking(move || round_trips(addr)).await.unwrap();
            println!("{workers:?}, probed: {are_probed}: median {median:?}, p99 {p99:?}");
            handle.shutdown();
            server.await.unwrap();
        }
    }
}

#[tokio::test]
#[ignore = "measures"]
async fn the_time_until_no_session_tries_a_dead_backend() {
    for (interval, in_doubt, fall) in [(1000, 1000, 1), (1000, 100, 3), (200, 50, 2)] {
        let dies = Peer::start();
        let addrs = [dies.greeting, named("s").await];
        let settings = CheckSettings::default()
            .interval(ms(interval))
            .interval_in_doubt(Some(ms(in_doubt)))
            .fall(fall);
        let scene = Checked::of(&addrs, TcpCheck::new(), settings).await;
        scene.becomes(0, Health::Healthy).await;
        sleep(ms(interval)).await;
        // By kill -9.
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
