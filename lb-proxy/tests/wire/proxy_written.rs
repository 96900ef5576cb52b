//! Writing PROXY protocol headers.

use std::net::SocketAddr;

use lb_proxy::proxy_protocol::{HeaderErrorKind as Kind, Tlv, write_v1, write_v2};

use crate::proxy_header::{TCP4, addresses, parse, tcp4, v2};

#[test]
fn version_1_headers_are_written() {
    for (source, destination, line) in [
        (
            "192.0.2.1:1",
            "192.0.2.2:65535",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 65535\r\n",
        ),
        (
            "[2001:db8::1]:1",
            "[::1]:2",
            "PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
        ),
        (
            "[::ffff:192.0.2.1]:1",
            "[::ffff:192.0.2.2]:2",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        ),
        (
            "192.0.2.1:1",
            "[2001:db8::1]:2",
            "PROXY TCP6 ::ffff:c000:201 2001:db8::1 1 2\r\n",
        ),
        (
            "[2001:db8::1]:2",
            "192.0.2.1:1",
            "PROXY TCP6 2001:db8::1 ::ffff:c000:201 2 1\r\n",
        ),
    ] {
        let mut line_written = b"before".to_vec();
        write_v1(Some(addresses(source, destination)), &mut line_written);
        assert_eq!(line_written, [b"before", line.as_bytes()].concat());
    }
    let mut unknown = Vec::new();
    write_v1(None, &mut unknown);
    assert_eq!(unknown, b"PROXY UNKNOWN\r\n");
}

#[test]
fn version_2_headers_are_written() {
    let mut bytes = b"before".to_vec();
    write_v2(Some(tcp4()), [], false, &mut bytes).unwrap();
    assert_eq!(bytes, [b"before".to_vec(), v2(0x21, 0x11, &TCP4)].concat());
    bytes.clear();
    write_v2(None, [], false, &mut bytes).unwrap();
    assert_eq!(bytes, v2(0x20, 0, &[]));
    bytes.clear();
    let mixed = addresses("192.0.2.1:1", "[2001:db8::1]:2");
    write_v2(Some(mixed), [], false, &mut bytes).unwrap();
    let source: SocketAddr = "[::ffff:192.0.2.1]:1".parse().unwrap();
    assert_eq!(parse(&bytes).addresses.unwrap().source, source);
}

/// A forwarded header has another length and so a new checksum.
#[test]
fn forwarded_tlvs_get_a_new_checksum() {
    let mut received = Vec::new();
    write_v2(Some(tcp4()), [Tlv::new(0xe0, b"kept")], true, &mut received).unwrap();
    let header = parse(&received);
    for checksum in [false, true] {
        let mut sent = Vec::new();
        let added = [Tlv::new(Tlv::AUTHORITY, b"example.com")];
        write_v2(
            header.addresses,
            header.tlvs().chain(added),
            checksum,
            &mut sent,
        )
        .unwrap();
        let passed = parse(&sent);
        let mut kinds = vec![0xe0, Tlv::AUTHORITY];
        kinds.extend(checksum.then_some(Tlv::CRC32C));
        assert_eq!(passed.tlvs().map(|tlv| tlv.kind).collect::<Vec<_>>(), kinds);
        assert_eq!(passed.tlv(0xe0), Some(&b"kept"[..]));
    }
}

#[test]
fn headers_that_cannot_be_written_are_errors() {
    let mut out = b"before".to_vec();
    let large = [0; 65536];
    for (tlv, kind) in [
        (Tlv::new(Tlv::UNIQUE_ID, &large[..129]), Kind::UniqueId),
        (Tlv::new(Tlv::SSL, b""), Kind::Ssl),
        (
            Tlv::new(Tlv::NOOP, &large[..65521]),
            Kind::TooLong {
                len: 65552,
                limit: 65551,
            },
        ),
        (
            Tlv::new(Tlv::NOOP, &large),
            Kind::TooLong {
                len: 65567,
                limit: 65551,
            },
        ),
    ] {
        let error = write_v2(Some(tcp4()), [tlv], false, &mut out).unwrap_err();
        assert_eq!(error.kind, kind);
        assert_eq!(out, b"before");
    }
    write_v2(
        Some(tcp4()),
        [Tlv::new(Tlv::NOOP, &large[..65520])],
        false,
        &mut out,
    )
    .unwrap();
    assert_eq!(out.len(), 6 + 65551);
}
