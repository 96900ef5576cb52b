//! A parsed ClientHello.

use std::borrow::Cow;

use super::error::ClientHelloError;
use super::extensions::Extensions;
use super::host::host;
use super::version::TlsVersion;
use super::{handshake, records};
use crate::parse_status::ParseStatus;

/// The default limit on the bytes that are searched for a ClientHello: 16 KiB, nginx's `preread_buffer_size`.
///
/// Today's browsers send 0.5 to 2 KiB.
pub const DEFAULT_LIMIT: usize = 16 * 1024;

/// A TLS ClientHello.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientHello<'a> {
    /// The handshake message, reassembled if it came in several records.
    message: Cow<'a, [u8]>,
    legacy_version: TlsVersion,
    extensions: Extensions,
}

impl<'a> ClientHello<'a> {
    /// Parses the ClientHello at the beginning of a stream. `stream` is all that has arrived so far.
    ///
    /// At most `limit` bytes are read, record headers included. Copies the message only if it is spread over several
    /// records; allocates nothing else. Costs one pass over the record headers, and one over the message once all of it
    /// has arrived.
    ///
    /// # Errors
    ///
    /// [`NotTls`](ClientHelloError::NotTls) at the first byte that cannot be part of a ClientHello,
    /// [`TooLong`](ClientHelloError::TooLong) as soon as the length is known,
    /// [`Malformed`](ClientHelloError::Malformed) once the whole message has arrived.
    pub fn parse(stream: &'a [u8], limit: usize) -> Result<ParseStatus<Self>, ClientHelloError> {
        let allowed = &stream[..stream.len().min(limit)];
        let message = match records::message(allowed, limit)? {
            ParseStatus::Complete(message) => message,
            ParseStatus::Incomplete { .. } if allowed.len() == limit => {
                return Err(ClientHelloError::TooLong { limit });
            }
            ParseStatus::Incomplete { at_least } => {
                return Ok(ParseStatus::Incomplete { at_least });
            }
        };
        let (legacy_version, extensions) =
            handshake::parse(&message).map_err(|error| ClientHelloError::Malformed {
                offset: records::offset_in_stream(allowed, message.len(), error.at),
                what: error.what,
            })?;
        Ok(ParseStatus::Complete(Self {
            message,
            legacy_version,
            extensions,
        }))
    }

    /// The host that the client requests (SNI), in the client's letters. Costs one pass over the name.
    ///
    /// `None` if the client requests none, or a name that is no host as nginx sees it: see
    /// [`server_name_bytes`](Self::server_name_bytes). Otherwise 1 to 255 printable ASCII characters without `/` and without
    /// an empty label. A port behind the host is cut off; a dot at the end is kept. RFC 6066 requires a DNS name, but IP
    /// addresses occur and are returned, those of IPv6 only in brackets.
    pub fn server_name(&self) -> Option<&str> {
        host(self.server_name_bytes()?)
    }

    /// The server name as the client sent it: any bytes, of any length, even none. `None` if the client sent no name.
    #[doc(alias = "$ssl_preread_server_name")]
    pub fn server_name_bytes(&self) -> Option<&[u8]> {
        let range = self.extensions.server_name.clone()?;
        Some(&self.message[range])
    }

    /// The protocols that the client offers (ALPN), in its order of preference. Empty if it offers none.
    ///
    /// Reserved names (GREASE) are included.
    pub fn alpn(&self) -> AlpnProtocols<'_> {
        AlpnProtocols {
            rest: &self.message[self.extensions.alpn.clone()],
        }
    }

    /// The highest version of TLS that the client offers.
    ///
    /// It comes from the extension `supported_versions` without reserved values (GREASE), or else from
    /// [`legacy_version`](Self::legacy_version).
    pub fn version(&self) -> TlsVersion {
        self.extensions.version.unwrap_or(self.legacy_version)
    }

    /// The version in the message's first field. Every later client writes that of TLS 1.2.
    pub fn legacy_version(&self) -> TlsVersion {
        self.legacy_version
    }
}

/// Iterates over protocol names. Their lengths have been checked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AlpnProtocols<'a> {
    rest: &'a [u8],
}

impl<'a> AlpnProtocols<'a> {
    /// Those of the bytes that [`bytes`](Self::bytes) has returned.
    pub(crate) const fn from_bytes(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The names that are left, each behind its length.
    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for AlpnProtocols<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&len, rest) = self.rest.split_first()?;
        let (name, rest) = rest.split_at_checked(len.into())?;
        self.rest = rest;
        Some(name)
    }
}
