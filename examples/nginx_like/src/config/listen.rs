//! `listen`.

use std::net::SocketAddr;

use lb_proxy::settings::Keepalive;

use crate::syntax::address::{self, AddressError};
use crate::syntax::error::ConfigError;
use crate::syntax::span::Span;
use crate::syntax::statement::Statement;
use crate::syntax::units;

/// The default of nginx on Linux.
const BACKLOG: u32 = 511;

/// A `listen` directive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Listen {
    /// The address to bind.
    pub(crate) addr: SocketAddr,
    /// `backlog`, 511 by default: the length of the queue of new connections.
    pub(crate) backlog: u32,
    /// `ipv6only`, on by default: whether an IPv6 socket refuses IPv4. It means nothing for an IPv4 address.
    pub(crate) ipv6only: bool,
    /// `reuseport`: other processes may listen on the address too. Each worker has a socket in any case.
    pub(crate) reuseport: bool,
    /// `proxy_protocol`: every connection must begin with a PROXY protocol header.
    pub(crate) proxy_protocol: bool,
    /// `default_server`: serves the clients of the address that ask for no name of another server.
    pub(crate) default_server: bool,
    /// Whether it has parameters that belong to the socket, so that no other `listen` of the address may have any.
    pub(crate) sets_options: bool,
    /// Whether its server is the default server of the address, which has the settings of the socket. Computed from all
    /// servers.
    pub(crate) is_default: bool,
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
}

impl Listen {
    pub(crate) fn read(statement: &Statement) -> Result<Self, ConfigError> {
        let addr = address::parse_listen(statement.arg()).map_err(|reason| {
            let url = statement.arg().to_owned();
            statement.error(ListenError::Address { reason, url })
        })?;
        let mut listen = Self {
            addr,
            backlog: BACKLOG,
            ipv6only: true,
            reuseport: false,
            proxy_protocol: false,
            default_server: false,
            sets_options: false,
            is_default: true,
            so_keepalive: None,
            span: statement.span.clone(),
        };
        for parameter in statement.parameters() {
            listen.set(parameter, statement)?;
        }
        Ok(listen)
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
            // In nginx it gives the address a socket of its own. Here all addresses have one.
            ("bind", None) => {}
            ("ipv6only", Some("on")) => self.ipv6only = true,
            ("ipv6only", Some("off")) => self.ipv6only = false,
            ("ipv6only", Some(value)) if value.starts_with('o') => {
                return Err(statement.invalid("ipv6only flags", value));
            }
            ("default_server", None) => self.default_server = true,
            ("proxy_protocol", None) => self.proxy_protocol = true,
            ("reuseport", None) => self.reuseport = true,
            ("so_keepalive", Some("on")) => self.so_keepalive = Some(Keepalive::default()),
            ("so_keepalive", Some("off")) => self.so_keepalive = None,
            ("so_keepalive", Some(value)) => {
                let keepalive = keepalive(value);
                let invalid = || statement.invalid("so_keepalive value:", value);
                self.so_keepalive = Some(keepalive.ok_or_else(invalid)?);
            }
            _ if is_not_supported(name) => {
                return Err(statement.not_supported_parameter(parameter));
            }
            _ => {
                let parameter = parameter.to_owned();
                return Err(statement.error(ListenError::InvalidParameter { parameter }));
            }
        }
        Ok(())
    }
}

/// Whether nginx has a parameter of this name and nginx_like lacks it.
fn is_not_supported(name: &str) -> bool {
    matches!(
        name,
        "accept_filter"
            | "deferred"
            | "fastopen"
            | "multipath"
            | "rcvbuf"
            | "setfib"
            | "sndbuf"
            | "ssl"
            | "udp"
    )
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
