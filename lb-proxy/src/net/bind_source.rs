//! Binds and connects the sockets of connections to backends.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::ephemeral_ports;
use super::options::SocketOptions;
use super::port_search;
use crate::connection::Connection;
use crate::embedder_code::named;
use crate::sameness::{are_same, is_one};

/// The source addresses and the network interface of connections to backends.
///
/// A pair of source and destination address has about 28000 source ports. Several source addresses multiply them: they
/// are used in turn, and an address without a free port is skipped. The kernel chooses the port when the socket
/// connects, not when it binds (`IP_BIND_ADDRESS_NO_PORT`), so connections to different backends share ports.
#[doc(alias = "proxy_bind")]
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct BindSource {
    /// With port 0 where the kernel chooses one.
    addrs: Vec<SocketAddr>,
    interface: Option<Arc<str>>,
    transparent: bool,
    function: Option<SourceFunction>,
    /// Counts connections to use the addresses in turn. Clones share it.
    turn: Arc<AtomicUsize>,
}

impl BindSource {
    /// The kernel chooses address and interface.
    pub fn any() -> Self {
        Self::default()
    }

    /// Whether both have equal settings, and one function if they have one. Their turns may differ.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let Self {
            addrs,
            interface,
            transparent,
            function,
            turn: _,
        } = self;
        *addrs == other.addrs
            && *interface == other.interface
            && *transparent == other.transparent
            && are_same(function, &other.function, |a, b| is_one(&a.0, &b.0))
    }

    /// Adds an address of this machine, which is used for backends of its own family.
    ///
    /// If there are addresses but none of a backend's family, the attempt to connect fails and does not count against the
    /// backend, as in nginx and HAProxy. An IPv4-mapped IPv6 address counts as IPv4, here and in a backend.
    pub fn addr(self, addr: IpAddr) -> Self {
        self.addr_and_port((addr, 0).into())
    }

    /// Adds an address as [`addr`](Self::addr) does, and a port. One connection at a time can have it for each backend.
    pub fn addr_and_port(mut self, addr: SocketAddr) -> Self {
        self.addrs.push(canonical(addr));
        self
    }

    /// Sets whether the addresses may be those of other machines (`IP_TRANSPARENT`), such as the client's. Default: no.
    ///
    /// The process needs root's rights, `CAP_NET_ADMIN` or `CAP_NET_RAW`. The packets that the backends send back must be
    /// routed to this machine, and delivered to its sockets by a rule.
    pub fn transparent(mut self, transparent: bool) -> Self {
        self.transparent = transparent;
        self
    }

    /// Computes the address for each session, in the place of those that were added: the port is 0 where the kernel may
    /// choose one. `None` lets the kernel choose the address. Runs once for each session, on its task, so it must not
    /// block.
    ///
    /// ```
    /// use lb_proxy::settings::BindSource;
    ///
    /// // Backends see the client's address.
    /// let source = BindSource::computed(|connection| Some((connection.client.ip(), 0).into()));
    /// # let _ =
    /// source.transparent(true);
    /// ```
    pub fn computed(
        source: impl Fn(&Connection) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        Self {
            function: Some(SourceFunction(Arc::new(source))),
            ..Self::any()
        }
    }

    /// Whether the kernel chooses address and interface.
    pub(crate) const fn is_any(&self) -> bool {
        self.addrs.is_empty() && self.interface.is_none() && self.function.is_none()
    }

    /// Whether it is [computed](Self::computed) for each session.
    pub(crate) const fn is_computed(&self) -> bool {
        self.function.is_some()
    }

    /// The source of one session, if it is computed.
    pub(crate) fn of(&self, connection: impl FnOnce() -> Connection) -> Option<Self> {
        let SourceFunction(function) = self.function.as_ref()?;
        let connection = connection();
        let addr = named("BindSource::computed", || function(&connection));
        Some(Self {
            addrs: addr.map(canonical).into_iter().collect(),
            function: None,
            ..self.clone()
        })
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
            && (self.addrs.is_empty()
                || self
                    .addrs
                    .iter()
                    .any(|addr| addr.ip() == to.ip().to_canonical()))
    }

    /// Starts a connection to `to` and returns its non-blocking socket.
    pub(crate) fn connect(&self, to: SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
        let to = canonical(to);
        if self.addrs.is_empty() {
            return self.connect_from(None, to, options);
        }
        let of_family = |addr: &&SocketAddr| addr.is_ipv4() == to.is_ipv4();
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
        from: Option<SocketAddr>,
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
            if self.transparent {
                set_transparent(&socket, from)?;
            }
            bind(&socket, from)?;
        }
        begin_to_connect(&socket, to).map(|()| socket)
    }
}

/// Starts another connection with a socket of [`SocketOptions::handshake_only`], whose last connection has been reset.
pub(super) fn connect_again(socket: &Socket, to: SocketAddr) -> io::Result<()> {
    SocketOptions::delay_ack(&SockRef::from(socket))?;
    begin_to_connect(socket, to)
}

fn begin_to_connect(socket: &Socket, to: SocketAddr) -> io::Result<()> {
    match port_search::watched(socket, || socket.connect(&to.into())) {
        Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
        _ => Ok(()),
    }
}

fn bind(socket: &Socket, from: SocketAddr) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
    if from.port() == 0 {
        // A kernel without the option chooses the port now, so connections to different backends cannot share it.
        let _ = setsockopt(socket, IpBindAddressNoPort, &true);
    } else {
        // The port may be that of connections to other backends, and of one that has ended.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&from.into())
}

#[cfg(target_os = "linux")]
fn set_transparent(socket: &Socket, from: SocketAddr) -> io::Result<()> {
    match from {
        SocketAddr::V4(_) => socket.set_ip_transparent_v4(true),
        SocketAddr::V6(_) => socket.set_ip_transparent_v6(true),
    }
}

#[cfg(not(target_os = "linux"))]
fn set_transparent(_: &Socket, _: SocketAddr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    (addr.ip().to_canonical(), addr.port()).into()
}

/// A function that computes the source address of a session.
#[derive(Clone)]
struct SourceFunction(Arc<Function>);

type Function = dyn Fn(&Connection) -> Option<SocketAddr> + Send + Sync;

impl fmt::Debug for SourceFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFunction").finish_non_exhaustive()
    }
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
mod tests;
