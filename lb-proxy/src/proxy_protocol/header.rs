//! A parsed header.

use std::net::SocketAddr;

use super::tlv::{Ssl, Tlv, Tlvs};

/// A PROXY protocol header at the beginning of a stream.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProxyHeader<'a> {
    /// The version that it was sent in.
    pub version: Version,
    /// Whether the connection belongs to a client or to the sender itself.
    pub command: Command,
    /// Both ends of the connection between the client and the first proxy, as the sender wrote them: an IPv4 address may
    /// come as an IPv4-mapped IPv6 address. `None` if the header has none for TCP over IP; the addresses of the socket
    /// apply then.
    pub addresses: Option<Addresses>,
    /// How many bytes of the stream the header takes.
    pub len: usize,
    pub(super) tlvs: Tlvs<'a>,
}

impl<'a> ProxyHeader<'a> {
    /// All TLVs in their order, including those that have a method of their own.
    pub fn tlvs(&self) -> Tlvs<'a> {
        self.tlvs
    }

    /// The value of the first TLV of type `kind`. O(number of TLVs).
    pub fn tlv(&self, kind: u8) -> Option<&'a [u8]> {
        self.tlvs()
            .find(|tlv| tlv.kind == kind)
            .map(|tlv| tlv.value)
    }

    /// `PP2_TYPE_ALPN`: the protocol that the client and a proxy negotiated.
    pub fn alpn(&self) -> Option<&'a [u8]> {
        self.tlv(Tlv::ALPN)
    }

    /// `PP2_TYPE_AUTHORITY`: the host name that the client requested.
    ///
    /// Also `None` if it is not UTF-8; [`tlv`](Self::tlv) returns the bytes then.
    pub fn authority(&self) -> Option<&'a str> {
        str::from_utf8(self.tlv(Tlv::AUTHORITY)?).ok()
    }

    /// `PP2_TYPE_NETNS`: the name of a network namespace. Also `None` if it is not ASCII.
    pub fn netns(&self) -> Option<&'a str> {
        let name = self.tlv(Tlv::NETNS)?;
        str::from_utf8(name).ok().filter(|name| name.is_ascii())
    }

    /// `PP2_TYPE_SSL`: the client's use of TLS.
    pub fn ssl(&self) -> Option<Ssl<'a>> {
        Ssl::parse(self.tlv(Tlv::SSL)?)
    }

    /// `PP2_TYPE_UNIQUE_ID`: at most 128 bytes that identify the connection across proxies.
    pub fn unique_id(&self) -> Option<&'a [u8]> {
        self.tlv(Tlv::UNIQUE_ID)
    }
}

/// The version of the protocol.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary, with TLVs.
    V2,
}

/// The owner of a connection: a client or the sender.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    /// The sender's own connection, a health check for example.
    Local,
    /// A client's connection.
    Proxy,
}

/// Both ends of a connection.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Addresses {
    /// The client.
    pub source: SocketAddr,
    /// The address that the client connected to.
    pub destination: SocketAddr,
}

impl Addresses {
    /// A connection from `source` to `destination`.
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        Self {
            source,
            destination,
        }
    }
}
