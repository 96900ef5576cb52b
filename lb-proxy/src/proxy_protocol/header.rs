//! A header as it was received.

use std::net::SocketAddr;

use super::error::HeaderError;
use super::tlv::{Ssl, Tlv, Tlvs};
use super::{v1, v2};
use crate::parse_status::ParseStatus;

/// The longest version 2 header that is accepted where nothing else is said, in bytes: 4096, nginx's
/// `NGX_PROXY_PROTOCOL_MAX_HEADER`. Senders should stay below 536 bytes, which fit into any first segment.
pub const DEFAULT_LIMIT: usize = 4096;

/// A PROXY protocol header at the beginning of a stream.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProxyHeader<'a> {
    /// The form it came in.
    pub version: Version,
    /// Whether the connection is somebody's or the sender's own.
    pub command: Command,
    /// The ends of the connection between the client and the first proxy. `None` where the header has none for TCP
    /// over IP: then the real ones of this connection count. As the sender wrote them: an IPv4 address may come as an
    /// IPv6 one that maps it.
    pub addresses: Option<Addresses>,
    /// How many bytes of the stream are the header.
    pub len: usize,
    pub(super) tlvs: Tlvs<'a>,
}

impl<'a> ProxyHeader<'a> {
    /// Reads the header at the beginning of a stream, of which `stream` is all that came so far.
    ///
    /// A version 2 header of more than `limit` bytes in all (at most 65551 are possible) is refused when its length is
    /// known; a line of version 1 has at most 107 bytes. Allocates nothing.
    ///
    /// # Errors
    ///
    /// As soon as no continuation can make the bytes a header: in a version 1 line at the first byte that its field
    /// does not allow, or at the end of a field that is none; in version 2 at the first wrong byte of the fixed part,
    /// and for the rest when all of it is there.
    pub fn parse(stream: &'a [u8], limit: usize) -> Result<ParseStatus<Self>, HeaderError> {
        let parsed = match stream.first() {
            None => return Ok(ParseStatus::Incomplete { at_least: 1 }),
            Some(b'P') => v1::parse(stream),
            Some(_) => v2::parse(stream, limit),
        };
        match parsed {
            Ok(header) => Ok(ParseStatus::Complete(header)),
            Err(Stop::Incomplete(at_least)) => Ok(ParseStatus::Incomplete { at_least }),
            Err(Stop::Invalid(error)) => Err(error),
        }
    }

    /// All TLVs in their order, those without a method of their own included.
    pub fn tlvs(&self) -> Tlvs<'a> {
        self.tlvs
    }

    /// The value of the first TLV of a type.
    pub fn tlv(&self, kind: u8) -> Option<&'a [u8]> {
        self.tlvs()
            .find(|tlv| tlv.kind == kind)
            .map(|tlv| tlv.value)
    }

    /// `PP2_TYPE_ALPN`: the protocol that the client and a proxy agreed on.
    pub fn alpn(&self) -> Option<&'a [u8]> {
        self.tlv(Tlv::ALPN)
    }

    /// `PP2_TYPE_AUTHORITY`: the host name that the client asked for. `None` also if it is not UTF-8; then
    /// [`tlv`](Self::tlv) has the bytes.
    pub fn authority(&self) -> Option<&'a str> {
        str::from_utf8(self.tlv(Tlv::AUTHORITY)?).ok()
    }

    /// `PP2_TYPE_NETNS`: the name of a network namespace. `None` also if it is not ASCII.
    pub fn netns(&self) -> Option<&'a str> {
        let name = self.tlv(Tlv::NETNS)?;
        str::from_utf8(name).ok().filter(|name| name.is_ascii())
    }

    /// `PP2_TYPE_SSL`: how the client spoke TLS.
    pub fn ssl(&self) -> Option<Ssl<'a>> {
        Ssl::parse(self.tlv(Tlv::SSL)?)
    }

    /// `PP2_TYPE_UNIQUE_ID`: at most 128 bytes that name the connection across proxies.
    pub fn unique_id(&self) -> Option<&'a [u8]> {
        self.tlv(Tlv::UNIQUE_ID)
    }
}

/// The form of a header.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary, with TLVs.
    V2,
}

/// On whose behalf a connection was made.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    /// The sender's own, a health check for example.
    Local,
    /// A client's.
    Proxy,
}

/// Both ends of a connection.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Addresses {
    /// The client.
    pub source: SocketAddr,
    /// What the client connected to.
    pub destination: SocketAddr,
}

impl Addresses {
    /// Both ends of a connection.
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        Self {
            source,
            destination,
        }
    }
}

/// Why a parser has no header.
#[derive(Debug)]
pub(super) enum Stop {
    /// So many bytes are missing at the least.
    Incomplete(usize),
    Invalid(HeaderError),
}

impl From<HeaderError> for Stop {
    fn from(error: HeaderError) -> Self {
        Self::Invalid(error)
    }
}

/// Compares the beginning of a stream with what it must be, as far as it is there.
pub(super) fn expect(
    stream: &[u8],
    at: usize,
    bytes: &[u8],
    error: super::HeaderErrorKind,
) -> Result<(), Stop> {
    let there = &stream[at..];
    if let Some(wrong) = there.iter().zip(bytes).position(|(a, b)| a != b) {
        return Err(HeaderError::new(at + wrong, error).into());
    }
    match bytes.len().checked_sub(there.len()) {
        None | Some(0) => Ok(()),
        Some(missing) => Err(Stop::Incomplete(missing)),
    }
}
