//! The cost of a relay: `cargo bench proxy`.
//!
//! - `proxy/down/<way>` and `proxy/up/<way>`: bytes from the server to the client and back, over one connection;
//! - `proxy/round_trip/<way>`: 64 bytes there and back;
//! - `proxy/session/<part>`: the parts of a session of 64 bytes there and back that need no kernel, over streams in memory, so that
//!   other work on the machine changes little: a pick and its release, the relay between two streams, both.
//!
//! The ways are lb-proxy's relay with and without splice(2), tokio's `copy_bidirectional`, and a direct connection. The relay
//! has a thread and a runtime of its own; client and server are plain blocking sockets.

mod scripted;

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use lb_proxy::reports::RelayEnd;
use lb_proxy::settings::Splice;
use lb_proxy::{Pool, Relay};
use scripted::{MESSAGE, Scripted};
use tokio::runtime::Builder;

/// The bytes that one iteration moves.
const BLOCK: usize = 1 << 20;

#[derive(Clone, Copy)]
enum Way {
    CopyBidirectional,
    Direct,
    Relay(Splice),
}

const WAYS: [(&str, Way); 4] = [
    ("relay_spliced", Way::Relay(Splice::Auto)),
    ("relay_copied", Way::Relay(Splice::Off)),
    ("copy_bidirectional", Way::CopyBidirectional),
    ("direct", Way::Direct),
];

fn down(c: &mut Criterion) {
    bulk(c.benchmark_group("proxy/down"), |client, server| {
        (server, client)
    });
}

fn up(c: &mut Criterion) {
    bulk(c.benchmark_group("proxy/up"), |client, server| {
        (client, server)
    });
}

/// Measures one direction: `order` decides whether client or server sends.
fn bulk(
    mut group: BenchmarkGroup<'_, WallTime>,
    order: impl Fn(TcpStream, TcpStream) -> (TcpStream, TcpStream),
) {
    group.throughput(Throughput::Bytes(BLOCK as u64));
    for (name, way) in WAYS {
        group.bench_function(name, |b| {
            let (client, server) = connect(way).expect("sockets on loopback");
            let (sender, mut receiver) = order(client, server);
            let blocks = send_on_demand(sender);
            let mut buffer = vec![0; 1 << 18];
            b.iter_custom(|iterations| {
                let begin = Instant::now();
                blocks.send(iterations).expect("the sender lives");
                read(&mut receiver, iterations, &mut buffer).expect("the way is open");
                begin.elapsed()
            });
        });
    }
    group.finish();
}

fn round_trip(c: &mut Criterion) {
    let mut group = c.benchmark_group("proxy/round_trip");
    for (name, way) in WAYS {
        group.bench_function(name, |b| {
            let (mut client, mut server) = connect(way).expect("sockets on loopback");
            // Ends with the client's connection.
            thread::spawn(move || {
                let mut message = [0; MESSAGE];
                while server.read_exact(&mut message).is_ok() && server.write_all(&message).is_ok()
                {
                }
            });
            let mut message = [7; MESSAGE];
            b.iter(|| {
                client.write_all(&message).expect("the way is open");
                client.read_exact(&mut message).expect("the way is open");
                black_box(message);
            });
        });
    }
    group.finish();
}

fn session(c: &mut Criterion) {
    let mut group = c.benchmark_group("proxy/session");
    let backends = (1..=4).map(|number| format!("10.0.0.{number}:446"));
    let pool = Pool::fixed(backends).expect("addresses");
    let relay = async || {
        let (mut client, mut backend) = (Scripted::client(), Scripted::backend());
        let report = Relay::new().run_streams(&mut client, &mut backend).await;
        assert_eq!(report.end, RelayEnd::Finished);
        assert_eq!(report.bytes_to_client, MESSAGE as u64);
    };
    let lease = || pool.pick(b"client").expect("a backend");
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    // As many in one `block_on` as criterion asks for: what that costs is no part of a session.
    group.bench_function("lease", |b| b.iter(|| black_box(lease())));
    group.bench_function("relay", |b| {
        b.iter_custom(|iterations| {
            runtime.block_on(async {
                let begin = Instant::now();
                for _ in 0..iterations {
                    relay().await;
                }
                begin.elapsed()
            })
        });
    });
    group.bench_function("lease_and_relay", |b| {
        b.iter_custom(|iterations| {
            runtime.block_on(async {
                let begin = Instant::now();
                for _ in 0..iterations {
                    let lease = lease();
                    relay().await;
                    drop(lease);
                }
                begin.elapsed()
            })
        });
    });
    group.finish();
}

/// The sockets of a client and a server, connected in this way.
fn connect(way: Way) -> io::Result<(TcpStream, TcpStream)> {
    let (client, inner_client) = pair()?;
    if let Way::Direct = way {
        return Ok((client, inner_client));
    }
    let (inner_server, server) = pair()?;
    // Ends with the connection.
    thread::spawn(move || relay(way, inner_client, inner_server));
    Ok((client, server))
}

fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let connected = TcpStream::connect(listener.local_addr()?)?;
    let (accepted, _) = listener.accept()?;
    connected.set_nodelay(true)?;
    accepted.set_nodelay(true)?;
    Ok((connected, accepted))
}

fn relay(way: Way, client: TcpStream, backend: TcpStream) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let tokio = |stream: TcpStream| {
            stream.set_nonblocking(true)?;
            tokio::net::TcpStream::from_std(stream)
        };
        let (mut client, mut backend) = (tokio(client)?, tokio(backend)?);
        match way {
            Way::Relay(splice) => {
                Relay::new().splice(splice).run(client, backend).await;
            }
            Way::CopyBidirectional | Way::Direct => {
                tokio::io::copy_bidirectional(&mut client, &mut backend).await?;
            }
        }
        Ok(())
    })
}

/// Sends the requested number of blocks, for each request.
fn send_on_demand(mut sender: TcpStream) -> Sender<u64> {
    let (demand, demands) = channel();
    thread::spawn(move || {
        let block = vec![7; BLOCK];
        for blocks in demands {
            for _ in 0..blocks {
                if sender.write_all(&block).is_err() {
                    return;
                }
            }
        }
    });
    demand
}

fn read(receiver: &mut TcpStream, blocks: u64, buffer: &mut [u8]) -> io::Result<()> {
    let mut left = blocks as usize * BLOCK;
    while left > 0 {
        let wanted = left.min(buffer.len());
        match receiver.read(&mut buffer[..wanted])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => left -= n,
        }
    }
    Ok(())
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
}

criterion_group! { name = benches; config = settings(); targets = down, up, round_trip, session }
criterion_main!(benches);
