//! Options of the kernel's sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::ephemeral;

/// How the kernel probes connections that carry nothing, so that it finds out about a peer that vanished. What is not
/// set is the system's: on Linux two hours, then 9 probes 75 seconds apart.
#[doc(alias = "so_keepalive")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Keepalive {
    /// Silence before the first probe, in whole seconds (`TCP_KEEPIDLE`).
    pub idle: Option<Duration>,
    /// Time between probes, in whole seconds (`TCP_KEEPINTVL`).
    pub interval: Option<Duration>,
    /// Probes without an answer that end the connection (`TCP_KEEPCNT`).
    pub count: Option<u32>,
}

impl Keepalive {
    /// Sets [`idle`](Self::idle).
    #[must_use]
    pub fn idle(mut self, idle: Option<Duration>) -> Self {
        self.idle = idle;
        self
    }

    /// Sets [`interval`](Self::interval).
    #[must_use]
    pub fn interval(mut self, interval: Option<Duration>) -> Self {
        self.interval = interval;
        self
    }

    /// Sets [`count`](Self::count).
    #[must_use]
    pub fn count(mut self, count: Option<u32>) -> Self {
        self.count = count;
        self
    }
}

/// Options of the connections of one side.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SocketOptions {
    /// Whether small pieces are sent at once (`TCP_NODELAY`). Default: yes; without it the kernel may hold a piece
    /// back until the last is acknowledged.
    pub nodelay: bool,
    /// Whether silent connections are probed, and how (`SO_KEEPALIVE`). Default: not.
    pub keepalive: Option<Keepalive>,
    /// How long what was sent may stay without acknowledgement before the connection counts as broken, in
    /// milliseconds (`TCP_USER_TIMEOUT`). Default: the system's, on Linux about 15 minutes.
    pub user_timeout: Option<Duration>,
}

impl SocketOptions {
    /// Sets [`nodelay`](Self::nodelay).
    #[must_use]
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// Sets [`keepalive`](Self::keepalive).
    #[must_use]
    pub fn keepalive(mut self, keepalive: Option<Keepalive>) -> Self {
        self.keepalive = keepalive;
        self
    }

    /// Sets [`user_timeout`](Self::user_timeout).
    #[must_use]
    pub fn user_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.user_timeout = timeout;
        self
    }

    /// Applies what differs from the system's defaults. On a listening socket, for the connections to be accepted:
    /// Linux hands these options down.
    pub(crate) fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        if self.nodelay {
            socket.set_tcp_nodelay(true)?;
        }
        if let Some(Keepalive {
            idle,
            interval,
            count,
        }) = self.keepalive
        {
            socket.set_keepalive(true)?;
            let mut params = TcpKeepalive::new();
            if let Some(idle) = idle {
                params = params.with_time(idle);
            }
            if let Some(interval) = interval {
                params = params.with_interval(interval);
            }
            if let Some(count) = count {
                params = params.with_retries(count);
            }
            if (idle, interval, count) != (None, None, None) {
                socket.set_tcp_keepalive(&params)?;
            }
        }
        if self.user_timeout.is_some() {
            socket.set_tcp_user_timeout(self.user_timeout)?;
        }
        Ok(())
    }
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            nodelay: true,
            keepalive: None,
            user_timeout: None,
        }
    }
}

/// Where connections to backends come from.
///
/// A pair of addresses has about 28000 source ports. Several addresses multiply them: they take turns, and one without
/// a free port is passed over. The port is chosen when connecting, not when binding (`IP_BIND_ADDRESS_NO_PORT`), so
/// that connections to different backends share ports.
#[doc(alias = "proxy_bind")]
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Source {
    addrs: Vec<IpAddr>,
    interface: Option<Arc<str>>,
    turn: Arc<AtomicUsize>,
}

impl Source {
    /// As the kernel chooses.
    pub fn any() -> Self {
        Self::default()
    }

    /// Adds an address of this machine. It serves backends of its own family. Where addresses are given, a backend of a
    /// family without one is not connected to, as with nginx and HAProxy: the attempt fails and does not count against
    /// the backend. An IPv4 address that is mapped into IPv6 counts as IPv4, here and in a backend.
    pub fn addr(mut self, addr: IpAddr) -> Self {
        self.addrs.push(addr.to_canonical());
        self
    }

    /// Sends connections through the network interface `name` (`SO_BINDTODEVICE`).
    pub fn interface(mut self, name: impl Into<Arc<str>>) -> Self {
        self.interface = Some(name.into());
        self
    }

    /// Whether a connection to `to` may get the address of `to` as its source, port included. Costs no system call.
    ///
    /// The kernel connects to an address of this machine from that very address, if it is not told another one. Only a
    /// loopback address is known to be of this machine; of the other addresses it is assumed.
    pub(crate) fn may_meet_itself(&self, to: SocketAddr) -> bool {
        ephemeral::contains(to.port())
            && (self.addrs.is_empty() || self.addrs.contains(&to.ip().to_canonical()))
    }

    /// A socket with a connection to `to` under way.
    pub(crate) fn connect(&self, to: SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        if self.addrs.is_empty() {
            return self.connect_from(None, to, options);
        }
        let usable = |addr: &&IpAddr| addr.is_ipv4() == to.is_ipv4();
        let count = self.addrs.iter().filter(usable).count();
        if count == 0 {
            return Err(no_address_of_family(to));
        }
        let first = self.turn.fetch_add(1, Relaxed);
        let mut last = Err(io::ErrorKind::AddrNotAvailable.into());
        for turn in 0..count {
            let nth = first.wrapping_add(turn) % count;
            let from = self.addrs.iter().filter(usable).nth(nth).copied();
            last = self.connect_from(from, to, options);
            match &last {
                Err(error) if is_without_port(error) => {}
                _ => break,
            }
        }
        last
    }

    fn connect_from(
        &self,
        from: Option<IpAddr>,
        to: SocketAddr,
        options: &SocketOptions,
    ) -> io::Result<Socket> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new_raw(Domain::for_address(to), kind, Some(Protocol::TCP))?;
        options.apply(&SockRef::from(&socket))?;
        if let Some(interface) = &self.interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        if let Some(from) = from {
            bind_without_port(&socket, from)?;
        }
        match socket.connect(&to.into()) {
            Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
            _ => Ok(socket),
        }
    }
}

fn bind_without_port(socket: &Socket, from: IpAddr) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
    // An old kernel that does not know the option chooses the port now, which limits how many there are.
    let _ = setsockopt(socket, IpBindAddressNoPort, &true);
    socket.bind(&SocketAddr::new(from, 0).into())
}

/// `EADDRNOTAVAIL` in meaning: the attempt says nothing about the backend.
fn no_address_of_family(to: SocketAddr) -> io::Error {
    let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
    let text = format!("no {family} address among the source addresses to bind to");
    io::Error::new(io::ErrorKind::AddrNotAvailable, text)
}

fn is_without_port(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE)
    )
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;

    fn any_port() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    fn options() -> SocketOptions {
        let keepalive = Keepalive::default()
            .idle(Some(Duration::from_secs(60)))
            .interval(Some(Duration::from_secs(7)))
            .count(Some(3));
        SocketOptions::default()
            .keepalive(Some(keepalive))
            .user_timeout(Some(Duration::from_millis(4500)))
    }

    fn assert_applied(socket: &SockRef<'_>) {
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(
            socket.tcp_keepalive_time().unwrap(),
            Duration::from_secs(60)
        );
        assert_eq!(
            socket.tcp_keepalive_interval().unwrap(),
            Duration::from_secs(7)
        );
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        let timeout = Some(Duration::from_millis(4500));
        assert_eq!(socket.tcp_user_timeout().unwrap(), timeout);
    }

    #[test]
    fn accepted_connections_inherit_and_connections_to_backends_are_set() {
        let listener = TcpListener::bind(any_port()).unwrap();
        options().apply(&SockRef::from(&listener)).unwrap();
        let to = listener.local_addr().unwrap();
        let connecting = Source::any().connect(to, &options()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_applied(&SockRef::from(&accepted));
        assert_applied(&SockRef::from(&connecting));

        let plain = TcpListener::bind(any_port()).unwrap();
        let _client = TcpStream::connect(plain.local_addr().unwrap()).unwrap();
        let (accepted, _) = plain.accept().unwrap();
        let accepted = SockRef::from(&accepted);
        assert!(!accepted.tcp_nodelay().unwrap() && !accepted.keepalive().unwrap());
    }

    #[test]
    fn source_addresses_take_turns_and_one_without_a_port_is_passed_over() {
        let listener = TcpListener::bind(any_port()).unwrap();
        let to = listener.local_addr().unwrap();
        let sources = |source: &Source| {
            let mut seen = Vec::new();
            for _ in 0..4 {
                let _socket = source.connect(to, &SocketOptions::default()).unwrap();
                seen.push(listener.accept().unwrap().1.ip().to_string());
            }
            seen.sort();
            seen.dedup();
            seen
        };
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let two = Source::any().addr(ip("127.0.0.2")).addr(ip("127.0.0.3"));
        assert_eq!(sources(&two), ["127.0.0.2", "127.0.0.3"]);
        // Of documentation, so that no machine has it: the kernel answers as if no port were free.
        let useless = Source::any().addr(ip("192.0.2.1"));
        assert!(useless.connect(to, &SocketOptions::default()).is_err());
        assert_eq!(sources(&useless.addr(ip("127.0.0.4"))), ["127.0.0.4"]);
        let mapped = Source::any().addr(ip("::ffff:127.0.0.5"));
        assert_eq!(sources(&mapped), ["127.0.0.5"]);
    }

    #[test]
    fn a_backend_of_a_family_without_a_source_address_is_not_connected_to() {
        let listener = TcpListener::bind(any_port()).unwrap();
        let to = listener.local_addr().unwrap();
        let other_family = Source::any().addr("::1".parse().unwrap());
        let error = other_family.connect(to, &SocketOptions::default());
        let error = error.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        assert!(error.to_string().contains("no IPv4 address"), "{error}");
        listener.set_nonblocking(true).unwrap();
        assert_eq!(
            listener.accept().unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), to.port());
        let source = Source::any().addr("127.0.0.6".parse().unwrap());
        let _socket = source.connect(mapped, &SocketOptions::default()).unwrap();
    }

    #[test]
    fn an_interface_that_is_not_there_is_an_error() {
        let source = Source::any().interface("no-such-device");
        let error = source.connect(any_port(), &SocketOptions::default());
        let error = error.unwrap_err();
        let errno = Errno::from_io_error(&error);
        assert!(matches!(errno, Some(Errno::NODEV | Errno::PERM)), "{error}");
    }
}
