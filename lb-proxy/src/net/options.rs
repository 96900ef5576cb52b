//! Options of sockets.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// How the kernel probes silent connections to detect a peer that vanished.
///
/// A field that is `None` keeps the system's value: on Linux two hours, then 9 probes 75 seconds apart.
#[doc(alias = "so_keepalive")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Keepalive {
    /// The silence before the first probe, in whole seconds (`TCP_KEEPIDLE`).
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::OptionalDuration")
    )]
    pub idle: Option<Duration>,
    /// The time between probes, in whole seconds (`TCP_KEEPINTVL`).
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::OptionalDuration")
    )]
    pub interval: Option<Duration>,
    /// How many unanswered probes end the connection (`TCP_KEEPCNT`).
    #[cfg_attr(feature = "serde", serde(with = "lb_core::serde_form::Switch::<u32>"))]
    pub count: Option<u32>,
}

impl Keepalive {
    /// Sets [`idle`](field@Self::idle).
    #[must_use]
    pub fn idle(mut self, idle: Option<Duration>) -> Self {
        self.idle = idle;
        self
    }

    /// Sets [`interval`](field@Self::interval).
    #[must_use]
    pub fn interval(mut self, interval: Option<Duration>) -> Self {
        self.interval = interval;
        self
    }

    /// Sets [`count`](field@Self::count).
    #[must_use]
    pub fn count(mut self, count: Option<u32>) -> Self {
        self.count = count;
        self
    }
}

/// Socket options of the connections to clients, or to backends. On unix sockets only the sizes of buffers count.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SocketOptions {
    /// Whether the kernel sends small pieces at once (`TCP_NODELAY`). Default: yes. Without it the kernel may delay a
    /// piece until the peer has acknowledged the previous one. A session sets it on the connection to its backend before the
    /// second write: a first one is never delayed.
    pub nodelay: bool,
    /// How the kernel probes silent connections (`SO_KEEPALIVE`). Default: `None`, no probes.
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::Switch::<Keepalive>")
    )]
    pub keepalive: Option<Keepalive>,
    /// How long sent bytes may stay unacknowledged before the kernel closes the connection, in whole milliseconds
    /// (`TCP_USER_TIMEOUT`). Default: the system's, on Linux about 15 minutes.
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::OptionalDuration")
    )]
    pub user_timeout: Option<Duration>,
    /// The size of the kernel's receive buffer in bytes (`SO_RCVBUF`). Linux doubles it and bounds it by
    /// `net.core.rmem_max`, and does not adapt it any more. Default: the system's.
    #[doc(alias = "rcvbuf")]
    #[cfg_attr(feature = "serde", serde(with = "crate::byte_form::OptionalByteSize"))]
    pub receive_buffer: Option<usize>,
    /// The size of the kernel's send buffer in bytes (`SO_SNDBUF`), as that of the receive buffer. Default: the system's.
    #[doc(alias = "sndbuf")]
    #[cfg_attr(feature = "serde", serde(with = "crate::byte_form::OptionalByteSize"))]
    pub send_buffer: Option<usize>,
    /// Whether the connection ends as soon as the peer has answered.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) handshake_only: bool,
}

impl SocketOptions {
    /// Those of a connection that ends as soon as the peer has answered, by a reset, so that neither end keeps a port of it.
    ///
    /// On Linux the reset takes the place of the ACK that would complete the handshake: the kernel of the peer makes no
    /// connection of it that its application would accept.
    pub(crate) fn handshake_only() -> Self {
        Self {
            nodelay: false,
            handshake_only: true,
            ..Self::default()
        }
    }

    /// Lets the kernel delay the ACK of the next handshake, on Linux.
    pub(super) fn delay_ack(socket: &SockRef<'_>) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        socket.set_tcp_quickack(false)?;
        let _ = socket;
        Ok(())
    }

    /// Sets [`nodelay`](field@Self::nodelay).
    #[must_use]
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// Sets [`keepalive`](field@Self::keepalive).
    #[must_use]
    pub fn keepalive(mut self, keepalive: Option<Keepalive>) -> Self {
        self.keepalive = keepalive;
        self
    }

    /// Sets [`user_timeout`](field@Self::user_timeout).
    #[must_use]
    pub fn user_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.user_timeout = timeout;
        self
    }

    /// Sets [`receive_buffer`](field@Self::receive_buffer).
    #[must_use]
    pub fn receive_buffer(mut self, bytes: Option<usize>) -> Self {
        self.receive_buffer = bytes;
        self
    }

    /// Sets [`send_buffer`](field@Self::send_buffer).
    #[must_use]
    pub fn send_buffer(mut self, bytes: Option<usize>) -> Self {
        self.send_buffer = bytes;
        self
    }

    /// Sets the options that a unix socket has.
    pub(crate) fn apply_to_unix(&self, socket: &SockRef<'_>) -> io::Result<()> {
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        Ok(())
    }

    /// Sets the options that differ from the system's defaults.
    ///
    /// On a listening socket they apply to the connections to be accepted: on Linux these inherit the options.
    pub(crate) fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        self.apply_to_unix(socket)?;
        if self.nodelay {
            socket.set_tcp_nodelay(true)?;
        }
        if self.handshake_only {
            socket.set_linger(Some(Duration::ZERO))?;
            Self::delay_ack(socket)?;
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
            receive_buffer: None,
            send_buffer: None,
            handshake_only: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

    use socket2::{Domain, Socket, Type};

    use super::*;
    use crate::net::bind_source::BindSource;

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
            .receive_buffer(Some(20_000))
            .send_buffer(Some(30_000))
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
        // Linux doubles the sizes.
        assert_eq!(socket.recv_buffer_size().unwrap(), 40_000);
        assert_eq!(socket.send_buffer_size().unwrap(), 60_000);
    }

    #[test]
    fn a_connection_for_the_handshake_alone_ends_with_a_reset_and_delays_its_ack() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let options = SocketOptions::handshake_only();
        options.apply(&SockRef::from(&socket)).unwrap();
        assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
        // The answer of the peer ends this mode.
        #[cfg(target_os = "linux")]
        assert!(!socket.tcp_quickack().unwrap());
    }

    #[test]
    fn accepted_connections_inherit_the_options_and_connections_to_backends_get_them() {
        let listener = TcpListener::bind(any_port()).unwrap();
        options().apply(&SockRef::from(&listener)).unwrap();
        let to = listener.local_addr().unwrap();
        let connecting = BindSource::any().connect(to, &options()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_applied(&SockRef::from(&accepted));
        assert_applied(&SockRef::from(&connecting));

        let plain = TcpListener::bind(any_port()).unwrap();
        let _client = TcpStream::connect(plain.local_addr().unwrap()).unwrap();
        let (accepted, _) = plain.accept().unwrap();
        let accepted = SockRef::from(&accepted);
        assert!(!accepted.tcp_nodelay().unwrap() && !accepted.keepalive().unwrap());
    }
}
