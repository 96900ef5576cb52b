//! What a session allocates. The crate `allocation-counter` is the allocator of this binary and counts by thread; the proxy has the
//! thread of the test alone.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use allocation_counter::{AllocationInfo, measure};
use lb_core::Backend;
use lb_proxy::{Listener, Proxy, Server};
use test_support::proxy::upstream;
use test_support::sockets::loopback;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// What a session of one request and one answer may allocate, the runtime's part included.
const ALLOCATIONS: u64 = 8;
const BYTES: u64 = 5_600;

const MESSAGE: [u8; 64] = [7; 64];

#[test]
fn a_session_allocates_little_and_leaves_nothing() {
    let (addr, count) = (echo(), 200);
    // The first sessions fill what is kept: buffers, tables, the runtime's queues.
    let [few, many] = [count, 2 * count].map(|sessions| serve(addr, sessions));
    let each = |of: fn(&AllocationInfo) -> u64| (of(&many) - of(&few)) as f64 / count as f64;
    let (allocations, bytes) = (each(|one| one.count_total), each(|one| one.bytes_total));
    eprintln!("a session: {allocations:.1} allocations, {bytes:.0} bytes");
    assert!(allocations <= ALLOCATIONS as f64, "{allocations}");
    assert!(bytes <= BYTES as f64, "{bytes}");
    let kept = |one: &AllocationInfo| one.bytes_current;
    let left = (kept(&many) - kept(&few)) as f64 / count as f64;
    assert!(left < 1.0, "{left} bytes of a session are left");
}

/// Counts what a proxy allocates on the thread of this test while clients have `sessions` sessions, one after the other.
fn serve(backend: SocketAddr, sessions: u64) -> AllocationInfo {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    measure(|| {
        runtime.block_on(async {
            let upstream = upstream([Backend::new(backend)]);
            let proxy = Proxy::builder().listener(Listener::new(loopback(), &upstream));
            let server: Server = proxy.build().unwrap().bind().await.unwrap();
            let addr = server.local_addrs()[0];
            let (over, is_over) = oneshot::channel();
            let clients = thread::spawn(move || {
                for _ in 0..sessions {
                    session(addr);
                }
                over.send(()).unwrap();
            });
            server.run(async { is_over.await.unwrap() }).await;
            clients.join().unwrap();
        });
        drop(runtime);
    })
}

fn session(addr: SocketAddr) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(&MESSAGE).unwrap();
    stream.read_exact(&mut [0; 64]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 64]).unwrap(), 0);
}

fn echo() -> SocketAddr {
    let listener = TcpListener::bind(loopback()).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut message = [0; 64];
            while stream.read_exact(&mut message).is_ok() {
                stream.write_all(&message).unwrap();
            }
        }
    });
    addr
}
