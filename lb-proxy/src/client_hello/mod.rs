//! The first message of a TLS client, read without decryption: the requested host (SNI) and protocols (ALPN).
//!
//! [`ClientHelloReader`] lets a listener choose the upstream by the host name. Below it, [`ClientHello::parse`] parses
//! the beginning of a stream. The message may be spread over segments and over TLS records. Only bytes that no
//! continuation turns into a ClientHello are an error, and [`NotTls`] separates other protocols from broken clients.
//!
//! ```
//! use lb_proxy::first_bytes::ParseStatus;
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
//! Limits: an encrypted ClientHello (ECH) contains the name of the server that can decrypt it. Protocols that begin in
//! plain text (STARTTLS) send no ClientHello at first. A protocol in which the server speaks first cannot be read ahead.
//!
//! `benches/README.md` of the repository has figures.
//!
//! Sources: RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3, RFC 7301 section 3.1, RFC 8701. The existing TLS parsers
//! need whole records or bring the rest of TLS with them, and report no offset of an error.
//!
//! [`NotTls`]: ClientHelloError::NotTls

mod error;
mod extensions;
mod handshake;
mod hello;
pub(crate) mod host;
#[cfg(feature = "admin")]
pub(crate) mod minimal;
mod reader;
mod records;
mod version;

pub use crate::preread::client_hello::ClientHelloReader;
pub use error::ClientHelloError;
pub use hello::{AlpnProtocols, ClientHello, DEFAULT_LIMIT};
pub use version::TlsVersion;
