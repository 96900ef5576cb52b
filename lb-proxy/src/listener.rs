//! Where connections come in, and the loop that accepts them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::config::{Retry, Timeouts};
use crate::error::{BindError, BuildError};
use crate::hooks::Hooks;
use crate::metrics::Counters;
use crate::upstream::Upstream;

/// How long accepting pauses when the process is out of descriptors or memory: at first, and at the most. Long
/// enough not to spin, short enough that the kernel's queue of connections does not overflow.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// A shortage that lasts is logged this often.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// An address to listen on and what happens to its connections.
#[derive(Debug)]
#[must_use]
pub struct Listener {
    addr: SocketAddr,
    backlog: u32,
    bound: Option<std::net::TcpListener>,
    ipv6_only: bool,
    reuse_port: bool,
    route: Route,
}

/// What every session of a listener needs.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) upstream: Upstream,
    pub(crate) hooks: Option<Arc<dyn Hooks>>,
    pub(crate) nodelay: bool,
    pub(crate) timeouts: Timeouts,
    pub(crate) retry: Retry,
}

impl Listener {
    /// Listens on `addr`, port 0 meaning any free one, and sends connections to `upstream`.
    pub fn new(addr: SocketAddr, upstream: &Upstream) -> Self {
        Self {
            addr,
            backlog: 4096,
            bound: None,
            ipv6_only: false,
            reuse_port: false,
            route: Route {
                upstream: upstream.clone(),
                hooks: None,
                nodelay: true,
                timeouts: Timeouts::default(),
                retry: Retry::default(),
            },
        }
    }

    /// Takes a socket that listens already, for example one that was opened before privileges were given up. The
    /// settings of the socket itself are left as they are.
    ///
    /// # Errors
    ///
    /// If the socket cannot be asked for its address or made non-blocking.
    pub fn from_std(listener: std::net::TcpListener, upstream: &Upstream) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let mut taken = Self::new(listener.local_addr()?, upstream);
        taken.bound = Some(listener);
        Ok(taken)
    }

    /// Sets how many connections the kernel queues while they wait to be accepted. Default: 4096, which the kernel
    /// lowers to `net.core.somaxconn`.
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.backlog = backlog;
        self
    }

    /// Sets whether an IPv6 wildcard leaves IPv4 alone. Default: no, `[::]` takes both.
    pub fn ipv6_only(mut self, ipv6_only: bool) -> Self {
        self.ipv6_only = ipv6_only;
        self
    }

    /// Sets whether other sockets may listen on the same address (`SO_REUSEPORT`). Default: no.
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.reuse_port = reuse_port;
        self
    }

    /// Sets whether small pieces are sent at once (`TCP_NODELAY`) on both sides. Default: yes; without it the kernel
    /// may hold a piece back until the last is acknowledged.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.route.nodelay = nodelay;
        self
    }

    /// Sets the time-outs of this listener's sessions. Default: [`Timeouts::default`].
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.route.timeouts = timeouts;
        self
    }

    /// Sets when another backend is tried. Default: [`Retry::default`].
    pub fn retry(mut self, retry: Retry) -> Self {
        self.route.retry = retry;
        self
    }

    /// Sets what is asked on the way of this listener's connections. Default: nothing.
    pub fn hooks(mut self, hooks: Arc<dyn Hooks>) -> Self {
        self.route.hooks = Some(hooks);
        self
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let Timeouts {
            connect,
            idle,
            half_closed,
        } = self.route.timeouts;
        let timeouts = [
            ("connect", Some(connect)),
            ("half-closed", half_closed),
            ("idle", idle),
            ("retry deadline", self.route.retry.deadline),
        ];
        match timeouts.iter().find(|(_, t)| *t == Some(Duration::ZERO)) {
            Some(&(timeout, _)) => Err(BuildError::ZeroTimeout { timeout }),
            None => Ok(()),
        }
    }

    /// Opens the socket. Must run in a Tokio runtime.
    pub(crate) fn bind(self) -> Result<BoundListener, BindError> {
        let addr = self.addr;
        let open = || {
            let socket = match self.bound {
                Some(listener) => listener,
                None => self.listening_socket()?.into(),
            };
            let socket = TcpListener::from_std(socket)?;
            Ok(BoundListener {
                addr: socket.local_addr()?,
                route: Arc::new(self.route),
                socket,
                warned: None,
            })
        };
        open().map_err(|source| BindError { addr, source })
    }

    fn listening_socket(&self) -> io::Result<Socket> {
        let domain = Domain::for_address(self.addr);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        if self.addr.is_ipv6() {
            socket.set_only_v6(self.ipv6_only)?;
        }
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&self.addr.into())?;
        socket.listen(i32::try_from(self.backlog).unwrap_or(i32::MAX))?;
        Ok(socket)
    }
}

/// A listener whose socket is open.
#[derive(Debug)]
pub(crate) struct BoundListener {
    pub(crate) addr: SocketAddr,
    pub(crate) route: Arc<Route>,
    socket: TcpListener,
    warned: Option<Instant>,
}

impl BoundListener {
    /// The next connection. Failures are counted and waited out; accepting never ends by itself.
    ///
    /// Cancel-safe: a connection that was accepted is returned.
    pub(crate) async fn accept(&mut self, counters: &Counters) -> (TcpStream, SocketAddr) {
        let mut pause = PAUSE.0;
        loop {
            let error = match self.socket.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => error,
            };
            if is_of_one_connection(&error) {
                counters.accept_errors.increment();
                debug!(listener = %self.addr, %error, "Connection lost before it was accepted");
                continue;
            }
            counters.accept_exhausted.increment();
            self.warn(&error);
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    fn warn(&mut self, error: &io::Error) {
        let now = Instant::now();
        if self.warned.is_none_or(|warned| now - warned > WARN_EVERY) {
            self.warned = Some(now);
            warn!(listener = %self.addr, %error, "Accepting pauses until resources are free");
        }
    }
}

/// Whether the kernel reports the failure of a connection that had not been accepted yet: the next may be fine. The
/// list is that of accept(2).
fn is_of_one_connection(error: &io::Error) -> bool {
    const OF_ONE: [Errno; 11] = [
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::NONET,
        Errno::NOPROTOOPT,
        Errno::OPNOTSUPP,
        Errno::PERM,
        Errno::PROTO,
    ];
    Errno::from_io_error(error).is_some_and(|errno| OF_ONE.contains(&errno))
}
