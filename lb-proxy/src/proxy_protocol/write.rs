//! Headers to send.

use std::fmt;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::crc32c::crc32c;
use super::error::{HeaderError, HeaderErrorKind};
use super::header::Addresses;
use super::tlv::{Tlv, Tlvs};
use super::v2::{FIXED, SIGNATURE};

/// The longest header that version 2 can express.
const MAX_LEN: usize = FIXED + u16::MAX as usize;

/// Appends a version 1 header, which has to be sent by one write.
///
/// Without addresses it is `PROXY UNKNOWN`, which some receivers reject: for a health check give the addresses of the
/// connection itself, as the specification recommends.
///
/// IPv4 addresses in IPv6 clothes, as a dual-stack socket gives them, are written as IPv4; where one end alone is IPv4
/// it is written as the IPv6 address that maps it, which is what HAProxy does.
pub fn write_v1(addresses: Option<Addresses>, out: &mut Vec<u8>) {
    let written = match addresses.map(SameFamily::from) {
        None => out.write_all(b"PROXY UNKNOWN\r\n"),
        Some(SameFamily::V4(ips, ports)) => {
            let [source, destination] = ips;
            write!(
                out,
                "PROXY TCP4 {source} {destination} {} {}\r\n",
                ports[0], ports[1]
            )
        }
        Some(SameFamily::V6(ips, ports)) => {
            let [source, destination] = ips.map(Groups);
            write!(
                out,
                "PROXY TCP6 {source} {destination} {} {}\r\n",
                ports[0], ports[1]
            )
        }
    };
    written.expect("a Vec takes every byte");
}

/// Appends a version 2 header, which has to be sent by one write.
///
/// Without addresses its command is `LOCAL`: the connection is the sender's own, as that of a health check. Families
/// that differ are treated as by [`write_v1`]. To pass on what was received, give [`ProxyHeader::tlvs`]; a checksum
/// among them is left out, as it belongs to the other header, and `checksum` asks for a new one.
///
/// [`ProxyHeader::tlvs`]: super::ProxyHeader::tlvs
///
/// # Errors
///
/// The TLVs make the header longer than 65551 bytes, or have a value that their type does not allow. `out` is then as
/// it was.
pub fn write_v2<'a>(
    addresses: Option<Addresses>,
    tlvs: impl IntoIterator<Item = Tlv<'a>>,
    checksum: bool,
    out: &mut Vec<u8>,
) -> Result<(), HeaderError> {
    let start = out.len();
    let written = append_v2(addresses, tlvs, checksum, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn append_v2<'a>(
    addresses: Option<Addresses>,
    tlvs: impl IntoIterator<Item = Tlv<'a>>,
    checksum: bool,
    out: &mut Vec<u8>,
) -> Result<(), HeaderError> {
    let start = out.len();
    out.extend_from_slice(&SIGNATURE);
    match addresses.map(SameFamily::from) {
        None => out.extend_from_slice(&[0x20, 0x00, 0, 0]),
        Some(SameFamily::V4(ips, ports)) => {
            out.extend_from_slice(&[0x21, 0x11, 0, 0]);
            append_ends(ips.map(|ip| ip.octets()), ports, out);
        }
        Some(SameFamily::V6(ips, ports)) => {
            out.extend_from_slice(&[0x21, 0x21, 0, 0]);
            append_ends(ips.map(|ip| ip.octets()), ports, out);
        }
    }
    let tlvs_at = out.len() - start;
    let passed = tlvs.into_iter().filter(|tlv| tlv.kind != Tlv::CRC32C);
    for tlv in passed {
        append_tlv(tlv, start, out)?;
    }
    if checksum {
        append_tlv(Tlv::new(Tlv::CRC32C, &[0; 4]), start, out)?;
    }
    let header = &mut out[start..];
    let rest = u16::try_from(header.len() - FIXED).expect("`append_tlv` keeps to `MAX_LEN`");
    header[FIXED - 2..FIXED].copy_from_slice(&rest.to_be_bytes());
    if checksum {
        let crc = crc32c([&*header]);
        let value_at = header.len() - 4;
        header[value_at..].copy_from_slice(&crc.to_be_bytes());
    }
    Tlvs::parse(header, tlvs_at).map(drop)
}

fn append_tlv(tlv: Tlv<'_>, start: usize, out: &mut Vec<u8>) -> Result<(), HeaderError> {
    let offset = out.len() - start;
    let len = offset + 3 + tlv.value.len();
    if len > MAX_LEN {
        let limit = MAX_LEN;
        return Err(HeaderError::new(
            offset,
            HeaderErrorKind::TooLong { len, limit },
        ));
    }
    let value_len = u16::try_from(tlv.value.len()).expect("a part of `MAX_LEN`");
    out.push(tlv.kind);
    out.extend_from_slice(&value_len.to_be_bytes());
    out.extend_from_slice(tlv.value);
    Ok(())
}

fn append_ends<const N: usize>(ips: [[u8; N]; 2], ports: [u16; 2], out: &mut Vec<u8>) {
    out.extend_from_slice(ips.as_flattened());
    out.extend_from_slice(ports.map(u16::to_be_bytes).as_flattened());
}

/// Source and destination in one address family.
enum SameFamily {
    V4([Ipv4Addr; 2], [u16; 2]),
    V6([Ipv6Addr; 2], [u16; 2]),
}

impl From<Addresses> for SameFamily {
    fn from(addresses: Addresses) -> Self {
        let ends = [addresses.source, addresses.destination];
        let ports = ends.map(|end| end.port());
        match ends.map(|end| end.ip().to_canonical()) {
            [IpAddr::V4(source), IpAddr::V4(destination)] => Self::V4([source, destination], ports),
            mixed => Self::V6(mixed.map(to_v6), ports),
        }
    }
}

fn to_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// An IPv6 address in groups of hexadecimal digits alone: the specification has no other form.
struct Groups(Ipv6Addr);

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.to_ipv4_mapped(), self.0.segments()) {
            (Some(_), [.., high, low]) => write!(f, "::ffff:{high:x}:{low:x}"),
            _ => self.0.fmt(f),
        }
    }
}
