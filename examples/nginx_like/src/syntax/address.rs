//! Addresses as `listen`, `server`, `proxy_pass` and `resolver` take them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::units;

/// Why an address cannot be used. A variant without a comment is worded as in nginx.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("host not found")]
    HostNotFound,
    #[error("invalid host")]
    InvalidHost,
    #[error("invalid IPv6 address")]
    InvalidIpv6,
    #[error("invalid port")]
    InvalidPort,
    #[error("no host")]
    NoHost,
    #[error("no port")]
    NoPort,
    #[error("no path in the unix domain socket")]
    NoUnixPath,
    #[error("invalid port range")]
    PortRange,
    /// Ours: where an address is needed.
    #[error("a unix domain socket cannot be used")]
    Unix,
    #[error("too long path in the unix domain socket")]
    UnixPathTooLong,
}

/// A host to connect to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Host {
    Ip(IpAddr),
    /// A name with the syntax of a DNS name.
    Name(String),
    /// The name of the SRV records that `service` and the host make.
    Service(String),
    /// The path of a unix domain socket.
    Unix(PathBuf),
}

/// The parts of `HOST[:PORT]`.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// The host as written.
    pub(crate) text: String,
    ip: Option<IpAddr>,
    unix: Option<PathBuf>,
    pub(crate) port: Option<u16>,
}

impl Address {
    /// Splits `HOST[:PORT]`, or reads `unix:PATH`. A host that is no IP address is not checked: it may name an upstream.
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = unix_path(text) {
            return Ok(Self {
                text: text.to_owned(),
                ip: None,
                unix: Some(path?.to_owned()),
                port: None,
            });
        }
        let (host, port, ip) = split(text)?;
        Ok(Self {
            text: host.to_owned(),
            ip,
            unix: None,
            port: port.map(parse_port).transpose()?,
        })
    }

    /// The host, if it is an IP address or a name that can be looked up.
    pub(crate) fn host(&self) -> Result<Host, AddressError> {
        match (self.ip, &self.unix) {
            (Some(ip), _) => Ok(Host::Ip(ip)),
            (_, Some(path)) => Ok(Host::Unix(path.clone())),
            _ if is_host_name(&self.text) => Ok(Host::Name(self.text.clone())),
            _ => Err(AddressError::InvalidHost),
        }
    }

    /// Whether it is the path of a unix domain socket, which has no port.
    pub(crate) const fn is_unix(&self) -> bool {
        self.unix.is_some()
    }

    /// The socket addresses of a name server; port 53 by default. `look_up` finds the addresses of a name.
    pub(crate) fn name_servers(
        &self,
        look_up: impl FnOnce(&str) -> Result<Vec<IpAddr>, AddressError>,
    ) -> Result<Vec<SocketAddr>, AddressError> {
        let ips = match self.host()? {
            Host::Ip(ip) => vec![ip],
            Host::Name(name) | Host::Service(name) => look_up(&name)?,
            Host::Unix(_) => return Err(AddressError::Unix),
        };
        let port = self.port.unwrap_or(53);
        Ok(ips.into_iter().map(|ip| (ip, port).into()).collect())
    }
}

/// What `listen` listens on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ListenAddress {
    /// An address, with one port or several.
    Ip(IpAddr, RangeInclusive<u16>),
    /// The addresses of a name.
    Name(String, RangeInclusive<u16>),
    /// The path of a unix domain socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Parses `PORT`, `*:PORT`, `IPv4:PORT`, `[IPv6]:PORT`, `NAME:PORT` or `unix:PATH`. A port may be a range, `446-450`.
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = unix_path(text) {
            return Ok(Self::Unix(path?.to_owned()));
        }
        let (host, port, ip) = split(text)?;
        let (host, port) = match port {
            Some(port) => (host, port),
            None if ip.is_none() && host.starts_with(|c: char| c.is_ascii_digit()) => ("*", host),
            None => return Err(AddressError::NoPort),
        };
        let (first, last) = port.split_once('-').unwrap_or((port, port));
        let (last, first) = (parse_port(last)?, parse_port(first)?);
        if first > last {
            return Err(AddressError::PortRange);
        }
        match ip {
            Some(ip) => Ok(Self::Ip(ip, first..=last)),
            None if host == "*" => Ok(Self::Ip(Ipv4Addr::UNSPECIFIED.into(), first..=last)),
            None if is_host_name(host) => Ok(Self::Name(host.to_owned(), first..=last)),
            None => Err(AddressError::InvalidHost),
        }
    }
}

/// The longest path of a unix domain socket on Linux, in bytes.
const MAX_UNIX_PATH: usize = 107;

/// The path behind `unix:`. `None` without it.
fn unix_path(text: &str) -> Option<Result<&Path, AddressError>> {
    let (scheme, path) = text.split_at_checked(5)?;
    if !scheme.eq_ignore_ascii_case("unix:") {
        return None;
    }
    Some(match path.len() {
        0 => Err(AddressError::NoUnixPath),
        1..=MAX_UNIX_PATH => Ok(Path::new(path)),
        _ => Err(AddressError::UnixPathTooLong),
    })
}

/// Splits off the port and parses the host if it is an IP address.
fn split(text: &str) -> Result<(&str, Option<&str>, Option<IpAddr>), AddressError> {
    if text.contains(['/', '?']) {
        return Err(AddressError::InvalidHost);
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(AddressError::InvalidHost)?;
        let port = match rest {
            "" => None,
            _ => Some(rest.strip_prefix(':').ok_or(AddressError::InvalidHost)?),
        };
        if host.is_empty() {
            return Err(AddressError::NoHost);
        }
        let ip: Ipv6Addr = host.parse().map_err(|_| AddressError::InvalidIpv6)?;
        return Ok((&text[..host.len() + 2], port, Some(ip.into())));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    if host.is_empty() {
        return Err(AddressError::NoHost);
    }
    let ip = host.parse::<Ipv4Addr>().ok();
    Ok((host, port, ip.map(IpAddr::from)))
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    match units::number(text).map(u16::try_from) {
        Some(Ok(port)) if port != 0 => Ok(port),
        _ => Err(AddressError::InvalidPort),
    }
}

/// Whether a name can be looked up in DNS. A name with a number as last label is a misspelt IPv4 address.
pub(crate) fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let last = name.rsplit('.').next().unwrap_or(name);
    name.len() <= 253
        && name.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
