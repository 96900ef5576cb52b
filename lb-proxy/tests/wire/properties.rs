//! Parsers against arbitrary bytes and against our own writers.

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};

use lb_proxy::client_hello::ClientHello;
use lb_proxy::first_bytes::ParseStatus;
use lb_proxy::proxy_protocol::{
    Addresses, Command, DEFAULT_LIMIT, ProxyHeader, Tlv, Version, write_v1, write_v2,
};
use proptest::prelude::*;

use crate::client_hello::{RECORDED, hello, server_name};

/// Arbitrary bytes behind a valid beginning, so that they reach deep into the parser.
fn stream(beginnings: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let cut = (
        prop::sample::select(beginnings),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(beginning, index)| beginning[..index.index(beginning.len() + 1)].to_vec());
    (cut, prop::collection::vec(any::<u8>(), 0..300))
        .prop_map(|(beginning, rest)| [beginning, rest].concat())
}

/// Asserts that a parser never changes a decision and always requests at least one byte.
fn consistent<'a, T: PartialEq + Debug, E: PartialEq + Debug>(
    stream: &'a [u8],
    parse: impl Fn(&'a [u8]) -> Result<ParseStatus<T>, E>,
) -> Result<(), TestCaseError> {
    let whole = parse(stream);
    for have in 0..stream.len() {
        match parse(&stream[..have]) {
            Ok(ParseStatus::Incomplete { at_least }) => {
                prop_assert!(at_least > 0);
                let early = parse(&stream[..stream.len().min(have + at_least - 1)]);
                prop_assert!(!matches!(early, Ok(ParseStatus::Complete(_))));
            }
            decided => prop_assert_eq!(&decided, &whole),
        }
    }
    Ok(())
}

fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

fn addresses() -> impl Strategy<Value = Addresses> {
    (address(), address()).prop_map(|(source, destination)| Addresses::new(source, destination))
}

/// The addresses that are written for `addresses`: both of one family.
fn same_family(addresses: Addresses) -> Addresses {
    let ends = [addresses.source, addresses.destination];
    let all_v4 = ends.iter().all(|end| end.ip().to_canonical().is_ipv4());
    let [source, destination] = ends.map(|end| match end.ip().to_canonical() {
        IpAddr::V4(ip) if !all_v4 => SocketAddr::new(ip.to_ipv6_mapped().into(), end.port()),
        ip => SocketAddr::new(ip, end.port()),
    });
    Addresses::new(source, destination)
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_break_the_header_parser(stream in stream(vec![
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec(),
        b"PROXY TCP6 1:2::3 ::5.6.7.8 1 2\r\n".to_vec(),
        b"PROXY UNKNOWN \r\n".to_vec(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x17\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\x01\x02".to_vec(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\x20\0\x08\0\0\0\0\0\x21\0\0".to_vec(),
    ])) {
        consistent(&stream, |bytes| ProxyHeader::parse(bytes, DEFAULT_LIMIT))?;
    }

    #[test]
    fn arbitrary_bytes_never_break_the_hello_parser(stream in stream(
        RECORDED.iter().map(|(_, stream)| stream.to_vec()).chain([hello(&[&server_name(b"a")])]).collect()
    )) {
        let limit = 2000;
        consistent(&stream, |bytes| {
            let parsed = ClientHello::parse(bytes, limit);
            if let Ok(ParseStatus::Complete(hello)) = &parsed {
                hello.server_name();
                hello.alpn().count();
            }
            parsed
        })?;
    }

    #[test]
    fn a_written_version_1_header_is_read_back(addresses in addresses()) {
        let mut line = Vec::new();
        write_v1(Some(addresses), &mut line);
        let header = ProxyHeader::parse(&line, DEFAULT_LIMIT).unwrap().complete().unwrap();
        prop_assert_eq!(header.addresses, Some(same_family(addresses)));
        prop_assert_eq!((header.version, header.len), (Version::V1, line.len()));
    }

    #[test]
    fn a_written_version_2_header_is_read_back(
        addresses in prop::option::of(addresses()),
        // SSL and the checksum have formats of their own.
        tlvs in prop::collection::vec((0x30..=0xff_u8, prop::collection::vec(any::<u8>(), 0..40)), 0..5),
        checksum: bool,
    ) {
        let tlvs = tlvs.iter().map(|(kind, value)| Tlv::new(*kind, value));
        let mut bytes = Vec::new();
        write_v2(addresses, tlvs.clone(), checksum, &mut bytes).unwrap();
        let header = ProxyHeader::parse(&bytes, DEFAULT_LIMIT).unwrap().complete().unwrap();
        prop_assert_eq!(header.addresses, addresses.map(same_family));
        prop_assert_eq!((header.version, header.len), (Version::V2, bytes.len()));
        let local = addresses.is_none();
        prop_assert_eq!(header.command, if local { Command::Local } else { Command::Proxy });
        // A receiver ignores the TLVs of a LOCAL header.
        let expected = tlvs.filter(|_| !local).collect::<Vec<_>>();
        let found = header.tlvs().filter(|tlv| tlv.kind != Tlv::CRC32C).collect::<Vec<_>>();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(header.tlv(Tlv::CRC32C).is_some(), checksum && !local);
    }
}
