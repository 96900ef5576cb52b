//! Binds and connects the sockets of connections to backends.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::ephemeral_ports;
use super::options::SocketOptions;

/// The source addresses and the network interface of connections to backends.
///
/// A pair of source and destination address has about 28000 source ports. Several source addresses multiply them: they
/// are used in turn, and an address without a free port is skipped. The kernel chooses the port when the socket
/// connects, not when it binds (`IP_BIND_ADDRESS_NO_PORT`), so connections to different backends share ports.
#[doc(alias = "proxy_bind")]
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct BindSource {
    addrs: Vec<IpAddr>,
    interface: Option<Arc<str>>,
    /// Counts connections to use the addresses in turn. Clones share it.
    turn: Arc<AtomicUsize>,
}

impl BindSource {
    /// The kernel chooses address and interface.
    pub fn any() -> Self {
        Self::default()
    }

    /// Adds an address of this machine, which is used for backends of its own family.
    ///
    /// If there are addresses but none of a backend's family, the attempt to connect fails and does not count against the
    /// backend, as in nginx and HAProxy. An IPv4-mapped IPv6 address counts as IPv4, here and in a backend.
    pub fn addr(mut self, addr: IpAddr) -> Self {
        self.addrs.push(addr.to_canonical());
        self
    }

    /// Binds connections to the network interface `name` (`SO_BINDTODEVICE`).
    pub fn interface(mut self, name: impl Into<Arc<str>>) -> Self {
        self.interface = Some(name.into());
        self
    }

    /// Whether a connection to `to` may get `to` itself, port included, as its source. Costs no system call.
    ///
    /// Without a source address the kernel connects to an address of this machine from that same address. False
    /// positives are allowed: every address is assumed to be one of this machine.
    pub(crate) fn may_connect_to_itself(&self, to: SocketAddr) -> bool {
        ephemeral_ports::contains(to.port())
            && (self.addrs.is_empty() || self.addrs.contains(&to.ip().to_canonical()))
    }

    /// Starts a connection to `to` and returns its non-blocking socket.
    pub(crate) fn connect(&self, to: SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        if self.addrs.is_empty() {
            return self.connect_from(None, to, options);
        }
        let of_family = |addr: &&IpAddr| addr.is_ipv4() == to.is_ipv4();
        let count = self.addrs.iter().filter(of_family).count();
        if count == 0 {
            return Err(no_address_of_family(to));
        }
        let first = self.turn.fetch_add(1, Relaxed);
        let mut last = Err(io::ErrorKind::AddrNotAvailable.into());
        for turn in 0..count {
            let nth = first.wrapping_add(turn) % count;
            let from = self.addrs.iter().filter(of_family).nth(nth).copied();
            last = self.connect_from(from, to, options);
            match &last {
                Err(error) if has_no_free_port(error) => {}
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
    // A kernel without the option chooses the port now, so connections to different backends cannot share it.
    let _ = setsockopt(socket, IpBindAddressNoPort, &true);
    socket.bind(&SocketAddr::new(from, 0).into())
}

/// Equivalent to `EADDRNOTAVAIL`: the attempt does not count against the backend.
fn no_address_of_family(to: SocketAddr) -> io::Error {
    let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
    let text = format!("no {family} address among the source addresses to bind to");
    io::Error::new(io::ErrorKind::AddrNotAvailable, text)
}

fn has_no_free_port(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE)
    )
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    fn any_port() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    #[test]
    fn source_addresses_are_used_in_turn_and_one_without_a_free_port_is_skipped() {
        let listener = TcpListener::bind(any_port()).unwrap();
        let to = listener.local_addr().unwrap();
        let sources = |source: &BindSource| {
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
        let two = BindSource::any()
            .addr(ip("127.0.0.2"))
            .addr(ip("127.0.0.3"));
        assert_eq!(sources(&two), ["127.0.0.2", "127.0.0.3"]);
        // A documentation address, which no machine has: the kernel answers as if no port were free.
        let unassigned = BindSource::any().addr(ip("192.0.2.1"));
        assert!(unassigned.connect(to, &SocketOptions::default()).is_err());
        assert_eq!(sources(&unassigned.addr(ip("127.0.0.4"))), ["127.0.0.4"]);
        let mapped = BindSource::any().addr(ip("::ffff:127.0.0.5"));
        assert_eq!(sources(&mapped), ["127.0.0.5"]);
    }

    #[test]
    fn no_connection_is_made_to_a_backend_of_a_family_without_a_source_address() {
        let listener = TcpListener::bind(any_port()).unwrap();
        let to = listener.local_addr().unwrap();
        let other_family = BindSource::any().addr("::1".parse().unwrap());
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
        let source = BindSource::any().addr("127.0.0.6".parse().unwrap());
        let _socket = source.connect(mapped, &SocketOptions::default()).unwrap();
    }

    #[test]
    fn a_missing_interface_is_an_error() {
        let source = BindSource::any().interface("no-such-device");
        let error = source.connect(any_port(), &SocketOptions::default());
        let error = error.unwrap_err();
        let errno = Errno::from_io_error(&error);
        assert!(matches!(errno, Some(Errno::NODEV | Errno::PERM)), "{error}");
    }
}
