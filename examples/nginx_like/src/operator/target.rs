//! The address of an admin server.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use hyper::http::uri::Authority;
use lb_core::Escaped;

use crate::config::admin::AdminAddress;

/// The address of an admin server: `unix:PATH`, `HOST:PORT` or `http://HOST[:PORT]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// A host, with brackets around an IPv6 address, and a port.
    Tcp { host: String, port: u16 },
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// Why a text is no address of an admin server.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("write unix:PATH, ADDRESS:PORT or http://HOST:PORT")]
    Form,
    #[error("the admin server speaks http, not https")]
    Https,
    #[error("the path of a unix socket is missing: write unix:PATH")]
    NoPath,
    #[error("the port is missing: write ADDRESS:PORT, such as 127.0.0.1:9446")]
    NoPort,
    #[error("write the address only, without a path behind it")]
    UrlPath,
    #[error("this is a path: write unix:PATH for a unix socket")]
    UnixPath,
}

/// The port of a URL without one.
const HTTP_PORT: u16 = 80;

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err(TargetError::NoPath),
                path => Ok(Self::Unix(path.into())),
            };
        }
        if text.starts_with(['/', '.']) {
            return Err(TargetError::UnixPath);
        }
        if text.starts_with("https://") {
            return Err(TargetError::Https);
        }
        let url = text.strip_prefix("http://");
        let (rest, default_port) = match url {
            Some(rest) => (rest.strip_suffix('/').unwrap_or(rest), Some(HTTP_PORT)),
            None => (text, None),
        };
        if rest.contains(['/', '?', '#']) {
            return Err(TargetError::UrlPath);
        }
        let authority: Authority = rest.parse().map_err(|_| TargetError::Form)?;
        let host = authority.host();
        if host.is_empty() || rest.contains('@') {
            return Err(TargetError::Form);
        }
        let port = match rest.len() > host.len() {
            true => Some(authority.port_u16().ok_or(TargetError::Form)?),
            false => default_port,
        };
        Ok(Self::Tcp {
            host: host.to_owned(),
            port: port.ok_or(TargetError::NoPort)?,
        })
    }
}

impl From<&AdminAddress> for Target {
    /// A server that listens on all addresses is reached by the loopback address.
    fn from(address: &AdminAddress) -> Self {
        match address {
            AdminAddress::Unix(path) => Self::Unix(path.clone()),
            AdminAddress::Tcp(addr) => {
                let ip = match addr.ip() {
                    IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                    ip => ip,
                };
                let host = match ip {
                    IpAddr::V4(ip) => ip.to_string(),
                    IpAddr::V6(ip) => format!("[{ip}]"),
                };
                Self::Tcp {
                    host,
                    port: addr.port(),
                }
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{}:{port}", Escaped(host)),
            Self::Unix(path) => write!(f, "unix:{}", Escaped(path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_form() {
        let tcp = |host: &str, port| {
            Ok(Target::Tcp {
                host: host.to_owned(),
                port,
            })
        };
        for (text, expected) in [
            ("unix:/run/lb.sock", Ok(Target::Unix("/run/lb.sock".into()))),
            ("unix:lb.sock", Ok(Target::Unix("lb.sock".into()))),
            ("127.0.0.1:9446", tcp("127.0.0.1", 9446)),
            ("[::1]:9446", tcp("[::1]", 9446)),
            ("localhost:9446", tcp("localhost", 9446)),
            ("http://lb.example.com:9446/", tcp("lb.example.com", 9446)),
            ("http://[::1]", tcp("[::1]", 80)),
            ("unix:", Err(TargetError::NoPath)),
            ("/run/lb.sock", Err(TargetError::UnixPath)),
            ("./lb.sock", Err(TargetError::UnixPath)),
            ("https://localhost:9446", Err(TargetError::Https)),
            (
                "http://localhost:9446/status.json",
                Err(TargetError::UrlPath),
            ),
            ("127.0.0.1", Err(TargetError::NoPort)),
            ("9446", Err(TargetError::NoPort)),
            ("127.0.0.1:99999", Err(TargetError::Form)),
            ("127.0.0.1:", Err(TargetError::Form)),
            ("user@host:1", Err(TargetError::Form)),
            ("a b:1", Err(TargetError::Form)),
            ("", Err(TargetError::Form)),
            (":9446", Err(TargetError::Form)),
        ] {
            assert_eq!(text.parse::<Target>(), expected, "{text}");
        }
    }

    #[test]
    fn a_server_on_all_addresses_is_asked_on_the_loopback_address() {
        for (listen, expected) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("[2001:db8::1]:1", "[2001:db8::1]:1"),
        ] {
            let address = AdminAddress::Tcp(listen.parse().unwrap());
            assert_eq!(Target::from(&address).to_string(), expected);
        }
    }
}
