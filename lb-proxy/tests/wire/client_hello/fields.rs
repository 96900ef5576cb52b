//! Fields of valid ClientHellos: names, versions, no extensions.

use lb_proxy::client_hello::TlsVersion;

use super::{hello, parse, server_name};

#[test]
fn valid_names_are_accepted() {
    let long = [&[b'a'; 254] as &[u8], b"."].concat();
    for name in [
        &b"example.com."[..],
        b"a",
        b"10.0.0.1",
        b"[::1]",
        b"_sip.x-y.example",
        b"*",
        &long,
    ] {
        let stream = hello(&[&server_name(name)]);
        let hello = parse(&stream);
        assert_eq!(hello.server_name().unwrap().as_bytes(), name);
    }
    for (name, host) in [
        ("WWW.Example.COM", "WWW.Example.COM"),
        ("a.test:443", "a.test"),
        ("[::1]:443", "[::1]"),
        ("a.test.:", "a.test."),
    ] {
        let stream = hello(&[&server_name(name.as_bytes())]);
        let hello = parse(&stream);
        assert_eq!(hello.server_name(), Some(host));
        assert_eq!(hello.server_name_bytes(), Some(name.as_bytes()));
    }
}

/// The rest of the message is read, and the name is kept.
#[test]
fn a_name_that_is_no_host_is_kept_as_it_was_sent() {
    let names = [
        &b""[..],
        b".",
        b"a..b",
        b".a",
        b"a b",
        b"a/b",
        b"a\0",
        b"a\n",
        b"::1",
        b"\xc3\xbc",
        b"\xff",
        &[b'a'; 256],
    ];
    for name in names {
        let stream = hello(&[&server_name(name), b"\0\x10\0\x05\0\x03\x02h2"]);
        let hello = parse(&stream);
        assert_eq!(hello.server_name(), None);
        assert_eq!(hello.server_name_bytes(), Some(name));
        assert!(hello.alpn().eq([b"h2"]));
    }
}

#[test]
fn names_of_other_types_are_skipped() {
    let extension = b"\0\0\0\x0e\0\x0c\x01\0\x02xx\0\0\x01a\x02\0\0";
    let stream = hello(&[&extension[..]]);
    assert_eq!(parse(&stream).server_name(), Some("a"));
}

#[test]
fn the_highest_known_version_counts() {
    for (list, version) in [
        (&[0x03, 0x04, 0x03, 0x03][..], TlsVersion::TLS1_3),
        (&[0xfa, 0xfa, 0x03, 0x03, 0x03, 0x04], TlsVersion::TLS1_3),
        (&[0x7f, 0x1c, 0x03, 0x02], TlsVersion::TLS1_1),
        (&[0x03, 0x05], TlsVersion::new(0x0305)),
        // No known version in the list: the legacy version counts.
        (&[0x0a, 0x0a], TlsVersion::TLS1_2),
    ] {
        let len = u8::try_from(list.len()).unwrap();
        let stream = hello(&[&[&[0, 43, 0, len + 1, len], list].concat()]);
        assert_eq!(parse(&stream).version(), version);
    }
    let words = [
        (0x0300, "SSLv3"),
        (0x0301, "TLSv1"),
        (0x0304, "TLSv1.3"),
        (0x0305, "0x0305"),
    ];
    for (number, word) in words {
        assert_eq!(TlsVersion::new(number).to_string(), word);
    }
}

/// A client of TLS 1.2 or older may send no extensions.
#[test]
fn a_hello_without_extensions_is_read() {
    let mut stream = hello(&[]);
    stream.truncate(stream.len() - 2);
    for at in [4, 8] {
        stream[at] -= 2;
    }
    let hello = parse(&stream);
    assert_eq!(hello.server_name(), None);
    assert_eq!(hello.alpn().count(), 0);
    assert_eq!(hello.version(), TlsVersion::TLS1_2);
}
