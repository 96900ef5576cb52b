//! Recordings of real clients, whole and split at every byte.

use lb_proxy::client_hello::{ClientHello, ClientHelloError as Error, DEFAULT_LIMIT, TlsVersion};
use lb_proxy::first_bytes::ParseStatus;

use super::{RECORDED, alpn, in_records, message, parse, recorded};
use crate::split_at_every_byte;

#[test]
fn the_hellos_of_real_clients_are_read() {
    let many = (0..40).map(|number| format!("protocol-number-{number}"));
    let many = many.collect::<Vec<_>>();
    let web = ["h2".to_owned(), "http/1.1".to_owned()];
    let example = Some("www.example.com");
    for (name, host, protocols, version) in [
        ("tls13", example, &web[..], TlsVersion::TLS1_3),
        ("tls12", Some("WWW.Example.COM"), &[], TlsVersion::TLS1_2),
        ("no_server_name", None, &[], TlsVersion::TLS1_3),
        ("three_records", example, &many, TlsVersion::TLS1_3),
        (
            "post_quantum",
            Some("pq.example.com"),
            &[],
            TlsVersion::TLS1_3,
        ),
        ("chrome", example, &web, TlsVersion::TLS1_3),
        ("firefox", example, &web, TlsVersion::TLS1_3),
    ] {
        let hello = parse(recorded(name));
        assert_eq!(hello.server_name(), host, "{name}");
        assert_eq!(alpn(hello.alpn()), protocols, "{name}");
        assert_eq!(hello.version(), version, "{name}");
        assert_eq!(hello.legacy_version(), TlsVersion::TLS1_2, "{name}");
    }
}

/// The recordings have the properties that their names promise.
#[test]
fn the_recordings_cover_all_kinds() {
    let records = |name| {
        recorded(name)
            .windows(3)
            .filter(|bytes| bytes == &[22, 3, 1])
            .count()
    };
    assert_eq!(records("three_records"), 3);
    assert!(
        recorded("post_quantum").len() > 1216,
        "the key share of ML-KEM-768 alone has 1184"
    );
    let reserved = |bytes: &&[u8]| bytes[0] == bytes[1] && bytes[0] & 0xf == 0xa;
    assert!(recorded("chrome").windows(2).any(|bytes| reserved(&bytes)));
}

/// Splits at every byte, in the client's records and in other ones.
#[test]
fn split_hellos_are_read() {
    for (name, stream) in RECORDED {
        let expected = parse(stream);
        let message = message(stream);
        let small = [1, 2, 3, 4, 5].into_iter().filter(|_| message.len() < 300);
        let sizes = small
            .chain([100, 16384])
            .map(|size| in_records(&message, size));
        for stream in sizes.chain([stream.to_vec()]) {
            assert_eq!(parse(&stream), expected, "{name}");
            let after = [&stream, &b"\x14\x03\x03\0\x01\x01"[..]].concat();
            split_at_every_byte(&after, stream.len(), &|bytes| {
                let parsed = ClientHello::parse(bytes, DEFAULT_LIMIT)?;
                Ok::<_, Error>(match parsed {
                    ParseStatus::Complete(hello) => {
                        assert_eq!(hello, expected);
                        ParseStatus::Complete(stream.len())
                    }
                    ParseStatus::Incomplete { at_least } => ParseStatus::Incomplete { at_least },
                })
            });
        }
    }
}
