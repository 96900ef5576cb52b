//! Binds the sockets of a listener.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use lb_core::Endpoint;
use socket2::{Domain, Protocol, Socket, Type};

/// The address of a listening socket and its options.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BindConfig {
    pub(crate) addr: SocketAddr,
    pub(super) backlog: u32,
    pub(crate) ipv6_only: bool,
    pub(crate) reuse_port: bool,
    pub(crate) multipath: bool,
    pub(super) freebind: bool,
    pub(super) fast_open: Option<u32>,
}

/// The sockets that [`BindConfig::open`] has opened.
#[derive(Debug)]
pub(super) struct BoundSockets {
    pub(super) listening: Vec<TcpListener>,
    /// Present if several sockets share an address that other programs must not share: see
    /// [`address_guard`](super::address_guard).
    pub(super) guard: Option<Socket>,
}

impl BindConfig {
    /// Opens `count` sockets on one address. The kernel spreads connections between them.
    ///
    /// The first socket binds without `SO_REUSEPORT` unless the address may be shared with other programs: that fails if
    /// another program listens there. `beside` says that sockets of this proxy overlap with the address and have been
    /// [relaxed](super::sockets::ListenerSockets::relax).
    ///
    /// If `count` is above 1 or `beside` is set, the caller must call
    /// [`close_port`](super::address_guard::close_port) afterwards.
    pub(super) fn open(mut self, count: usize, beside: bool) -> io::Result<BoundSockets> {
        let shares = beside || self.reuse_port;
        let guarded = count > 1 && !self.reuse_port;
        let mut noted = beside.then(|| self.note_as_ipv4());
        let mut guard = None;
        if guarded {
            let socket = self.guard(shares)?;
            self.addr = addr_of(&socket)?;
            guard = Some(socket);
            noted.get_or_insert_with(|| self.note_as_ipv4());
        }
        let mut sockets = Vec::with_capacity(count);
        for _ in 0..count {
            let socket = self.bind(shares || guarded)?;
            self.listen(&socket)?;
            // For port 0 the kernel has chosen a port now.
            self.addr = addr_of(&socket)?;
            sockets.push(socket.into());
        }
        Ok(BoundSockets {
            listening: sockets,
            guard,
        })
    }

    /// A socket that holds the address and does not listen. A socket without `SO_REUSEPORT` cannot bind there.
    pub(super) fn guard(&self, beside: bool) -> io::Result<Socket> {
        let socket = self.bind(beside)?;
        // With it, another program's socket may bind beside one that does not listen.
        socket.set_reuse_address(false)?;
        socket.set_reuse_port(true)?;
        Ok(socket)
    }

    /// For a socket of both families, binds its IPv4 half for as long as the result lives. The kernel then remembers
    /// that half and not the whole wildcard. [`close_port`](super::address_guard::close_port) could not make the kernel
    /// forget the wildcard, because every address is part of it.
    fn note_as_ipv4(&self) -> Option<Socket> {
        let dual_stack = self.addr.ip().is_unspecified() && self.addr.is_ipv6() && !self.ipv6_only;
        let half = Self {
            addr: ([0, 0, 0, 0], self.addr.port()).into(),
            ..*self
        };
        // If it fails, the address is still served, only not kept from other programs of the same user.
        dual_stack.then(|| half.bind(true).ok()).flatten()
    }

    fn bind(&self, reuse_port: bool) -> io::Result<Socket> {
        let domain = Domain::for_address(self.addr);
        let protocol = self.protocol()?;
        let socket = Socket::new(domain, Type::STREAM, Some(protocol))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        if self.addr.is_ipv6() {
            socket.set_only_v6(self.ipv6_only)?;
        }
        if reuse_port {
            socket.set_reuse_port(true)?;
        }
        if self.freebind {
            set_freebind(&socket, self.addr)?;
        }
        socket.bind(&self.addr.into())?;
        Ok(socket)
    }

    #[cfg(target_os = "linux")]
    #[expect(
        clippy::unnecessary_wraps,
        reason = "other systems have no multipath TCP"
    )]
    const fn protocol(&self) -> io::Result<Protocol> {
        Ok(match self.multipath {
            true => Protocol::MPTCP,
            false => Protocol::TCP,
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn protocol(&self) -> io::Result<Protocol> {
        match self.multipath {
            true => Err(io::ErrorKind::Unsupported.into()),
            false => Ok(Protocol::TCP),
        }
    }

    /// Makes the socket listen, or changes the queues of one that listens.
    pub(super) fn listen(&self, socket: &Socket) -> io::Result<()> {
        let is_tcp = !Endpoint::is_unix_key(self.addr);
        if let Some(queue) = self.fast_open.filter(|_| is_tcp) {
            set_fast_open(socket, queue)?;
        }
        socket.listen(i32::try_from(self.backlog).unwrap_or(i32::MAX))
    }

    /// The TCP port that other programs of the same user could share. A unix socket has none, and its key has the port 0.
    pub(crate) fn port(&self) -> Option<u16> {
        (!Endpoint::is_unix_key(self.addr)).then_some(self.addr.port())
    }

    /// Whether some connection matches sockets of both, so that the kernel lets both be open only with `SO_REUSEPORT`.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let are_tcp = self.port().is_some() && other.port().is_some();
        are_tcp && (self.addr == other.addr || self.covers(other.addr) || other.covers(self.addr))
    }

    /// Whether it is a wildcard that includes `addr`.
    pub(super) fn covers(&self, addr: SocketAddr) -> bool {
        let is_of_family = match (self.addr.ip(), addr.ip()) {
            (IpAddr::V6(_), IpAddr::V4(_)) => !self.ipv6_only,
            (own, other) => own.is_ipv4() == other.is_ipv4(),
        };
        self.addr.ip().is_unspecified() && is_of_family && self.addr.port() == addr.port()
    }
}

/// Accepts data in the first packet of a client; at most `queue` such connections may wait for their handshake.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn set_fast_open(socket: &Socket, queue: u32) -> io::Result<()> {
    use nix::libc;
    use nix::{setsockopt_impl, sockopt_impl};
    sockopt_impl!(
        /// Fast open on a listening socket.
        FastOpen,
        SetOnly,
        libc::IPPROTO_TCP,
        libc::TCP_FASTOPEN,
        u32
    );
    Ok(nix::sys::socket::setsockopt(socket, FastOpen, &queue)?)
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn set_fast_open(_: &Socket, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Lets the socket bind an address that the machine does not have.
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
fn set_freebind(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    match addr.is_ipv6() {
        true => socket.set_freebind_v6(true),
        false => socket.set_freebind_v4(true),
    }
}

#[cfg(not(any(target_os = "android", target_os = "fuchsia", target_os = "linux")))]
fn set_freebind(_: &Socket, _: SocketAddr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn addr_of(socket: &Socket) -> io::Result<SocketAddr> {
    let addr = socket.local_addr()?.as_socket();
    addr.ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// Clones `sockets`, of which there is at least one, for `workers` workers: each worker has one, and each socket a worker. The
/// first clones are one of each socket.
pub(super) fn for_workers(sockets: &[OwnedFd], workers: usize) -> io::Result<Vec<OwnedFd>> {
    let count = workers.max(sockets.len());
    let all = sockets.iter().cycle().take(count);
    all.map(OwnedFd::try_clone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_overlap_with_what_they_cover() {
        let config = |text: &str, ipv6_only| BindConfig {
            addr: text.parse().unwrap(),
            backlog: 1,
            ipv6_only,
            reuse_port: false,
            multipath: false,
            freebind: false,
            fast_open: None,
        };
        let dual = config("[::]:1", false);
        let six = config("[::]:1", true);
        let four = config("0.0.0.0:1", false);
        let [a, b, c] = ["127.0.0.1:1", "127.0.0.2:1", "[::1]:1"].map(|t| config(t, true));
        for (one, other, expected) in [
            (&dual, &six, true),
            (&dual, &four, true),
            (&dual, &a, true),
            (&dual, &c, true),
            (&six, &four, false),
            (&six, &a, false),
            (&six, &c, true),
            (&four, &a, true),
            (&four, &c, false),
            (&a, &a, true),
            (&a, &b, false),
            (&a, &config("127.0.0.1:2", true), false),
        ] {
            assert_eq!(one.overlaps(other), expected, "{one:?} {other:?}");
            assert_eq!(other.overlaps(one), expected, "{other:?} {one:?}");
        }
        let unix = BindConfig {
            addr: Endpoint::unix_key("/run/lb.sock".as_ref()),
            ..a
        };
        for tcp in [config("[::]:0", false), unix] {
            assert!(!unix.overlaps(&tcp) && !tcp.overlaps(&unix), "{tcp:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn sockets_have_the_options_of_their_listener() {
        use nix::libc;
        use nix::{getsockopt_impl, sockopt_impl};
        sockopt_impl!(
            /// The queue of fast open.
            FastOpen,
            GetOnly,
            libc::IPPROTO_TCP,
            libc::TCP_FASTOPEN,
            u32
        );
        let mut config = BindConfig {
            addr: ([127, 0, 0, 1], 0).into(),
            backlog: 1,
            ipv6_only: false,
            reuse_port: false,
            multipath: false,
            freebind: false,
            fast_open: Some(7),
        };
        let open = |config: BindConfig| {
            config
                .open(1, false)
                .map(|mut opened| opened.listening.remove(0))
        };
        let socket = open(config).unwrap();
        assert_eq!(nix::sys::socket::getsockopt(&socket, FastOpen).unwrap(), 7);
        let protocol = socket2::SockRef::from(&socket).protocol().unwrap();
        assert_eq!(protocol, Some(Protocol::TCP));
        config.multipath = true;
        match open(config) {
            Ok(socket) => {
                let protocol = socket2::SockRef::from(&socket).protocol().unwrap();
                assert_eq!(protocol, Some(Protocol::MPTCP));
            }
            Err(error) => eprintln!("skipped: this kernel has no multipath TCP: {error}"),
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_with_freebind_an_address_of_another_machine_can_be_bound() {
        // Of the networks for documentation and for benchmarks.
        for addr in ["198.18.77.1:0", "[2001:db8:77::1]:0"] {
            let mut config = BindConfig {
                addr: addr.parse().unwrap(),
                backlog: 1,
                ipv6_only: true,
                reuse_port: false,
                multipath: false,
                freebind: false,
                fast_open: None,
            };
            match config.open(2, false) {
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
                other => {
                    eprintln!("skipped: this machine lets any address be bound: {other:?}");
                    continue;
                }
            }
            config.freebind = true;
            let opened = config.open(2, false).unwrap();
            for socket in &opened.listening {
                assert_eq!(socket.local_addr().unwrap().ip(), config.addr.ip());
            }
            assert!(opened.guard.is_some());
        }
    }
}
