//! Listening sockets that systemd passes on (socket activation), or the process of an old binary.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use lb_core::Endpoint;
use lb_proxy::settings::InheritableSockets;
use lb_proxy::{Listener, Upstream};
use listenfd::ListenFd;
use rustix::net::sockopt::ipv6_v6only;

use super::error::BuildError;
use crate::config::listen::Listen;
use crate::console::print_line;
use crate::syntax::span::Span;

/// Listening sockets that systemd passed on in `LISTEN_FDS`, or that the process of the old binary sent.
#[derive(Debug, Default)]
pub(crate) struct InheritedSockets(Vec<InheritedSocket>);

/// The inherited sockets of one address.
#[derive(Debug)]
struct InheritedSocket {
    /// The address, or the key of a path.
    addr: SocketAddr,
    /// The path of a unix domain socket.
    unix: Option<Arc<Path>>,
    /// It takes IPv4 and IPv6, as the socket of systemd's `ListenStream=446` does.
    dual_stack: bool,
    /// The number of the server with the `listen` that has claimed it.
    server: Option<usize>,
    /// The `listen` for IPv6 alone, if the socket takes both families and no `listen` of the server is for IPv4.
    ipv6_alone: Option<Span>,
    /// Whether systemd opened it, and not the process of the old binary.
    is_external: bool,
    /// `None` at a reload: the proxy finds its open socket by the address.
    sockets: Option<InheritableSockets>,
}

/// What [`InheritedSockets::listener`] finds for a `listen`.
#[derive(Debug)]
pub(crate) enum SocketMatch {
    /// No socket was inherited for it.
    None,
    /// The listener of its inherited socket.
    Listener(Box<Listener>),
    /// Another `listen` of the same server has claimed the socket, which takes the connections of both.
    Covered,
}

impl InheritedSockets {
    /// Takes the sockets that the environment names. Warns of sockets that are no listening TCP sockets or unix domain
    /// sockets, and ignores them.
    pub(crate) fn take() -> Self {
        let mut passed = ListenFd::from_env();
        let mut sockets: Vec<OwnedFd> = Vec::new();
        for i in 0..passed.len() {
            let unix = passed.take_unix_listener(i).ok().flatten();
            let taken = match unix {
                Some(socket) => Ok(Some(socket.into())),
                None => passed
                    .take_tcp_listener(i)
                    .map(|socket| socket.map(Into::into)),
            };
            match taken {
                Ok(socket) => sockets.extend(socket),
                Err(error) => {
                    print_line(&format!("[warn] inherited socket {i} is ignored: {error}"))
                }
            }
        }
        let (groups, rest) = InheritableSockets::from_descriptors(sockets);
        for _ in rest {
            print_line("[warn] an inherited socket without an address is ignored");
        }
        Self::from_groups(groups.into_iter().map(|group| group.external(true)))
    }

    /// Takes the sockets that the process of the old binary sent.
    pub(crate) fn from_groups(groups: impl IntoIterator<Item = InheritableSockets>) -> Self {
        Self(groups.into_iter().map(InheritedSocket::new).collect())
    }

    /// Removes and returns the sockets of `endpoint`.
    pub(crate) fn remove(&mut self, endpoint: &Endpoint) -> Option<InheritableSockets> {
        let found = self
            .0
            .iter()
            .position(|passed| passed.endpoint() == *endpoint)?;
        self.0.swap_remove(found).sockets
    }

    /// Adds the sockets that `listen` directives of the former configuration claimed.
    pub(crate) fn add_claimed(&mut self, claimed: &[ClaimedSocket]) {
        self.0.extend(claimed.iter().map(|claimed| InheritedSocket {
            addr: claimed.addr,
            unix: claimed.unix.clone(),
            dual_stack: claimed.dual_stack,
            server: None,
            ipv6_alone: None,
            is_external: true,
            sockets: None,
        }));
    }

    /// The sockets of systemd that `listen` directives have claimed. Those of an old binary's process are as if this one had
    /// opened them.
    pub(crate) fn claimed(&self) -> Vec<ClaimedSocket> {
        let claimed = self.0.iter();
        let claimed = claimed.filter(|passed| passed.server.is_some() && passed.is_external);
        claimed
            .map(|passed| ClaimedSocket {
                addr: passed.addr,
                unix: passed.unix.clone(),
                dual_stack: passed.dual_stack,
            })
            .collect()
    }

    /// Claims the socket for `listen` of the server with this number: the socket with its address, or for the wildcard of
    /// IPv4 a socket that takes both families.
    pub(crate) fn listener(
        &mut self,
        listen: &Listen,
        server: usize,
        upstream: &Upstream,
    ) -> Result<SocketMatch, BuildError> {
        let mut found = self.0.iter().position(|passed| passed.addr == listen.addr);
        if listen.addr.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
            let takes_both = |socket: &InheritedSocket| {
                socket.dual_stack && socket.addr.port() == listen.addr.port()
            };
            found = found.or_else(|| self.0.iter().position(takes_both));
        }
        let Some(passed) = found.map(|i| &mut self.0[i]) else {
            return Ok(SocketMatch::None);
        };
        if listen.addr.is_ipv4() {
            passed.ipv6_alone = None;
        } else if passed.dual_stack && listen.ipv6only && passed.sockets.is_some() {
            passed.ipv6_alone = Some(listen.span.clone());
        }
        match passed.server.replace(server) {
            None => {}
            Some(other) if other == server => return Ok(SocketMatch::Covered),
            Some(_) => {
                return Err(BuildError::InheritedTwice {
                    addr: passed.endpoint(),
                    span: listen.span.clone(),
                });
            }
        }
        let described = match &passed.unix {
            Some(path) => Listener::unix(Arc::clone(path), upstream),
            None => Listener::new(passed.addr, upstream),
        };
        let listener = match passed.sockets.take() {
            Some(sockets) => described.inherit(sockets),
            None => Ok(described),
        };
        let addr = passed.endpoint();
        let listener = listener.map_err(|source| BuildError::InheritedSocket { addr, source })?;
        Ok(SocketMatch::Listener(Box::new(listener)))
    }

    /// Warns of sockets that no `listen` has claimed, and of sockets that take connections of an unclaimed family.
    pub(crate) fn warn_of_unclaimed(&self) {
        for InheritedSocket {
            addr, ipv6_alone, ..
        } in &self.0
        {
            if let Some(span) = ipv6_alone {
                print_line(&format!(
                    "[warn] the inherited socket {addr} takes IPv4 too: set BindIPv6Only=ipv6-only, or \"ipv6only=off\" \
                     in {span}"
                ));
            }
        }
        for passed in self.0.iter().filter(|passed| passed.sockets.is_some()) {
            let addr = passed.endpoint();
            print_line(&format!(
                "[warn] no \"listen\" has the address {addr} of an inherited socket"
            ));
        }
    }
}

impl InheritedSocket {
    fn new(sockets: InheritableSockets) -> Self {
        let unix = match sockets.endpoint() {
            Endpoint::Unix(path) => Some(Arc::clone(path)),
            Endpoint::Tcp(_) => None,
        };
        let addr = sockets.addr();
        let wildcard = unix.is_none() && addr.is_ipv6() && addr.ip().is_unspecified();
        let first = sockets.descriptors().next();
        let ipv6_only = first.is_none_or(|socket| ipv6_v6only(socket).unwrap_or(true));
        Self {
            addr,
            unix,
            dual_stack: wildcard && !ipv6_only,
            server: None,
            ipv6_alone: None,
            is_external: sockets.is_external(),
            sockets: Some(sockets),
        }
    }

    fn endpoint(&self) -> Endpoint {
        match &self.unix {
            Some(path) => Endpoint::Unix(Arc::clone(path)),
            None => Endpoint::Tcp(self.addr),
        }
    }
}

/// An inherited socket in use, as a reload finds it.
#[derive(Clone, Debug)]
pub(crate) struct ClaimedSocket {
    addr: SocketAddr,
    unix: Option<Arc<Path>>,
    dual_stack: bool,
}

impl ClaimedSocket {
    /// Whether it takes the connections of a `listen` with the address `addr`.
    pub(crate) fn serves(&self, addr: SocketAddr) -> bool {
        let is_any_ipv4 = addr.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        self.addr == addr || (self.dual_stack && is_any_ipv4 && self.addr.port() == addr.port())
    }
}
