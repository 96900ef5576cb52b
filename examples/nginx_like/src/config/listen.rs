//! `listen`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use lb_core::Endpoint;
use lb_proxy::settings::Keepalive;

use super::look_up::look_up;
use crate::syntax::address::{AddressError, ListenAddress};
use crate::syntax::error::ConfigError;
use crate::syntax::span::Span;
use crate::syntax::statement::Statement;
use crate::syntax::units;

/// The default of nginx on Linux.
const BACKLOG: u32 = 511;

/// One address of a `listen` directive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Listen {
    /// The address to bind, or the [key](Endpoint::unix_key) of a path.
    pub(crate) addr: SocketAddr,
    /// The path of a unix domain socket.
    pub(crate) unix: Option<Arc<Path>>,
    /// `backlog`, 511 by default: the length of the queue of new connections.
    pub(crate) backlog: u32,
    /// `fastopen`: how many connections may wait that send data in their first packet. As the system does by default.
    pub(crate) fastopen: Option<u32>,
    /// `ipv6only`, on by default: whether an IPv6 socket refuses IPv4. It means nothing for an IPv4 address.
    pub(crate) ipv6only: bool,
    /// `multipath`: clients may use multipath TCP.
    pub(crate) multipath: bool,
    /// `rcvbuf`: the size of the receive buffers of connections. As the system does by default.
    pub(crate) rcvbuf: Option<usize>,
    /// `reuseport`: other processes may listen on the address too. Each worker has a socket in any case.
    pub(crate) reuseport: bool,
    /// `proxy_protocol`: every connection must begin with a PROXY protocol header.
    pub(crate) proxy_protocol: bool,
    /// `sndbuf`: the size of the send buffers of connections. As the system does by default.
    pub(crate) sndbuf: Option<usize>,
    /// `default_server`: serves the clients of the address that ask for no name of another server.
    pub(crate) default_server: bool,
    /// Whether it has parameters that belong to the socket, so that no other `listen` of the address may have any.
    pub(crate) sets_options: bool,
    /// Whether its server is the default server of the address, which has the settings of the socket. Computed from all
    /// servers.
    pub(crate) is_default: bool,
    /// Whether it has a socket of its own; if not, that of a wildcard accepts its connections. Computed from all servers.
    pub(crate) has_socket: bool,
    /// `so_keepalive`: whether silent clients are probed, and how. As the system does by default.
    pub(crate) so_keepalive: Option<Keepalive>,
    pub(crate) span: Span,
}

/// A variant without a comment is worded as in nginx.
#[derive(Debug, thiserror::Error)]
enum ListenError {
    #[error("{reason} in \"{url}\" of the \"listen\" directive")]
    Address { reason: AddressError, url: String },
    #[error("the invalid \"{parameter}\" parameter")]
    InvalidParameter { parameter: String },
    /// Ours: nginx says that Linux lacks them.
    #[error(
        "the \"{parameter}\" parameter is for FreeBSD: remove it, Linux has neither accept filters nor numbered routing tables"
    )]
    NotOfLinux { parameter: String },
    /// Ours.
    #[error(
        "the \"ssl\" parameter is not supported: nginx_like does not end TLS, so end it in front of nginx_like or on the servers; \
         \"ssl_preread\" chooses the upstream by name without ending TLS"
    )]
    Ssl,
    /// Ours.
    #[error(
        "the \"udp\" parameter is not supported: nginx_like balances TCP alone, so leave this \"server\" to nginx"
    )]
    Udp,
}

impl Listen {
    /// The addresses of a directive. A name is looked up, as in nginx while the configuration is read.
    pub(crate) fn read(statement: &Statement) -> Result<Vec<Self>, ConfigError> {
        let invalid = |reason| {
            let url = statement.arg().to_owned();
            statement.error(ListenError::Address { reason, url })
        };
        let address = ListenAddress::parse(statement.arg()).map_err(invalid)?;
        let mut settings = Self {
            addr: (Ipv4Addr::UNSPECIFIED, 0).into(),
            unix: None,
            backlog: BACKLOG,
            fastopen: None,
            ipv6only: true,
            multipath: false,
            rcvbuf: None,
            reuseport: false,
            proxy_protocol: false,
            default_server: false,
            sets_options: false,
            is_default: true,
            has_socket: true,
            sndbuf: None,
            so_keepalive: None,
            span: statement.span.clone(),
        };
        for parameter in statement.parameters() {
            settings.set(parameter, statement)?;
        }
        let (ips, ports) = match address {
            ListenAddress::Ip(ip, ports) => (vec![ip], ports),
            ListenAddress::Name(name, ports) => (look_up(&name).map_err(invalid)?, ports),
            ListenAddress::Unix(path) => {
                settings.addr = Endpoint::unix_key(&path);
                settings.unix = Some(path.into());
                return Ok(vec![settings]);
            }
        };
        let on = |ip: &IpAddr, port| Self {
            addr: (*ip, port).into(),
            ..settings.clone()
        };
        let with_ports = |ip| ports.clone().map(move |port| on(ip, port));
        Ok(ips.iter().flat_map(with_ports).collect())
    }

    /// What is listened on, for messages.
    pub(crate) fn endpoint(&self) -> Endpoint {
        match &self.unix {
            Some(path) => Endpoint::Unix(Arc::clone(path)),
            None => Endpoint::Tcp(self.addr),
        }
    }

    fn set(&mut self, parameter: &str, statement: &Statement) -> Result<(), ConfigError> {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (parameter, None),
        };
        self.sets_options |= !matches!(name, "default_server" | "proxy_protocol");
        match (name, value) {
            ("backlog", Some(value)) => {
                let backlog = backlog(value);
                self.backlog = backlog.ok_or_else(|| statement.invalid("backlog", parameter))?;
            }
            // Like all that belongs to a socket, it gives the address one of its own beside that of a wildcard.
            ("bind", None) => {}
            // nginx sets a time of 0 s, with which the kernel defers nothing.
            ("deferred", None) => {}
            ("fastopen", Some(value)) => {
                let queue = units::number(value).and_then(|queue| i32::try_from(queue).ok());
                let queue = queue.and_then(|queue| u32::try_from(queue).ok());
                let invalid = || statement.invalid("fastopen", parameter);
                self.fastopen = Some(queue.ok_or_else(invalid)?);
            }
            ("ipv6only", Some("on")) => self.ipv6only = true,
            ("ipv6only", Some("off")) => self.ipv6only = false,
            ("ipv6only", Some(value)) if value.starts_with('o') => {
                return Err(statement.invalid("ipv6only flags", value));
            }
            ("default_server", None) => self.default_server = true,
            ("multipath", None) => self.multipath = true,
            ("proxy_protocol", None) => self.proxy_protocol = true,
            ("rcvbuf", Some(value)) => {
                let size = buffer(value);
                self.rcvbuf = Some(size.ok_or_else(|| statement.invalid("rcvbuf", parameter))?);
            }
            ("reuseport", None) => self.reuseport = true,
            ("sndbuf", Some(value)) => {
                let size = buffer(value);
                self.sndbuf = Some(size.ok_or_else(|| statement.invalid("sndbuf", parameter))?);
            }
            ("so_keepalive", Some("on")) => self.so_keepalive = Some(Keepalive::default()),
            ("so_keepalive", Some("off")) => self.so_keepalive = None,
            ("so_keepalive", Some(value)) => {
                let keepalive = keepalive(value);
                let invalid = || statement.invalid("so_keepalive value:", value);
                self.so_keepalive = Some(keepalive.ok_or_else(invalid)?);
            }
            ("accept_filter" | "setfib", Some(_)) => {
                let parameter = name.to_owned();
                return Err(statement.error(ListenError::NotOfLinux { parameter }));
            }
            ("ssl", None) => return Err(statement.error(ListenError::Ssl)),
            ("udp", None) => return Err(statement.error(ListenError::Udp)),
            _ => {
                let parameter = parameter.to_owned();
                return Err(statement.error(ListenError::InvalidParameter { parameter }));
            }
        }
        Ok(())
    }
}

/// Parses the size of a buffer that `setsockopt(2)` takes.
fn buffer(text: &str) -> Option<usize> {
    let size = i32::try_from(units::size(text)?).ok()?;
    usize::try_from(size).ok()
}

/// Parses a length that `listen(2)` takes.
fn backlog(text: &str) -> Option<u32> {
    let backlog = i32::try_from(units::number(text)?).ok()?;
    u32::try_from(backlog).ok().filter(|backlog| *backlog > 0)
}

/// Parses `IDLE:INTERVAL:COUNT`, each of which may be missing, but not all.
fn keepalive(text: &str) -> Option<Keepalive> {
    let parts: Vec<&str> = text.split(':').collect();
    let &[idle, interval, count] = parts.as_slice() else {
        return None;
    };
    let given = |part: &str| !part.is_empty();
    let time = |part| units::seconds(part).filter(|time| !time.is_zero());
    if !parts.iter().any(|part| given(part)) {
        return None;
    }
    let mut keepalive = Keepalive::default();
    if given(idle) {
        keepalive = keepalive.idle(Some(time(idle)?));
    }
    if given(interval) {
        keepalive = keepalive.interval(Some(time(interval)?));
    }
    if given(count) {
        let count = units::number(count).and_then(|count| u32::try_from(count).ok());
        keepalive = keepalive.count(Some(count.filter(|&count| count > 0)?));
    }
    Some(keepalive)
}
