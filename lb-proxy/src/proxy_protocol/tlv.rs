//! TLVs: the extensions of a version 2 header.

use std::iter::FusedIterator;

use super::crc32c::crc32c;
use super::error::{HeaderError, HeaderErrorKind};

/// The length of the longest unique ID.
const MAX_UNIQUE_ID: usize = 128;

/// A type and a value.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tlv<'a> {
    /// The type. 0xE0 to 0xEF are reserved for private use.
    pub kind: u8,
    /// The value. Its format depends on the type.
    pub value: &'a [u8],
}

/// The registered types.
impl Tlv<'_> {
    /// The negotiated application protocol.
    pub const ALPN: u8 = 0x01;
    /// The host name that the client requested, UTF-8.
    pub const AUTHORITY: u8 = 0x02;
    /// A checksum of the header.
    pub const CRC32C: u8 = 0x03;
    /// Padding.
    pub const NOOP: u8 = 0x04;
    /// Up to 128 bytes that identify the connection.
    pub const UNIQUE_ID: u8 = 0x05;
    /// The client's TLS, see [`Ssl`].
    pub const SSL: u8 = 0x20;
    /// Inside [`SSL`](Self::SSL): the version of TLS, ASCII.
    pub const SSL_VERSION: u8 = 0x21;
    /// Inside [`SSL`](Self::SSL): the common name of the client's certificate, UTF-8.
    pub const SSL_CN: u8 = 0x22;
    /// Inside [`SSL`](Self::SSL): the cipher, ASCII.
    pub const SSL_CIPHER: u8 = 0x23;
    /// Inside [`SSL`](Self::SSL): the algorithm that signed the proxy's certificate, ASCII.
    pub const SSL_SIG_ALG: u8 = 0x24;
    /// Inside [`SSL`](Self::SSL): the algorithm of the key of the proxy's certificate, ASCII.
    pub const SSL_KEY_ALG: u8 = 0x25;
    /// The name of a network namespace, ASCII.
    pub const NETNS: u8 = 0x30;
}

impl<'a> Tlv<'a> {
    /// A TLV to send.
    pub fn new(kind: u8, value: &'a [u8]) -> Self {
        Self { kind, value }
    }

    /// Splits the first TLV off. `None` if it does not end within `bytes`.
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[kind, high, low], rest) = bytes.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = rest.split_at_checked(len)?;
        Some((Self { kind, value }, rest))
    }
}

/// Iterates over TLVs. Their lengths have been checked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tlvs<'a> {
    rest: &'a [u8],
}

impl<'a> Tlvs<'a> {
    /// Checks the TLVs from `start` to the end of `header`: lengths, the values of registered types, the checksum.
    pub(super) fn parse(header: &'a [u8], start: usize) -> Result<Self, HeaderError> {
        let tlvs = &header[start..];
        let mut checked = false;
        walk(tlvs, start, |tlv, value_at| {
            let error = match tlv.kind {
                Tlv::CRC32C => {
                    let wrong = checked || !checksum_matches(header, value_at, tlv.value);
                    checked = true;
                    wrong.then_some(HeaderErrorKind::Checksum)
                }
                Tlv::SSL => match tlv.value.get(Ssl::FIXED_LEN..) {
                    Some(inner) => return walk(inner, value_at + Ssl::FIXED_LEN, |_, _| Ok(())),
                    None => Some(HeaderErrorKind::Ssl),
                },
                Tlv::UNIQUE_ID if tlv.value.len() > MAX_UNIQUE_ID => {
                    Some(HeaderErrorKind::UniqueId)
                }
                _ => None,
            };
            error.map_or(Ok(()), |kind| Err(HeaderError::new(value_at, kind)))
        })?;
        Ok(Self { rest: tlvs })
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Tlv<'a>;

    fn next(&mut self) -> Option<Tlv<'a>> {
        let (tlv, rest) = Tlv::split(self.rest)?;
        self.rest = rest;
        Some(tlv)
    }
}

impl FusedIterator for Tlvs<'_> {}

/// `pp2_tlv_ssl`: the client's use of TLS with a proxy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ssl<'a> {
    client: u8,
    verify: u32,
    tlvs: Tlvs<'a>,
}

impl<'a> Ssl<'a> {
    /// The length of the fields before the inner TLVs.
    const FIXED_LEN: usize = 5;

    pub(super) fn parse(value: &'a [u8]) -> Option<Self> {
        let (&[client, verify @ ..], rest) = value.split_first_chunk::<{ Ssl::FIXED_LEN }>()?;
        Some(Self {
            client,
            verify: u32::from_be_bytes(verify),
            tlvs: Tlvs { rest },
        })
    }

    /// `PP2_CLIENT_SSL`: the client connected over TLS.
    pub fn is_tls(&self) -> bool {
        self.client & 0x01 != 0
    }

    /// `PP2_CLIENT_CERT_CONN`: the client presented a certificate on this connection.
    pub fn has_certificate(&self) -> bool {
        self.client & 0x02 != 0
    }

    /// `PP2_CLIENT_CERT_SESS`: the client presented a certificate at least once in this TLS session.
    pub fn has_session_certificate(&self) -> bool {
        self.client & 0x04 != 0
    }

    /// The field `verify`: zero if the client presented a certificate that was verified, or none at all.
    pub fn verify(&self) -> u32 {
        self.verify
    }

    /// `verify` is zero, and the client presented a certificate.
    ///
    /// The field alone is also zero without a certificate, so the two certificate flags are checked as well.
    pub fn is_verified(&self) -> bool {
        self.verify == 0 && (self.has_certificate() || self.has_session_certificate())
    }

    /// The inner TLVs, such as [`Tlv::SSL_VERSION`].
    pub fn tlvs(&self) -> Tlvs<'a> {
        self.tlvs
    }

    /// The value of the first inner TLV of type `kind`. `None` if it is not UTF-8, as all registered ones are.
    pub fn text(&self, kind: u8) -> Option<&'a str> {
        let tlv = self.tlvs().find(|tlv| tlv.kind == kind)?;
        str::from_utf8(tlv.value).ok()
    }
}

/// Calls `visit` for each TLV with the offset of its value. The TLVs must fill `bytes` exactly.
fn walk<'a>(
    bytes: &'a [u8],
    start: usize,
    mut visit: impl FnMut(Tlv<'a>, usize) -> Result<(), HeaderError>,
) -> Result<(), HeaderError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = start + bytes.len() - rest.len();
        let cut_off = HeaderError::new(at, HeaderErrorKind::TlvCutOff);
        let (tlv, next) = Tlv::split(rest).ok_or(cut_off)?;
        visit(tlv, at + 3)?;
        rest = next;
    }
    Ok(())
}

/// Whether `value` is the checksum of the header, computed with zeros in place of the value.
fn checksum_matches(header: &[u8], value_at: usize, value: &[u8]) -> bool {
    let Ok(value) = <[u8; 4]>::try_from(value) else {
        return false;
    };
    let parts = [&header[..value_at], &[0; 4], &header[value_at + 4..]];
    crc32c(parts) == u32::from_be_bytes(value)
}
