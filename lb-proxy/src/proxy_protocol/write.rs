//! Writes headers.

use std::fmt;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::crc32c::crc32c;
use super::error::{HeaderError, HeaderErrorKind};
use super::header::{Addresses, Version};
use super::tlv::{Tlv, Tlvs};
use super::v2::{FIXED_LEN, SIGNATURE};

/// The length of the longest header that version 2 can express.
const MAX_LEN: usize = FIXED_LEN + u16::MAX as usize;

/// Appends a version 1 header to `out`. The caller must send it by one write.
///
/// Without addresses the header is `PROXY UNKNOWN`, which some receivers reject. For a health check pass the addresses
/// of the connection itself, as the specification recommends.
///
/// IPv4-mapped IPv6 addresses, which a dual-stack socket returns, are written as IPv4. If only one end is IPv4, it is
/// written as an IPv4-mapped IPv6 address, as HAProxy does.
pub fn write_v1(addresses: Option<Addresses>, out: &mut Vec<u8>) {
    write_v1_with(addresses, MappedAddresses::AsIpv4, out);
}

/// The same with another treatment of mapped addresses.
pub(crate) fn write_v1_with(
    addresses: Option<Addresses>,
    mapped: MappedAddresses,
    out: &mut Vec<u8>,
) {
    let same_family = addresses.map(|addresses| SameFamily::of(addresses, Version::V1, mapped));
    let written = match same_family {
        None => out.write_all(b"PROXY UNKNOWN\r\n"),
        Some(SameFamily::V4(ips, ports)) => {
            let [source, destination] = ips;
            write!(
                out,
                "PROXY TCP4 {source} {destination} {} {}\r\n",
                ports[0], ports[1]
            )
        }
        Some(SameFamily::Mapped([source, destination], ports)) => write!(
            out,
            "PROXY TCP6 {source} {destination} {} {}\r\n",
            ports[0], ports[1]
        ),
        Some(SameFamily::V6(ips, ports)) => {
            let [source, destination] = ips.map(Groups);
            write!(
                out,
                "PROXY TCP6 {source} {destination} {} {}\r\n",
                ports[0], ports[1]
            )
        }
    };
    written.expect("writing to a Vec never fails");
}

/// Appends a version 2 header to `out`. The caller must send it by one write.
///
/// Without addresses the command is `LOCAL`: the connection is the sender's own, a health check for example. Ends of
/// different families are written as by [`write_v1`]. To forward received TLVs, pass [`ProxyHeader::tlvs`]. A CRC32C
/// among them is dropped, because it belongs to the received header; with `checksum` a new one is computed.
///
/// [`ProxyHeader::tlvs`]: super::ProxyHeader::tlvs
///
/// # Errors
///
/// The header would be longer than 65551 bytes, or a TLV has a value that its type does not allow. `out` is unchanged
/// then.
pub fn write_v2<'a>(
    addresses: Option<Addresses>,
    tlvs: impl IntoIterator<Item = Tlv<'a>>,
    checksum: bool,
    out: &mut Vec<u8>,
) -> Result<(), HeaderError> {
    write_v2_with(addresses, MappedAddresses::AsIpv4, tlvs, checksum, out)
}

/// The same with another treatment of mapped addresses.
pub(crate) fn write_v2_with<'a>(
    addresses: Option<Addresses>,
    mapped: MappedAddresses,
    tlvs: impl IntoIterator<Item = Tlv<'a>>,
    checksum: bool,
    out: &mut Vec<u8>,
) -> Result<(), HeaderError> {
    let start = out.len();
    let same_family = addresses.map(|addresses| SameFamily::of(addresses, Version::V2, mapped));
    let written = append_v2(same_family, tlvs, checksum, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn append_v2<'a>(
    addresses: Option<SameFamily>,
    tlvs: impl IntoIterator<Item = Tlv<'a>>,
    checksum: bool,
    out: &mut Vec<u8>,
) -> Result<(), HeaderError> {
    let start = out.len();
    out.extend_from_slice(&SIGNATURE);
    match addresses {
        None => out.extend_from_slice(&[0x20, 0x00, 0, 0]),
        Some(SameFamily::V4(ips, ports)) => {
            out.extend_from_slice(&[0x21, 0x11, 0, 0]);
            append_ends(ips.map(|ip| ip.octets()), ports, out);
        }
        Some(SameFamily::V6(ips, ports) | SameFamily::Mapped(ips, ports)) => {
            out.extend_from_slice(&[0x21, 0x21, 0, 0]);
            append_ends(ips.map(|ip| ip.octets()), ports, out);
        }
    }
    let tlvs_at = out.len() - start;
    let forwarded = tlvs.into_iter().filter(|tlv| tlv.kind != Tlv::CRC32C);
    for tlv in forwarded {
        append_tlv(tlv, start, out)?;
    }
    if checksum {
        append_tlv(Tlv::new(Tlv::CRC32C, &[0; 4]), start, out)?;
    }
    let header = &mut out[start..];
    let rest = u16::try_from(header.len() - FIXED_LEN).expect("`append_tlv` enforces `MAX_LEN`");
    header[FIXED_LEN - 2..FIXED_LEN].copy_from_slice(&rest.to_be_bytes());
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
    let value_len = u16::try_from(tlv.value.len()).expect("less than `MAX_LEN`");
    out.push(tlv.kind);
    out.extend_from_slice(&value_len.to_be_bytes());
    out.extend_from_slice(tlv.value);
    Ok(())
}

fn append_ends<const N: usize>(ips: [[u8; N]; 2], ports: [u16; 2], out: &mut Vec<u8>) {
    out.extend_from_slice(ips.as_flattened());
    out.extend_from_slice(ports.map(u16::to_be_bytes).as_flattened());
}

/// What becomes of IPv4-mapped IPv6 addresses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum MappedAddresses {
    /// They are IPv4.
    #[default]
    AsIpv4,
    /// As in nginx: two of them stay IPv6 in version 1, one of them makes both ends IPv6 in version 2.
    AsNginx,
}

/// Source and destination converted to one address family.
enum SameFamily {
    V4([Ipv4Addr; 2], [u16; 2]),
    V6([Ipv6Addr; 2], [u16; 2]),
    /// IPv6, with mapped addresses in their dotted form.
    Mapped([Ipv6Addr; 2], [u16; 2]),
}

impl SameFamily {
    fn of(addresses: Addresses, version: Version, mapped: MappedAddresses) -> Self {
        let ends = [addresses.source, addresses.destination];
        let ports = ends.map(|end| end.port());
        if mapped == MappedAddresses::AsNginx {
            match (version, ends.map(|end| end.ip())) {
                (Version::V1, [IpAddr::V6(source), IpAddr::V6(destination)]) => {
                    return Self::Mapped([source, destination], ports);
                }
                (Version::V2, mixed) if mixed[0].is_ipv4() != mixed[1].is_ipv4() => {
                    return Self::V6(mixed.map(to_v6), ports);
                }
                _ => {}
            }
        }
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

/// Displays an IPv6 address in hexadecimal groups only: the specification allows no dotted form.
struct Groups(Ipv6Addr);

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.to_ipv4_mapped(), self.0.segments()) {
            (Some(_), [.., high, low]) => write!(f, "::ffff:{high:x}:{low:x}"),
            _ => self.0.fmt(f),
        }
    }
}
