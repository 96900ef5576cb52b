//! Version 2: a fixed part, addresses, and TLVs.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::error::{HeaderError, HeaderErrorKind};
use super::header::{Addresses, Command, ProxyHeader, Version};
use super::prefix::{Unparsed, expect};
use super::tlv::Tlvs;

/// The first bytes of every version 2 header.
pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The length of the fixed part: signature, version and command, family and transport, length.
pub(super) const FIXED_LEN: usize = 16;

// The offsets of the fields behind the signature.
const VERSION_AND_COMMAND: usize = 12;
const FAMILY_AND_TRANSPORT: usize = 13;
const LENGTH: usize = 14;

pub(super) fn parse(stream: &[u8], limit: usize) -> Result<ProxyHeader<'_>, Unparsed> {
    let fixed = FixedPart::parse(stream)?;
    let len = FIXED_LEN + fixed.rest;
    if len > limit {
        let kind = HeaderErrorKind::TooLong { len, limit };
        return Err(HeaderError::new(LENGTH, kind).into());
    }
    if fixed.rest < fixed.block.len() {
        return Err(HeaderError::new(LENGTH, HeaderErrorKind::AddressesCutOff).into());
    }
    let Some(header) = stream.get(..len) else {
        return Err(Unparsed::Incomplete(len - stream.len()));
    };
    let tlvs = match fixed.block {
        AddressBlock::Ignored => Tlvs::default(),
        block => Tlvs::parse(header, FIXED_LEN + block.len())?,
    };
    Ok(ProxyHeader {
        version: Version::V2,
        command: fixed.command,
        addresses: fixed.block.addresses(&header[FIXED_LEN..]),
        len,
        tlvs,
    })
}

struct FixedPart {
    command: Command,
    block: AddressBlock,
    /// The announced length of addresses and TLVs.
    rest: usize,
}

impl FixedPart {
    fn parse(stream: &[u8]) -> Result<Self, Unparsed> {
        let incomplete = |stream: &[u8]| Unparsed::Incomplete(FIXED_LEN - stream.len());
        match expect(stream, 0, &SIGNATURE, HeaderErrorKind::NotAHeader) {
            Err(Unparsed::Incomplete(_)) => return Err(incomplete(stream)),
            other => other?,
        }
        let &byte = stream
            .get(VERSION_AND_COMMAND)
            .ok_or_else(|| incomplete(stream))?;
        let command = match byte {
            0x20 => Command::Local,
            0x21 => Command::Proxy,
            _ => {
                let kind = match byte >> 4 {
                    2 => HeaderErrorKind::Command,
                    _ => HeaderErrorKind::Version,
                };
                return Err(HeaderError::new(VERSION_AND_COMMAND, kind).into());
            }
        };
        let &byte = stream
            .get(FAMILY_AND_TRANSPORT)
            .ok_or_else(|| incomplete(stream))?;
        let block = match command {
            Command::Local => AddressBlock::Ignored,
            Command::Proxy => AddressBlock::parse(byte)
                .map_err(|kind| HeaderError::new(FAMILY_AND_TRANSPORT, kind))?,
        };
        match stream.get(LENGTH..FIXED_LEN) {
            Some(&[high, low]) => Ok(Self {
                command,
                block,
                rest: usize::from(u16::from_be_bytes([high, low])),
            }),
            _ => Err(incomplete(stream)),
        }
    }
}

/// The address block behind the fixed part.
#[derive(Clone, Copy)]
enum AddressBlock {
    /// Everything behind the fixed part is ignored.
    Ignored,
    /// Addresses of this length that describe no TCP connection over IP.
    Skipped(usize),
    Tcp4,
    Tcp6,
}

impl AddressBlock {
    fn parse(family_and_transport: u8) -> Result<Self, HeaderErrorKind> {
        let (family, transport) = (family_and_transport >> 4, family_and_transport & 0xf);
        match (family, transport) {
            (4.., _) => Err(HeaderErrorKind::Family),
            (_, 3..) => Err(HeaderErrorKind::Transport),
            (0, _) | (_, 0) => Ok(Self::Ignored),
            (1, 1) => Ok(Self::Tcp4),
            (2, 1) => Ok(Self::Tcp6),
            (1, _) => Ok(Self::Skipped(Self::Tcp4.len())),
            (2, _) => Ok(Self::Skipped(Self::Tcp6.len())),
            // AF_UNIX: two paths.
            (3, _) => Ok(Self::Skipped(2 * 108)),
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Ignored => 0,
            Self::Skipped(len) => len,
            Self::Tcp4 => 2 * (4 + 2),
            Self::Tcp6 => 2 * (16 + 2),
        }
    }

    /// Decodes the addresses at the beginning of `bytes`, which follow the fixed part.
    fn addresses(self, bytes: &[u8]) -> Option<Addresses> {
        match self {
            Self::Ignored | Self::Skipped(_) => None,
            Self::Tcp4 => ends::<4>(bytes, |ip, port| (Ipv4Addr::from(ip), port).into()),
            Self::Tcp6 => ends::<16>(bytes, |ip, port| (Ipv6Addr::from(ip), port).into()),
        }
    }
}

/// Decodes source and destination address, then source and destination port.
fn ends<const N: usize>(
    bytes: &[u8],
    end: impl Fn([u8; N], u16) -> SocketAddr,
) -> Option<Addresses> {
    let (&source, rest) = bytes.split_first_chunk::<N>()?;
    let (&destination, rest) = rest.split_first_chunk::<N>()?;
    let (&source_port, rest) = rest.split_first_chunk()?;
    let (&destination_port, _) = rest.split_first_chunk()?;
    Some(Addresses::new(
        end(source, u16::from_be_bytes(source_port)),
        end(destination, u16::from_be_bytes(destination_port)),
    ))
}
