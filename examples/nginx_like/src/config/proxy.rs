//! The `proxy_*` directives, but for `proxy_pass`.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use lb_proxy::proxy_protocol::Version;

use super::settings::settings;
use super::time_out::time_out;
use super::transfer_rate::TransferRate;
use crate::syntax::address::{Address, Host};
use crate::syntax::directive::Args::{Between, Exactly};
use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;
use crate::variables::value::Value;

settings! {
    /// How connections to backends are made and relayed.
    ProxySettings, ProxyDraft, PROXY {
        /// `proxy_bind`: the source address of connections to backends. The system chooses by default.
        bind: Option<ProxyBind> = None,
        "proxy_bind" Between(1, 2) => bind;

        /// `proxy_connect_timeout`, 60 s by default. With 0 every attempt times out.
        connect_timeout: Duration = Duration::from_secs(60),
        "proxy_connect_timeout" Exactly(1) => time_out;

        /// `proxy_download_rate`: how many bytes a second a session relays to the client. No limit by default, and with 0.
        download_rate: TransferRate = TransferRate::Fixed(0),
        "proxy_download_rate" Exactly(1) => TransferRate::read;

        /// `proxy_half_close`, off by default: whether one direction goes on when the other has ended.
        half_close: bool = false,
        "proxy_half_close" Exactly(1) => |statement, _| statement.flag();

        /// `proxy_next_upstream`, on by default: whether another backend is tried if a connection fails.
        next_upstream: bool = true,
        "proxy_next_upstream" Exactly(1) => |statement, _| statement.flag();

        /// `proxy_next_upstream_timeout`: for how long backends are tried. No limit by default, and with 0.
        next_upstream_timeout: Option<Duration> = None,
        "proxy_next_upstream_timeout" Exactly(1) => |statement, _| {
            let limit = statement.milliseconds()?;
            Ok(Some(limit).filter(|limit| !limit.is_zero()))
        };

        /// `proxy_next_upstream_tries`: how many backends are tried, the first included. No limit by default, and
        /// with 0.
        next_upstream_tries: Option<NonZeroU32> = None,
        "proxy_next_upstream_tries" Exactly(1) => |statement, _| statement.number().map(NonZeroU32::new);

        /// `proxy_protocol`, off by default: the version of the header that backends get.
        protocol: Option<Version> = None,
        "proxy_protocol" Exactly(1) => |statement, _| protocol(statement);

        /// `proxy_socket_keepalive`, off by default: whether silent connections to backends are probed.
        socket_keepalive: bool = false,
        "proxy_socket_keepalive" Exactly(1) => |statement, _| statement.flag();

        /// `proxy_socket_rcvbuf`: the size of the receive buffers of connections to backends. As the system does by default,
        /// and with 0.
        socket_rcvbuf: Option<usize> = None,
        "proxy_socket_rcvbuf" Exactly(1) => |statement, _| buffer(statement);

        /// `proxy_socket_sndbuf`: the size of their send buffers. As the system does by default, and with 0.
        socket_sndbuf: Option<usize> = None,
        "proxy_socket_sndbuf" Exactly(1) => |statement, _| buffer(statement);

        /// `proxy_timeout`, 10 minutes by default: how long a session may be idle. With 0 it ends at once.
        timeout: Duration = Duration::from_secs(10 * 60),
        "proxy_timeout" Exactly(1) => time_out;

        /// `proxy_upload_rate`: how many bytes a second a session relays to the backend. No limit by default, and with 0.
        upload_rate: TransferRate = TransferRate::Fixed(0),
        "proxy_upload_rate" Exactly(1) => TransferRate::read;
    }
    without_effect {
        "proxy_buffer_size" Exactly(1);
        "proxy_downstream_buffer" Exactly(1);
        "proxy_requests" Exactly(1);
        "proxy_responses" Exactly(1);
        "proxy_upstream_buffer" Exactly(1);
    }
}

/// A variant without a comment is worded as in nginx.
#[derive(Debug, thiserror::Error)]
enum ProxyError {
    #[error("invalid address \"{address}\"")]
    InvalidBindAddress { address: String },
}

/// Reads `on`, `off` or the number of a version.
fn protocol(statement: &Statement) -> Result<Option<Version>, ConfigError> {
    match statement.arg() {
        "v2" => Ok(Some(Version::V2)),
        _ => Ok(statement.flag()?.then_some(Version::V1)),
    }
}

/// A size of 0 means that of the system.
fn buffer(statement: &Statement) -> Result<Option<usize>, ConfigError> {
    let size = statement.size()?;
    if i32::try_from(size).is_err() {
        return Err(statement.invalid_value());
    }
    Ok(Some(size).filter(|&size| size > 0))
}

/// The source address of connections to backends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ProxyBind {
    pub(crate) source: BindAddress,
    /// `transparent`: the address may be that of another machine.
    pub(crate) transparent: bool,
}

/// The address that a `proxy_bind` has, with port 0 where the kernel chooses one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum BindAddress {
    Fixed(SocketAddr),
    /// Computed for each session, see [`parse_source`].
    Computed(Value),
}

/// Reads an address, with or without a port, or a text with variables. `off` overrides that of the outer block.
fn bind(statement: &Statement, reader: &mut Reader<'_>) -> Result<Option<ProxyBind>, ConfigError> {
    let parameter = statement.parameters().next();
    let text = statement.arg();
    let transparent = match parameter {
        None if text == "off" => return Ok(None),
        None => false,
        Some("transparent") => true,
        Some(other) => return Err(statement.invalid("parameter", other)),
    };
    let value = Value::compile(statement, text, reader)?;
    let source = match value.literal() {
        None => BindAddress::Computed(value),
        Some(text) => BindAddress::Fixed(parse_source(text).ok_or_else(|| {
            let address = text.to_owned();
            statement.error(ProxyError::InvalidBindAddress { address })
        })?),
    };
    Ok(Some(ProxyBind {
        source,
        transparent,
    }))
}

/// Parses an address without or with a port. As in nginx, an IPv6 address needs no brackets without a port.
pub(crate) fn parse_source(text: &str) -> Option<SocketAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some((ip, 0).into());
    }
    let address = Address::parse(text).ok()?;
    match address.host().ok()? {
        Host::Ip(ip) => Some((ip, address.port.unwrap_or(0)).into()),
        _ => None,
    }
}
