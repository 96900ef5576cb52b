//! How the kernel searches for a free source port.
//!
//! connect(2) first tries every ephemeral port of one parity. Once these are in use for a destination, by connections or by
//! what is left of them (TIME_WAIT), each further connect looks at some 14000 ports: 1 to 2 ms of processor time instead of
//! 10 µs. A socket with a port range of its own (`IP_LOCAL_PORT_RANGE`, Linux 6.3) is not subject to the rule from Linux 6.8 on,
//! even if the range is that of the system.
//!
//! The option costs a system call, so it is set only while the search takes long: for a minute after each connect(2) that was slow.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use socket2::Socket;

/// A connect(2) that takes longer is slow.
const SLOW: Duration = Duration::from_micros(500);

/// How long the option is used after a slow connect(2), in milliseconds.
const USED_FOR: u64 = 60_000;

/// When the option is no longer used, in milliseconds since the [start](start).
static USED_UNTIL: AtomicU64 = AtomicU64::new(0);

/// Whether the kernel does not know the option.
static IS_UNKNOWN: AtomicBool = AtomicBool::new(false);

/// Calls `connect`, which lets the kernel choose the port of `socket`.
pub(super) fn watched<T>(socket: &Socket, connect: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let now = millis(begin);
    if now < USED_UNTIL.load(Relaxed) {
        search_all(socket);
    }
    let connected = connect();
    if begin.elapsed() > SLOW {
        USED_UNTIL.store(now + USED_FOR, Relaxed);
    }
    connected
}

fn millis(at: Instant) -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(Instant::now);
    u64::try_from(at.saturating_duration_since(*start).as_millis()).unwrap_or(u64::MAX)
}

/// Lets the kernel choose among all ephemeral ports alike, if it knows how to.
fn search_all(socket: &Socket) {
    if !IS_UNKNOWN.load(Relaxed) && option::set(socket).is_err() {
        IS_UNKNOWN.store(true, Relaxed);
    }
}

#[cfg(target_os = "linux")]
mod option {
    use std::io;

    use nix::sys::socket::setsockopt;
    use nix::{libc, setsockopt_impl};
    use socket2::Socket;

    /// `IP_LOCAL_PORT_RANGE` of linux/in.h.
    pub(super) const IP_LOCAL_PORT_RANGE: libc::c_int = 51;

    /// The range of the system: a bound that is outside of it has no effect. The low bound is 1, the high one is absent.
    pub(super) const SYSTEMS: u32 = 1;

    #[derive(Clone, Copy, Debug)]
    pub(super) struct LocalPortRange;

    setsockopt_impl!(
        LocalPortRange,
        libc::IPPROTO_IP,
        IP_LOCAL_PORT_RANGE,
        u32,
        nix::sys::socket::sockopt::SetStruct<'_, u32>
    );

    /// Also for IPv6 sockets.
    pub(super) fn set(socket: &Socket) -> io::Result<()> {
        Ok(setsockopt(socket, LocalPortRange, &SYSTEMS)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod option {
    pub(super) fn set(_: &socket2::Socket) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpListener;

    use nix::sys::socket::{getsockopt, sockopt::GetStruct};
    use nix::{getsockopt_impl, libc};
    use socket2::{Domain, Type};

    use super::option::{IP_LOCAL_PORT_RANGE, LocalPortRange, SYSTEMS};
    use super::*;
    use crate::net::ephemeral_ports;

    getsockopt_impl!(
        LocalPortRange,
        libc::IPPROTO_IP,
        IP_LOCAL_PORT_RANGE,
        u32,
        GetStruct<u32>
    );

    #[test]
    fn after_a_slow_connect_the_next_sockets_search_all_ports() {
        let socket = |domain| Socket::new(domain, Type::STREAM, None).unwrap();
        let range = |socket: &Socket| getsockopt(socket, LocalPortRange);
        let [first, second] = [Domain::IPV4; 2].map(socket);
        watched(&first, || std::thread::sleep(SLOW * 2));
        for domain in [Domain::IPV4, Domain::IPV6] {
            let other = socket(domain);
            watched(&other, || ());
            match range(&other) {
                Ok(range) => assert_eq!(range, SYSTEMS),
                // An older kernel.
                Err(_) => assert!(IS_UNKNOWN.load(Relaxed)),
            }
        }
        // The ports are those of the system.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        watched(&second, || second.connect(&to.into())).unwrap();
        let from = second.local_addr().unwrap().as_socket().unwrap();
        assert!(ephemeral_ports::contains(from.port()), "{from}");
    }
}
