//! The PROXY protocol, versions 1 and 2: the addresses of a client that connected through other proxies.
//!
//! - [`ProxyProtocol`] lets a listener receive headers; [`TrustedNetworks`] lists the senders that it believes.
//! - [`SendProxy`] describes the header that a listener or an upstream sends to backends.
//! - [`ProxyHeader::parse`] reads the header at the beginning of a stream; [`write_v1`] and [`write_v2`] write one.
//!
//! Nothing here does I/O.
//!
//! The source is the [specification] of HAProxy's authors, 2020/03/05. Where it leaves a choice, this module does what
//! nginx and HAProxy do:
//!
//! - A header that describes no TCP client over IP (`LOCAL`, `UNKNOWN`, `UNSPEC`, `AF_UNIX`, datagrams) is valid and
//!   has no [addresses](ProxyHeader::addresses): the addresses of the socket apply.
//! - The bytes behind the fixed part of a `LOCAL` or `UNSPEC` header are skipped unchecked.
//!
//! Where nginx and HAProxy are laxer than the specification, this module follows the specification: unassigned families
//! and transports, a lone CR or LF, and TLVs that do not end with the header are errors.
//!
//! ```
//! use lb_proxy::first_bytes::ParseStatus;
//! use lb_proxy::proxy_protocol::{Addresses, DEFAULT_LIMIT, ProxyHeader, Tlv, write_v2};
//!
//! let client = Addresses::new("192.0.2.1:56324".parse()?, "198.51.100.1:443".parse()?);
//! let mut stream = Vec::new();
//! write_v2(Some(client), [Tlv::new(Tlv::AUTHORITY, b"example.com")], true, &mut stream)?;
//! stream.extend_from_slice(b"the client's bytes");
//!
//! match ProxyHeader::parse(&stream, DEFAULT_LIMIT)? {
//!     ParseStatus::Complete(header) => {
//!         assert_eq!(header.addresses, Some(client));
//!         assert_eq!(header.authority(), Some("example.com"));
//!         assert_eq!(&stream[header.len..], b"the client's bytes");
//!     }
//!     ParseStatus::Incomplete { .. } => unreachable!("the stream has the whole header"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Parsing allocates nothing. `benches/README.md` of the repository has figures.
//!
//! [specification]: https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt

mod crc32c;
mod error;
mod header;
mod parse;
mod prefix;
mod tlv;
mod v1;
mod v2;
mod write;

pub use error::{HeaderError, HeaderErrorKind};
pub use header::{Addresses, Command, ProxyHeader, Version};
pub use parse::DEFAULT_LIMIT;
pub use tlv::{Ssl, Tlv, Tlvs};
pub(crate) use v1::MAX_LINE;
pub(crate) use write::{MappedAddresses, write_v1_with, write_v2_with};
pub use write::{write_v1, write_v2};

pub use crate::preread::proxy_protocol::{ProxyProtocol, Untrusted};
pub use crate::preread::trusted_networks::TrustedNetworks;
pub use crate::upstream::send_proxy::SendProxy;
