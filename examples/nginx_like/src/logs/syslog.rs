//! Messages to a syslog server, in the form of RFC 3164, as nginx sends them.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::level::LogLevel;
use super::line::os_error;
use crate::host_name::host_name;
use crate::local_time::with_syslog_time;

/// A syslog server, and what its messages are marked with.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Syslog {
    pub(crate) server: SyslogServer,
    /// The number of the facility, 23 (`local7`) by default.
    pub(crate) facility: u8,
    /// The severity of lines that have no level, 6 (`info`) by default.
    pub(crate) severity: u8,
    /// `nginx` by default.
    pub(crate) tag: String,
    /// Whether the name of this machine is left out.
    pub(crate) no_hostname: bool,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum SyslogServer {
    /// A host and its port, looked up when the log is opened.
    Udp(String, u16),
    Unix(PathBuf),
}

/// A connected socket.
#[derive(Debug)]
pub(crate) enum SyslogSocket {
    Udp(UdpSocket),
    Unix(UnixDatagram, PathBuf),
}

/// Why there is no socket to a syslog server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyslogError {
    /// The reason is that of the system's resolver. Worded as in nginx, but for the reason.
    #[error("host not found in syslog server \"{server}\" ({reason})")]
    HostNotFound {
        server: SyslogServer,
        reason: io::Error,
    },
    #[error("a socket to syslog server \"{server}\" cannot be opened ({})", os_error(.reason))]
    Socket {
        server: SyslogServer,
        reason: io::Error,
    },
}

impl fmt::Display for SyslogServer {
    /// As in a configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Udp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Syslog {
    /// A message without a line feed. `level` is that of the line, if it has one.
    pub(crate) fn message(&self, level: Option<LogLevel>, line: &[u8]) -> Vec<u8> {
        let severity = level.map_or(self.severity, LogLevel::severity);
        let priority = u16::from(self.facility) * 8 + u16::from(severity);
        let tag = &self.tag;
        let host = if self.no_hostname {
            String::new()
        } else {
            format!("{} ", host_name())
        };
        let head = with_syslog_time(|time| format!("<{priority}>{time} {host}{tag}: "));
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        [head.as_bytes(), line].concat()
    }

    /// Opens a socket to the server, which need not exist yet if it is a path. Blocks on the lookup of a name.
    pub(crate) fn connect(&self) -> Result<SyslogSocket, SyslogError> {
        let server = || self.server.clone();
        let opened = match &self.server {
            SyslogServer::Udp(host, port) => {
                let addr = look_up(host, *port).map_err(|reason| SyslogError::HostNotFound {
                    server: server(),
                    reason,
                })?;
                udp(addr)
            }
            SyslogServer::Unix(path) => unix(path),
        };
        opened.map_err(|reason| SyslogError::Socket {
            server: server(),
            reason,
        })
    }
}

fn look_up(host: &str, port: u16) -> io::Result<SocketAddr> {
    let mut addrs = (host, port).to_socket_addrs()?;
    addrs.next().ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn udp(addr: SocketAddr) -> io::Result<SyslogSocket> {
    let any: SocketAddr = if addr.is_ipv4() {
        ([0; 4], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(addr)?;
    socket.set_nonblocking(true)?;
    Ok(SyslogSocket::Udp(socket))
}

fn unix(path: &Path) -> io::Result<SyslogSocket> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok(SyslogSocket::Unix(socket, path.to_owned()))
}

impl SyslogSocket {
    pub(super) fn send(&self, message: &[u8]) -> io::Result<()> {
        let sent = match self {
            Self::Udp(socket) => socket.send(message)?,
            Self::Unix(socket, path) => socket.send_to(message, path)?,
        };
        if sent == message.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }
}
