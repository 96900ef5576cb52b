//! Parsing PROXY protocol headers, against the text of the specification.

use lb_proxy::first_bytes::ParseStatus;
use lb_proxy::proxy_protocol::{
    Addresses, Command, DEFAULT_LIMIT, HeaderError, HeaderErrorKind as Kind, ProxyHeader, Tlv,
    Version, write_v2,
};

use crate::split_at_every_byte;

/// Bytes of a client behind a header that look like a header.
const PAYLOAD: &[u8] = b"PROXY TCP4 \r\n\0";

/// A header of signature, version, command, family, transport, length, and the rest.
pub(crate) fn v2(version_and_command: u8, family_and_transport: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([version_and_command, family_and_transport]);
    header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend(rest);
    header
}

/// 192.0.2.1:56324 to 198.51.100.1:443.
pub(crate) const TCP4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];

/// A PROXY header over TCP/IPv4 with these TLVs.
fn with_tlvs(tlvs: &[u8]) -> Vec<u8> {
    v2(0x21, 0x11, &[&TCP4, tlvs].concat())
}

pub(crate) fn addresses(source: &str, destination: &str) -> Addresses {
    Addresses::new(source.parse().unwrap(), destination.parse().unwrap())
}

pub(crate) fn tcp4() -> Addresses {
    addresses("192.0.2.1:56324", "198.51.100.1:443")
}

#[track_caller]
pub(crate) fn parse(header: &[u8]) -> ProxyHeader<'_> {
    let parsed = ProxyHeader::parse(header, DEFAULT_LIMIT).unwrap();
    parsed.complete().expect("the header is complete")
}

/// Asserts that a header is read the same however it is split, and ends at the right byte.
#[track_caller]
fn accepted(header: &[u8], version: Version, command: Command, expected: Option<Addresses>) {
    let found = parse(header);
    assert_eq!(found.version, version);
    assert_eq!(found.command, command);
    assert_eq!(found.addresses, expected);
    split_at_every_byte(&[header, PAYLOAD].concat(), header.len(), &|bytes| {
        let header = ProxyHeader::parse(bytes, DEFAULT_LIMIT)?;
        Ok::<_, HeaderError>(match header {
            ParseStatus::Complete(header) => ParseStatus::Complete(header.len),
            ParseStatus::Incomplete { at_least } => ParseStatus::Incomplete { at_least },
        })
    });
}

/// Asserts that the first `seen` bytes of a header are refused and fewer are not, whatever follows.
#[track_caller]
fn refused(header: &[u8], seen: usize, offset: usize, kind: Kind) {
    for have in 0..seen {
        let parsed = ProxyHeader::parse(&header[..have], DEFAULT_LIMIT);
        assert!(
            matches!(parsed, Ok(ParseStatus::Incomplete { .. })),
            "{have} bytes: {parsed:?}"
        );
    }
    for have in seen..=header.len() {
        let error = ProxyHeader::parse(&header[..have], DEFAULT_LIMIT).unwrap_err();
        assert_eq!((error.offset, error.kind), (offset, kind), "{have} bytes");
    }
}

#[test]
fn version_1_headers_are_read() {
    let v6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    for (line, source, destination) in [
        (
            "TCP4 192.168.0.1 192.168.0.11 56324 443",
            "192.168.0.1:56324",
            "192.168.0.11:443",
        ),
        (
            "TCP4 255.255.255.255 255.255.255.255 65535 65535",
            "255.255.255.255:65535",
            "255.255.255.255:65535",
        ),
        ("TCP4 0.0.0.0 0.0.0.0 0 0", "0.0.0.0:0", "0.0.0.0:0"),
        ("TCP6 2001:DB8::1 ::1 1 22", "[2001:db8::1]:1", "[::1]:22"),
        (
            "TCP6 ::ffff:192.0.2.1 :: 1 2",
            "[::ffff:192.0.2.1]:1",
            "[::]:2",
        ),
        (
            &format!("TCP6 {v6} {v6} 65535 65535"),
            &format!("[{v6}]:65535"),
            &format!("[{v6}]:65535"),
        ),
    ] {
        let line = format!("PROXY {line}\r\n");
        let expected = addresses(source, destination);
        accepted(line.as_bytes(), Version::V1, Command::Proxy, Some(expected));
    }
}

#[test]
fn version_1_unknown_has_no_addresses() {
    let v6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!(" {v6} {v6} 65535 65535");
    for rest in ["", " ", " anything \0\x7f at all", &longest] {
        let line = format!("PROXY UNKNOWN{rest}\r\n");
        accepted(line.as_bytes(), Version::V1, Command::Proxy, None);
    }
    assert_eq!(longest.len() + 15, 107);
}

#[test]
fn version_1_is_refused_at_the_first_wrong_byte() {
    for (line, offset, kind) in [
        ("GET / HTTP/1.1", 0, Kind::NotAHeader),
        ("POST / HTTP/1.1", 1, Kind::NotAHeader),
        ("PROXYTCP4", 5, Kind::NotAHeader),
        ("PROXY  TCP4", 6, Kind::Protocol),
        ("PROXY TCP5 ", 9, Kind::Protocol),
        ("PROXY TCP4\t", 10, Kind::Protocol),
        ("PROXY UDP4 ", 7, Kind::Protocol),
        ("PROXY UNKNOWNS\r\n", 13, Kind::Protocol),
        ("PROXY UNKNOWN a\n", 15, Kind::LineEnd),
        ("PROXY UNKNOWN\rx", 14, Kind::LineEnd),
        ("PROXY TCP4 1.2.3.4\r\n", 18, Kind::Address),
        ("PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n", 19, Kind::Address),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", 11, Kind::Address),
        ("PROXY TCP4 127.000.000.0001 ", 26, Kind::Address),
        ("PROXY TCP6 fe80::1%eth0 ", 18, Kind::Address),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n", 27, Kind::Port),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 100000 2\r\n", 32, Kind::Port),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", 30, Kind::Port),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n", 31, Kind::LineEnd),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", 30, Kind::Port),
    ] {
        refused(line.as_bytes(), offset + 1, offset, kind);
    }
}

/// A field is checked at its end; the error has the offset of its beginning.
#[test]
fn version_1_fields_are_refused_at_their_ends() {
    for (line, offset, kind) in [
        ("PROXY TCP4 1.2.3.256 ", 11, Kind::Address),
        ("PROXY TCP4 01.2.3.4 ", 11, Kind::Address),
        ("PROXY TCP4 1.2.3 ", 11, Kind::Address),
        ("PROXY TCP4 1.2.3.4 1.2.3.4.5 ", 19, Kind::Address),
        ("PROXY TCP6 1.2.3.4 ", 11, Kind::Address),
        ("PROXY TCP6 1::2::3 ", 11, Kind::Address),
        ("PROXY TCP6 12345:: ", 11, Kind::Address),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 01 ", 27, Kind::Port),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 65536 ", 27, Kind::Port),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 \r", 29, Kind::Port),
    ] {
        refused(line.as_bytes(), line.len(), offset, kind);
    }
}

#[test]
fn version_1_has_at_most_107_bytes() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(long.len(), 108);
    refused(long.as_bytes(), 107, 107, Kind::LineTooLong);
    let zeros = format!("{}255.255.255.255", "0000:".repeat(6));
    let long = format!("PROXY TCP6 {zeros} {zeros} 65535 65535\r\n");
    refused(long.as_bytes(), 107, 107, Kind::LineTooLong);
}

#[test]
fn version_2_headers_are_read() {
    accepted(
        &v2(0x21, 0x11, &TCP4),
        Version::V2,
        Command::Proxy,
        Some(tcp4()),
    );
    let mut tcp6 = [0; 36];
    tcp6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    tcp6[31] = 1;
    tcp6[32..].copy_from_slice(&[0, 1, 0, 22]);
    let expected = addresses("[2001:db8::]:1", "[::1]:22");
    accepted(
        &v2(0x21, 0x21, &tcp6),
        Version::V2,
        Command::Proxy,
        Some(expected),
    );
}

#[test]
fn version_2_without_addresses_of_a_tcp_connection() {
    for (command, byte) in [(Command::Local, 0x20), (Command::Proxy, 0x21)] {
        // No bytes, junk, and bytes that look like a cut-off TLV.
        for rest in [&[] as &[u8], &[0; 12], &[1, 0xff, 0xff]] {
            for family_and_transport in [0x00, 0x01, 0x02, 0x10, 0x20, 0x30] {
                let header = v2(byte, family_and_transport, rest);
                accepted(&header, Version::V2, command, None);
                assert_eq!(parse(&header).tlvs().count(), 0);
            }
        }
    }
    // After the command LOCAL the receiver ignores everything, the family included.
    accepted(&v2(0x20, 0xff, &[]), Version::V2, Command::Local, None);
    // The addresses of datagrams and AF_UNIX are ignored, their TLVs are not.
    for (family_and_transport, len) in [(0x12, 12), (0x22, 36), (0x31, 216), (0x32, 216)] {
        let mut rest = vec![0xff; len];
        rest.extend([Tlv::UNIQUE_ID, 0, 2, 7, 8]);
        let header = v2(0x21, family_and_transport, &rest);
        accepted(&header, Version::V2, Command::Proxy, None);
        assert_eq!(parse(&header).unique_id(), Some(&[7, 8][..]));
    }
}

#[test]
fn version_2_is_refused_at_the_first_wrong_byte() {
    let good = v2(0x21, 0x11, &TCP4);
    for offset in 0..12 {
        let mut header = good.clone();
        header[offset] ^= 0x80;
        refused(&header, offset + 1, offset, Kind::NotAHeader);
    }
    refused(&v2(0x11, 0x11, &TCP4), 13, 12, Kind::Version);
    refused(&v2(0x22, 0x11, &TCP4), 13, 12, Kind::Command);
    refused(&v2(0x21, 0x41, &TCP4), 14, 13, Kind::Family);
    refused(&v2(0x21, 0x13, &TCP4), 14, 13, Kind::Transport);
}

#[test]
fn version_2_checks_its_length() {
    for (family_and_transport, len) in [(0x11, 12), (0x12, 12), (0x21, 36), (0x31, 216)] {
        let header = v2(0x21, family_and_transport, &vec![0; len - 1]);
        refused(&header, 16, 14, Kind::AddressesCutOff);
    }
    let long = v2(0x20, 0, &[0; DEFAULT_LIMIT - 15]);
    let (len, limit) = (DEFAULT_LIMIT + 1, DEFAULT_LIMIT);
    refused(&long, 16, 14, Kind::TooLong { len, limit });
    let longest = v2(0x20, 0, &[0; DEFAULT_LIMIT - 16]);
    accepted(&longest, Version::V2, Command::Local, None);
}

#[test]
fn the_longest_possible_header_is_read() {
    let longest = v2(0x20, 0, &[0xff; 65535]);
    let header = ProxyHeader::parse(&longest, longest.len()).unwrap();
    assert_eq!(header.complete().unwrap().len, 65551);
}

#[test]
fn tlvs_are_read_in_their_order() {
    let ssl = [
        &[0b101_u8, 0, 0, 0, 0] as &[u8],
        &[Tlv::SSL_VERSION, 0, 7],
        b"TLSv1.3",
        &[Tlv::SSL_CN, 0, 6],
        b"client",
    ]
    .concat();
    let sent = [
        Tlv::new(Tlv::ALPN, b"h2"),
        Tlv::new(Tlv::AUTHORITY, "bücher.example".as_bytes()),
        Tlv::new(Tlv::NOOP, b""),
        Tlv::new(Tlv::UNIQUE_ID, &[0xff; 128]),
        Tlv::new(Tlv::SSL, &ssl),
        Tlv::new(Tlv::NETNS, b"blue"),
        Tlv::new(0xee, b"first"),
        Tlv::new(0xee, b"second"),
    ];
    let mut bytes = Vec::new();
    write_v2(Some(tcp4()), sent, false, &mut bytes).unwrap();
    accepted(&bytes, Version::V2, Command::Proxy, Some(tcp4()));
    let header = parse(&bytes);
    assert_eq!(header.tlvs().collect::<Vec<_>>(), sent);
    assert_eq!(header.alpn(), Some(&b"h2"[..]));
    assert_eq!(header.authority(), Some("bücher.example"));
    assert_eq!(header.unique_id(), Some(&[0xff; 128][..]));
    assert_eq!(header.netns(), Some("blue"));
    assert_eq!(header.tlv(0xee), Some(&b"first"[..]));
    assert_eq!(header.tlv(0xef), None);
    let ssl = header.ssl().unwrap();
    assert!(ssl.is_tls() && ssl.is_verified() && ssl.has_session_certificate());
    assert!(!ssl.has_certificate());
    assert_eq!(ssl.text(Tlv::SSL_VERSION), Some("TLSv1.3"));
    assert_eq!(ssl.text(Tlv::SSL_CN), Some("client"));
    assert_eq!(ssl.text(Tlv::SSL_CIPHER), None);
    assert_eq!(ssl.tlvs().count(), 2);
}

#[test]
fn a_certificate_is_verified_only_if_there_is_one() {
    for (client, verify, verified) in [(1, 0, false), (3, 0, true), (5, 0, true), (3, 1, false)] {
        let bytes = with_tlvs(&[Tlv::SSL, 0, 5, client, 0, 0, 0, verify]);
        assert_eq!(parse(&bytes).ssl().unwrap().is_verified(), verified);
    }
}

#[test]
fn values_that_are_no_text_are_none() {
    let bytes = with_tlvs(&[Tlv::AUTHORITY, 0, 1, 0xff, Tlv::NETNS, 0, 2, 0xc3, 0xbc]);
    let header = parse(&bytes);
    assert_eq!((header.authority(), header.netns()), (None, None));
    assert_eq!(header.tlv(Tlv::AUTHORITY), Some(&[0xff][..]));
}

#[test]
fn tlvs_end_with_the_header() {
    for (tlvs, offset, kind) in [
        (&[Tlv::NOOP] as &[u8], 28, Kind::TlvCutOff),
        (&[Tlv::NOOP, 0], 28, Kind::TlvCutOff),
        (&[Tlv::NOOP, 0, 1], 28, Kind::TlvCutOff),
        (
            &[Tlv::NOOP, 0, 0, Tlv::ALPN, 0xff, 0xff, 0],
            31,
            Kind::TlvCutOff,
        ),
        (&[Tlv::SSL, 0, 4, 0, 0, 0, 0], 31, Kind::Ssl),
        (&[Tlv::SSL, 0, 6, 0, 0, 0, 0, 0, 1], 36, Kind::TlvCutOff),
        (
            &[Tlv::SSL, 0, 8, 0, 0, 0, 0, 0, Tlv::SSL_CN, 0, 1, 0],
            36,
            Kind::TlvCutOff,
        ),
        (&[Tlv::CRC32C, 0, 0], 31, Kind::Checksum),
        (&[Tlv::CRC32C, 0, 4, 1, 2, 3, 4], 31, Kind::Checksum),
        (
            &[&[Tlv::UNIQUE_ID, 0, 129] as &[u8], &[0; 129]].concat(),
            31,
            Kind::UniqueId,
        ),
    ] {
        let header = with_tlvs(tlvs);
        refused(&header, header.len(), offset, kind);
    }
}

#[test]
fn checksums_are_checked() {
    let mut good = Vec::new();
    write_v2(Some(tcp4()), [Tlv::new(Tlv::ALPN, b"h2")], true, &mut good).unwrap();
    accepted(&good, Version::V2, Command::Proxy, Some(tcp4()));
    // Flips one bit that only the checksum protects.
    for at in (16..28).chain([31, 32]) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        refused(&bad, bad.len(), bad.len() - 4, Kind::Checksum);
    }
    // Two checksums would have to cover each other.
    let twice = [&good[28..], &good[33..]].concat();
    let error = ProxyHeader::parse(&with_tlvs(&twice), DEFAULT_LIMIT).unwrap_err();
    assert_eq!(error.kind, Kind::Checksum);
}
