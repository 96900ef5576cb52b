//! The settings of a server that may also stand in the `stream` block, as defaults for all servers.

use std::{net::IpAddr, time::Duration};

use lb_proxy::proxy_protocol::Version;

use crate::config::Host;
use crate::syntax::address::Address;
use crate::syntax::directive::Args::{Between, Exactly};
use crate::syntax::directive::{Directive, Line, Scope};
use crate::syntax::error::{ConfigError, ErrorKind, WarningKind};
use crate::syntax::reader::Reader;
use crate::syntax::units;

#[derive(Debug, Default)]
pub(crate) struct ProxySettings {
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) next_upstream: Option<bool>,
    pub(crate) next_upstream_tries: Option<u32>,
    pub(crate) next_upstream_timeout: Option<Duration>,
    pub(crate) tcp_nodelay: Option<bool>,
    pub(crate) socket_keepalive: Option<bool>,
    /// `None` inside is `off`.
    pub(crate) bind: Option<Option<IpAddr>>,
    pub(crate) half_close: Option<bool>,
    /// `None` inside is `off`.
    pub(crate) proxy_protocol: Option<Option<Version>>,
    pub(crate) proxy_protocol_timeout: Option<Duration>,
    pub(crate) ssl_preread: Option<bool>,
    pub(crate) preread_buffer_size: Option<usize>,
    pub(crate) preread_timeout: Option<Duration>,
}

impl ProxySettings {
    /// Fills in what the block around sets.
    pub(crate) fn inherit(&self, outer: &Self) -> Self {
        Self {
            connect_timeout: self.connect_timeout.or(outer.connect_timeout),
            timeout: self.timeout.or(outer.timeout),
            next_upstream: self.next_upstream.or(outer.next_upstream),
            next_upstream_tries: self.next_upstream_tries.or(outer.next_upstream_tries),
            next_upstream_timeout: self.next_upstream_timeout.or(outer.next_upstream_timeout),
            tcp_nodelay: self.tcp_nodelay.or(outer.tcp_nodelay),
            socket_keepalive: self.socket_keepalive.or(outer.socket_keepalive),
            bind: self.bind.or(outer.bind),
            half_close: self.half_close.or(outer.half_close),
            proxy_protocol: self.proxy_protocol.or(outer.proxy_protocol),
            proxy_protocol_timeout: self.proxy_protocol_timeout.or(outer.proxy_protocol_timeout),
            ssl_preread: self.ssl_preread.or(outer.ssl_preread),
            preread_buffer_size: self.preread_buffer_size.or(outer.preread_buffer_size),
            preread_timeout: self.preread_timeout.or(outer.preread_timeout),
        }
    }
}

impl<S: Scope + AsMut<ProxySettings>> Directive<S> {
    pub(crate) const PROXY_SETTINGS: &'static [Self] = &[
        Self::simple("preread_buffer_size", Exactly(1), |scope, line, _| {
            line.once(&mut scope.as_mut().preread_buffer_size, size)
        }),
        Self::simple("preread_timeout", Exactly(1), |scope, line, reader| {
            time_out(&mut scope.as_mut().preread_timeout, line, reader)
        }),
        Self::simple("proxy_bind", Between(1, 2), |scope, line, _| {
            line.once(&mut scope.as_mut().bind, bind)
        }),
        Self::simple(
            "proxy_connect_timeout",
            Exactly(1),
            |scope, line, reader| time_out(&mut scope.as_mut().connect_timeout, line, reader),
        ),
        Self::simple("proxy_half_close", Exactly(1), |scope, line, _| {
            line.once(&mut scope.as_mut().half_close, Line::flag)
        }),
        Self::simple("proxy_next_upstream", Exactly(1), |scope, line, _| {
            line.once(&mut scope.as_mut().next_upstream, Line::flag)
        }),
        Self::simple(
            "proxy_next_upstream_timeout",
            Exactly(1),
            |scope, line, _| {
                line.once(
                    &mut scope.as_mut().next_upstream_timeout,
                    Line::milliseconds,
                )
            },
        ),
        Self::simple("proxy_next_upstream_tries", Exactly(1), |scope, line, _| {
            line.once(&mut scope.as_mut().next_upstream_tries, Line::number)
        }),
        Self::simple("proxy_protocol", Exactly(1), |scope, line, _| {
            line.once(&mut scope.as_mut().proxy_protocol, proxy_protocol)
        }),
        Self::simple(
            "proxy_protocol_timeout",
            Exactly(1),
            |scope, line, reader| {
                time_out(&mut scope.as_mut().proxy_protocol_timeout, line, reader)
            },
        ),
        Self::simple("proxy_socket_keepalive", Exactly(1), |scope, line, _| {
            line.once(&mut scope.as_mut().socket_keepalive, Line::flag)
        }),
        Self::simple("proxy_timeout", Exactly(1), |scope, line, reader| {
            time_out(&mut scope.as_mut().timeout, line, reader)
        }),
        Self::simple("ssl_preread", Exactly(1), |scope, line, _| {
            line.once(&mut scope.as_mut().ssl_preread, Line::flag)
        }),
        Self::simple("tcp_nodelay", Exactly(1), |scope, line, _| {
            line.once(&mut scope.as_mut().tcp_nodelay, Line::flag)
        }),
        Self::without_effect("proxy_buffer_size", Exactly(1)),
        Self::without_effect("proxy_downstream_buffer", Exactly(1)),
        Self::without_effect("proxy_upstream_buffer", Exactly(1)),
    ];
}

/// Reads a time-out that is over at once if it is 0, as in nginx. Hardly any configuration means that.
fn time_out(
    slot: &mut Option<Duration>,
    line: &Line,
    reader: &mut Reader<'_>,
) -> Result<(), ConfigError> {
    line.once(slot, Line::milliseconds)?;
    if *slot == Some(Duration::ZERO) {
        let name = line.name().to_owned();
        reader.warn(WarningKind::ZeroTimeout { name }, line.span.clone());
    }
    Ok(())
}

/// Reads `on`, `off` or the number of a version.
fn proxy_protocol(line: &Line) -> Result<Option<Version>, ConfigError> {
    match line.arg() {
        "v2" => Ok(Some(Version::V2)),
        _ => Ok(line.flag()?.then_some(Version::V1)),
    }
}

fn size(line: &Line) -> Result<usize, ConfigError> {
    let size = units::size(line.arg()).and_then(|size| usize::try_from(size).ok());
    size.ok_or_else(|| line.invalid_value())
}

/// Reads the source address of connections to backends. A port would allow for one connection at a time.
fn bind(line: &Line) -> Result<Option<IpAddr>, ConfigError> {
    if let Some(parameter) = line.parameters().next() {
        return Err(match parameter {
            "transparent" => line.not_supported_parameter(parameter),
            _ => line.invalid("parameter", parameter),
        });
    }
    // As in nginx, an IPv6 address needs no brackets here.
    if let Ok(ip) = line.arg().parse() {
        return Ok(Some(ip));
    }
    match line.arg() {
        "off" => Ok(None),
        text if text.contains('$') => Err(line.not_supported_parameter(text)),
        text => {
            match Address::parse(text).and_then(|address| Ok((address.port, address.host()?))) {
                Ok((None, Host::Ip(ip))) => Ok(Some(ip)),
                Ok((Some(_), _)) => Err(line.not_supported_parameter(text)),
                _ => Err(line.error(ErrorKind::InvalidBindAddress {
                    address: text.to_owned(),
                })),
            }
        }
    }
}
