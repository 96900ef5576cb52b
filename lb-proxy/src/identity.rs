//! What the prereads found out about a connection.

use std::fmt;
use std::net::SocketAddr;

use crate::parse_status::ParseStatus;
use crate::proxy_protocol::ProxyHeader;

/// What the [prereads](crate::Preread) found out. Shared by all copies of a [`Connection`](crate::Connection). A connection
/// about which they found out nothing has none.
#[derive(Clone, Default, Eq, PartialEq)]
pub(crate) struct Identity {
    /// The address that the client connected to, as a proxy in front has reported it.
    pub(crate) destination: Option<SocketAddr>,
    /// A valid PROXY protocol header of a trusted sender.
    pub(crate) header: Box<[u8]>,
    pub(crate) server_name: Option<Box<str>>,
    pub(crate) alpn: Vec<Box<[u8]>>,
}

impl Identity {
    pub(crate) fn proxy_header(&self) -> Option<ProxyHeader<'_>> {
        match ProxyHeader::parse(&self.header, self.header.len()) {
            Ok(ParseStatus::Complete(header)) => Some(header),
            // There is none: only complete headers are kept.
            _ => None,
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("destination", &self.destination)
            .field("proxy_header", &self.proxy_header())
            .field("server_name", &self.server_name)
            .field("alpn", &self.alpn)
            .finish()
    }
}
