//! Sockets that were open before the process was: systemd's socket activation.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use lb_proxy::{Listener, Upstream};
use listenfd::ListenFd;
use rustix::net::sockopt::ipv6_v6only;

use crate::config::listen::Listen;
use crate::console::say;
use crate::error::StartError;
use crate::syntax::span::Span;

/// Listening sockets that systemd passed on in `LISTEN_FDS`.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<Passed>);

/// A socket that was passed on.
#[derive(Debug)]
struct Passed {
    addr: SocketAddr,
    /// It takes IPv4 and IPv6, as that of systemd's `ListenStream=446` does.
    dual_stack: bool,
    /// The number of the server whose `listen` asks for it.
    server: Option<usize>,
    /// The `listen` that asks for IPv6 alone, although the socket takes both, and no `listen` of the server wants IPv4.
    ipv6_alone: Option<Span>,
    /// A reload does not have it: the proxy knows the socket by its address.
    socket: Option<TcpListener>,
}

/// What [`Inherited::listener`] finds for a `listen`.
#[derive(Debug)]
pub(crate) enum Found {
    /// No socket was passed on for it.
    Nothing,
    /// The listener of the socket that was passed on for it.
    Listener(Box<Listener>),
    /// Another `listen` of the same server has the socket, which takes the connections of both.
    Covered,
}

impl Inherited {
    /// Takes what the environment tells of. What is no listening TCP socket is left alone, with a warning.
    pub(crate) fn take() -> Self {
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for i in 0..passed.len() {
            let taken = passed.take_tcp_listener(i).and_then(|socket| {
                let socket = socket.map(Passed::new);
                socket.transpose()
            });
            match taken {
                Ok(socket) => sockets.extend(socket),
                Err(error) => say(&format!("[warn] inherited socket {i} is ignored: {error}")),
            }
        }
        Self(sockets)
    }

    /// Adds the sockets that `listen` directives asked for when the configuration was read before.
    pub(crate) fn remember(&mut self, known: &[KnownSocket]) {
        self.0.extend(known.iter().map(|known| Passed {
            addr: known.addr,
            dual_stack: known.dual_stack,
            server: None,
            ipv6_alone: None,
            socket: None,
        }));
    }

    /// The sockets that `listen` directives have asked for.
    pub(crate) fn known(&self) -> Vec<KnownSocket> {
        let asked_for = self.0.iter().filter(|passed| passed.server.is_some());
        asked_for
            .map(|passed| KnownSocket {
                addr: passed.addr,
                dual_stack: passed.dual_stack,
            })
            .collect()
    }

    /// Finds the socket for `listen`, which stands in the server with this number. A socket with the very address comes
    /// first, then for all of IPv4 one that takes both families.
    pub(crate) fn listener(
        &mut self,
        listen: &Listen,
        server: usize,
        upstream: &Upstream,
    ) -> Result<Found, StartError> {
        let mut found = self.0.iter().position(|passed| passed.addr == listen.addr);
        if listen.addr.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
            let takes_both =
                |passed: &Passed| passed.dual_stack && passed.addr.port() == listen.addr.port();
            found = found.or_else(|| self.0.iter().position(takes_both));
        }
        let Some(passed) = found.map(|i| &mut self.0[i]) else {
            return Ok(Found::Nothing);
        };
        if listen.addr.is_ipv4() {
            passed.ipv6_alone = None;
        } else if passed.dual_stack && listen.ipv6only && passed.socket.is_some() {
            passed.ipv6_alone = Some(listen.span.clone());
        }
        match passed.server.replace(server) {
            None => {}
            Some(other) if other == server => return Ok(Found::Covered),
            Some(_) => {
                return Err(StartError::InheritedTwice {
                    addr: passed.addr,
                    span: listen.span.clone(),
                });
            }
        }
        let listener = match passed.socket.take() {
            Some(socket) => Listener::from_std(socket, upstream).map_err(|source| {
                let call = format!("getsockname() of the inherited socket {}", passed.addr);
                StartError::System { call, source }
            })?,
            None => Listener::new(passed.addr, upstream),
        };
        Ok(Found::Listener(Box::new(listener)))
    }

    /// Names the sockets that no `listen` asked for, and those that take connections that none asked for.
    pub(crate) fn warn_of_rest(&self) {
        for Passed {
            addr, ipv6_alone, ..
        } in &self.0
        {
            if let Some(span) = ipv6_alone {
                say(&format!(
                    "[warn] the inherited socket {addr} takes IPv4 too: set BindIPv6Only=ipv6-only, or \"ipv6only=off\" \
                     in {span}"
                ));
            }
        }
        for Passed { addr, .. } in self.0.iter().filter(|passed| passed.socket.is_some()) {
            say(&format!(
                "[warn] no \"listen\" has the address {addr} of an inherited socket"
            ));
        }
    }
}

impl Passed {
    fn new(socket: TcpListener) -> io::Result<Self> {
        let addr = socket.local_addr()?;
        let wildcard = addr.is_ipv6() && addr.ip().is_unspecified();
        Ok(Self {
            addr,
            dual_stack: wildcard && !ipv6_v6only(&socket)?,
            server: None,
            ipv6_alone: None,
            socket: Some(socket),
        })
    }
}

/// What a reload knows of a socket that was passed on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownSocket {
    addr: SocketAddr,
    dual_stack: bool,
}
