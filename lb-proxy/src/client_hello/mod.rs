//! The first message of a TLS client, read without taking part: which host it wants, and which protocol.
//!
//! [`ClientHelloReader`] lets a listener look at it. Below it, [`ClientHello::parse`] is given the bytes of a stream that
//! nobody decrypts. The message may be spread over segments and over TLS records; only bytes that can no longer become
//! one are an error, and [`NotTls`] tells other protocols from broken clients.
//!
//! ```
//! use lb_proxy::ParseStatus;
//! use lb_proxy::client_hello::{ClientHello, ClientHelloError, DEFAULT_LIMIT};
//!
//! let error = ClientHello::parse(b"GET / HTTP/1.1\r\n", DEFAULT_LIMIT).unwrap_err();
//! assert_eq!(error, ClientHelloError::NotTls { offset: 0 });
//! match ClientHello::parse(&[0x16, 0x03, 0x01], DEFAULT_LIMIT)? {
//!     ParseStatus::Complete(hello) => println!("{:?}", hello.server_name()),
//!     ParseStatus::Incomplete { at_least } => println!("read {at_least} bytes more"),
//! }
//! # Ok::<(), ClientHelloError>(())
//! ```
//!
//! What this cannot see: an encrypted ClientHello (ECH) has the name of the server that can decrypt it, and protocols
//! that begin in the clear (STARTTLS) are not TLS yet. Where the server speaks first, nothing may be awaited.
//!
//! The name and the protocols of a ClientHello in one record take 0.13 us (OpenSSL, 339 bytes) to 0.22 us (Chrome, 2 KB),
//! of one that is spread over three records 0.7 us. (`cargo bench first_bytes`, on a virtual machine of two cores that had
//! other work to do as well.)
//!
//! Sources: RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3, RFC 7301 section 3.1, RFC 8701. Parsers for TLS exist;
//! those at hand want whole records or the rest of TLS with them, and give no offset.
//!
//! [`NotTls`]: ClientHelloError::NotTls

mod extensions;
mod reader;
mod records;
mod version;

use std::borrow::Cow;
use std::ops::Range;

use crate::parse_status::ParseStatus;
pub use crate::preread::client_hello::ClientHelloReader;
use extensions::Extensions;
use reader::{Malformed, Reader};
pub use version::TlsVersion;

/// How much of a stream is read in search of a ClientHello where nothing else is said, in bytes: 16 KiB, nginx's
/// `preread_buffer_size`. Today's browsers send 0.5 to 2 KiB.
pub const DEFAULT_LIMIT: usize = 16 * 1024;

/// A TLS ClientHello.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientHello<'a> {
    /// The handshake message, put together where it came in several records.
    message: Cow<'a, [u8]>,
    legacy_version: TlsVersion,
    extensions: Extensions,
}

impl<'a> ClientHello<'a> {
    /// Reads the ClientHello at the beginning of a stream, of which `stream` is all that came so far.
    ///
    /// At most `limit` bytes are looked at, record headers included. Copies the message only if it is spread over
    /// several records; allocates nothing else. Costs one pass over the record headers, and one over the message once
    /// it is all there.
    ///
    /// # Errors
    ///
    /// [`NotTls`](ClientHelloError::NotTls) at the first byte that tells, [`TooLong`](ClientHelloError::TooLong) as
    /// soon as the length is known, [`Malformed`](ClientHelloError::Malformed) when the message is all there.
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
            parse_message(&message).map_err(|error| ClientHelloError::Malformed {
                offset: records::offset_in_stream(allowed, message.len(), error.at),
                what: error.what,
            })?;
        Ok(ParseStatus::Complete(Self {
            message,
            legacy_version,
            extensions,
        }))
    }

    /// The host that the client wants (SNI), in lower case; allocates only if it came with capitals.
    ///
    /// `None` if the client named none. Otherwise at most 255 printable ASCII characters with no `/` and no empty
    /// label; an end in a dot is kept. RFC 6066 asks for a DNS name, but IP addresses occur and are passed on.
    pub fn server_name(&self) -> Option<Cow<'_, str>> {
        let name = self.text(self.extensions.server_name.clone()?);
        Some(match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => name.to_ascii_lowercase().into(),
            false => name.into(),
        })
    }

    /// The protocols that the client offers (ALPN), in its order of preference; empty if it offers none. Reserved
    /// names (GREASE) are among them.
    pub fn alpn(&self) -> AlpnProtocols<'_> {
        AlpnProtocols {
            rest: &self.message[self.extensions.alpn.clone()],
        }
    }

    /// The highest version of TLS that the client offers: of the extension `supported_versions` without reserved values
    /// (GREASE), or else [`legacy_version`](Self::legacy_version).
    pub fn version(&self) -> TlsVersion {
        self.extensions.version.unwrap_or(self.legacy_version)
    }

    /// The version in the message's first field, which is that of TLS 1.2 for every later one.
    pub fn legacy_version(&self) -> TlsVersion {
        self.legacy_version
    }

    fn text(&self, range: Range<usize>) -> &str {
        str::from_utf8(&self.message[range]).expect("`extensions` lets ASCII pass")
    }
}

/// Names of protocols one after the other; their lengths have been checked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AlpnProtocols<'a> {
    rest: &'a [u8],
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

/// Why a stream has no ClientHello that can be read.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ClientHelloError {
    /// It begins like a ClientHello and breaks the rules of one: no TLS server would answer it.
    #[error("malformed TLS ClientHello, byte {offset}: {what}")]
    Malformed {
        /// Where in the stream.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// It is another protocol, or TLS that does not begin with a ClientHello. So is the hello of SSL 2, which no
    /// server of this century's second decade accepts.
    #[error("no TLS ClientHello: byte {offset} cannot be part of one")]
    NotTls {
        /// The first byte that tells.
        offset: usize,
    },
    /// It is not complete within the limit.
    #[error("the TLS ClientHello is longer than the limit of {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
}

/// Reads the whole handshake message, its header included.
fn parse_message(message: &[u8]) -> Result<(TlsVersion, Extensions), Malformed> {
    let mut hello = Reader::new(message);
    hello.take(records::MESSAGE_HEADER, "the message's header is cut off")?;
    let legacy_version = TlsVersion::new(hello.u16("the version is cut off")?);
    hello.take(32, "the random is cut off")?;
    let session = hello.vector8("the session ID is cut off")?;
    session.check(
        session.len() <= 32,
        "the session ID is longer than 32 bytes",
    )?;
    let ciphers = hello.vector16("the cipher suites are cut off")?;
    let even = !ciphers.is_empty() && ciphers.len().is_multiple_of(2);
    ciphers.check(even, "the list of cipher suites has no possible length")?;
    let compressions = hello.vector8("the compression methods are cut off")?;
    compressions.check(!compressions.is_empty(), "there is no compression method")?;
    let mut extensions = Extensions::default();
    // Clients of TLS 1.2 and before may have none.
    if !hello.is_empty() {
        let list = hello.vector16("the extensions are cut off")?;
        hello.check(hello.is_empty(), "something follows the extensions")?;
        extensions.read(list)?;
    }
    Ok((legacy_version, extensions))
}
