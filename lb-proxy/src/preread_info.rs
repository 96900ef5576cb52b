//! The properties of a connection that its first bytes contain.

use std::fmt;
use std::net::SocketAddr;

use crate::client_hello::{AlpnProtocols, TlsVersion};
use crate::parse_status::ParseStatus;
use crate::proxy_protocol::ProxyHeader;

/// The properties that [prereads](crate::first_bytes::Preread) set.
///
/// All copies of a [`Connection`](crate::events::Connection) share it. A connection without such properties has none.
#[derive(Clone, Default, Eq, PartialEq)]
pub(crate) struct PrereadInfo {
    /// The address that the client connected to, from the header of a proxy in front.
    pub(crate) destination: Option<SocketAddr>,
    /// The bytes of a valid PROXY protocol header. Empty if there is none.
    pub(crate) header: Box<[u8]>,
    /// Whether the sender of the header is trusted.
    pub(crate) is_trusted: bool,
    /// The server name as the client sent it.
    pub(crate) server_name: Option<Box<[u8]>>,
    /// The names of protocols as the client sent them, each behind its length.
    pub(crate) alpn: Box<[u8]>,
    pub(crate) tls_version: Option<TlsVersion>,
}

impl PrereadInfo {
    pub(crate) const fn alpn(&self) -> AlpnProtocols<'_> {
        AlpnProtocols::from_bytes(&self.alpn)
    }

    pub(crate) fn proxy_header(&self) -> Option<ProxyHeader<'_>> {
        match ProxyHeader::parse(&self.header, self.header.len()) {
            Ok(ParseStatus::Complete(header)) => Some(header),
            // Empty: only whole headers are kept.
            _ => None,
        }
    }
}

impl fmt::Debug for PrereadInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server_name = self.server_name.as_deref();
        f.debug_struct("PrereadInfo")
            .field("destination", &self.destination)
            .field("proxy_header", &self.proxy_header())
            .field("is_trusted", &self.is_trusted)
            .field("server_name", &server_name.map(String::from_utf8_lossy))
            .field("alpn", &self.alpn().collect::<Vec<_>>())
            .field("tls_version", &self.tls_version)
            .finish()
    }
}
