//! ClientHellos of real clients, recorded by `client_hellos/record.py`, and broken ones.

use lb_proxy::Progress;
use lb_proxy::client_hello::{
    AlpnProtocols, ClientHello, ClientHelloError as Error, DEFAULT_LIMIT, TlsVersion,
};

use crate::split_at_every_byte;

pub(crate) const RECORDED: [(&str, &[u8]); 7] = [
    ("tls13", include_bytes!("client_hellos/tls13.bin")),
    ("tls12", include_bytes!("client_hellos/tls12.bin")),
    (
        "no_server_name",
        include_bytes!("client_hellos/no_server_name.bin"),
    ),
    (
        "three_records",
        include_bytes!("client_hellos/three_records.bin"),
    ),
    (
        "post_quantum",
        include_bytes!("client_hellos/post_quantum.bin"),
    ),
    ("chrome", include_bytes!("client_hellos/chrome.bin")),
    ("firefox", include_bytes!("client_hellos/firefox.bin")),
];

fn recorded(name: &str) -> &'static [u8] {
    let (_, stream) = RECORDED.iter().find(|(found, _)| *found == name).unwrap();
    stream
}

#[track_caller]
fn parse(stream: &[u8]) -> ClientHello<'_> {
    let parsed = ClientHello::parse(stream, DEFAULT_LIMIT).unwrap();
    parsed.complete().expect("the ClientHello is complete")
}

/// The handshake message of a recorded stream.
fn message(mut stream: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    while let Some((&[_, _, _, high, low], rest)) = stream.split_first_chunk() {
        let (payload, rest) = rest.split_at(u16::from_be_bytes([high, low]).into());
        message.extend(payload);
        stream = rest;
    }
    message
}

/// Sends a message in records of at most `size` bytes.
fn in_records(message: &[u8], size: usize) -> Vec<u8> {
    let records = message.chunks(size).map(|fragment| {
        let len = u16::try_from(fragment.len()).unwrap().to_be_bytes();
        [&[22, 3, 1], &len[..], fragment].concat()
    });
    records.collect::<Vec<_>>().concat()
}

/// A ClientHello with these extensions, each with its type and length.
pub(crate) fn hello(extensions: &[&[u8]]) -> Vec<u8> {
    let extensions = extensions.concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    in_records(&[&[1], &len[1..], &body].concat(), 16384)
}

/// The extension that names a server.
pub(crate) fn server_name(name: &[u8]) -> Vec<u8> {
    let name = [&[0], &len(name)[..], name].concat();
    let list = [&len(&name), &name[..]].concat();
    [&[0, 0], &len(&list)[..], &list].concat()
}

fn len(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap().to_be_bytes()
}

fn alpn(protocols: AlpnProtocols<'_>) -> Vec<String> {
    protocols
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

#[test]
fn real_clients() {
    let many = (0..40).map(|number| format!("protocol-number-{number}"));
    let many = many.collect::<Vec<_>>();
    let web = ["h2".to_owned(), "http/1.1".to_owned()];
    let example = Some("www.example.com");
    for (name, host, protocols, version) in [
        ("tls13", example, &web[..], TlsVersion::TLS1_3),
        ("tls12", example, &[], TlsVersion::TLS1_2),
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
        assert_eq!(hello.server_name().as_deref(), host, "{name}");
        assert_eq!(alpn(hello.alpn()), protocols, "{name}");
        assert_eq!(hello.version(), version, "{name}");
        assert_eq!(hello.legacy_version(), TlsVersion::TLS1_2, "{name}");
    }
}

/// The recordings are what their names promise.
#[test]
fn recordings_are_of_all_kinds() {
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

/// Split at every byte, in the records that the client made and in others.
#[test]
fn splits() {
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
                    Progress::Complete(hello) => {
                        assert_eq!(hello, expected);
                        Progress::Complete(stream.len())
                    }
                    Progress::Incomplete { at_least } => Progress::Incomplete { at_least },
                })
            });
        }
    }
}

#[test]
fn other_protocols_are_told_by_their_first_wrong_byte() {
    let ssl2 = b"\x80\x2e\x01\0\x02\0\x15\0\0\0\x10";
    for (stream, offset) in [
        (&b"GET / HTTP/1.1\r\n"[..], 0),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 0),
        (b"PROXY TCP4 1.2.3.4", 0),
        (ssl2, 0),
        (b"\x15\x03\x01\0\x02\x02\x28", 0),
        (b"\x16\x02\x01\0\x05", 1),
        (b"\x16\x03\x01\0\0", 3),
        (b"\x16\x03\x01\x40\x01\x01", 3),
        (b"\x16\x03\x03\0\x05\x02", 5),
    ] {
        // The length of a record is wrong when both of its bytes are there.
        let tells = if offset == 3 { 5 } else { offset + 1 };
        for have in 0..tells {
            let parsed = ClientHello::parse(&stream[..have], DEFAULT_LIMIT).unwrap();
            assert!(matches!(parsed, Progress::Incomplete { .. }), "{stream:?}");
        }
        for have in tells..=stream.len() {
            let error = ClientHello::parse(&stream[..have], DEFAULT_LIMIT).unwrap_err();
            assert_eq!(error, Error::NotTls { offset });
        }
    }
}

#[test]
fn names_that_are_accepted() {
    let long = [&[b'a'; 254] as &[u8], b"."].concat();
    for name in [
        &b"example.com."[..],
        b"a",
        b"10.0.0.1",
        b"::1",
        b"_sip.x-y.example",
        b"*",
        &long,
    ] {
        let stream = hello(&[&server_name(name)]);
        let hello = parse(&stream);
        assert_eq!(hello.server_name().unwrap().as_bytes(), name);
    }
    let stream = hello(&[&server_name(b"WWW.Example.COM")]);
    assert_eq!(parse(&stream).server_name().unwrap(), "www.example.com");
}

#[test]
fn other_types_of_names_are_passed_over() {
    let extension = b"\0\0\0\x0e\0\x0c\x01\0\x02xx\0\0\x01a\x02\0\0";
    let stream = hello(&[&extension[..]]);
    assert_eq!(parse(&stream).server_name().as_deref(), Some("a"));
}

#[test]
fn versions() {
    for (list, version) in [
        (&[0x03, 0x04, 0x03, 0x03][..], TlsVersion::TLS1_3),
        (&[0xfa, 0xfa, 0x03, 0x03, 0x03, 0x04], TlsVersion::TLS1_3),
        (&[0x7f, 0x1c, 0x03, 0x02], TlsVersion::TLS1_1),
        (&[0x03, 0x05], TlsVersion::new(0x0305)),
        // Nothing that is known: the field that is older than the list.
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

/// A client of TLS 1.2 and before may leave the extensions out altogether.
#[test]
fn without_extensions() {
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

#[test]
fn broken_extensions() {
    // Where the first extension begins: after headers, version, random, session, ciphers, compression and length.
    let start = 5 + 4 + 2 + 32 + 1 + 4 + 2 + 2;
    let twice = server_name(b"a");
    for (extensions, offset, what) in [
        (&[&[0_u8] as &[u8]][..], 1, "an extension is cut off"),
        (&[&[0x5a, 0x5a, 0, 1]], 4, "an extension is cut off"),
        (&[&[0, 0, 0, 0]], 4, "the list of server names is cut off"),
        (
            &[&[0, 0, 0, 2, 0, 0]],
            6,
            "the list of server names is empty",
        ),
        (
            &[&[0, 0, 0, 3, 0, 0, 0]],
            6,
            "bytes follow the list of server names",
        ),
        (
            &[&[0, 0, 0, 6, 0, 4, 0, 0, 2, b'a']],
            9,
            "a server name is cut off",
        ),
        (
            &[&[0, 0, 0, 10, 0, 8, 0, 0, 1, b'a', 0, 0, 1, b'b']],
            10,
            "there are two host names",
        ),
        (
            &[&twice, &[0xa, 0xa, 0, 0], &twice],
            14,
            "an extension occurs twice",
        ),
        (&[&[0, 16, 0, 2, 0, 0]], 6, "the list of protocols is empty"),
        (&[&[0, 16, 0, 3, 0, 1, 0]], 7, "a protocol name is empty"),
        (
            &[&[0, 16, 0, 4, 0, 2, 2, b'h']],
            7,
            "a protocol name is cut off",
        ),
        (&[&[0, 43, 0, 1, 0]], 5, "the list of versions is empty"),
        (&[&[0, 43, 0, 4, 3, 3, 4, 3]], 8, "a version is cut off"),
    ] {
        let error = ClientHello::parse(&hello(extensions), DEFAULT_LIMIT).unwrap_err();
        let offset = start + offset;
        assert_eq!(error, Error::Malformed { offset, what });
    }
    let names = [
        &b""[..],
        b".",
        b"a..b",
        b".a",
        b"a b",
        b"a/b",
        b"a\0",
        b"a\n",
        b"\xc3\xbc",
        &[b'a'; 256],
    ];
    for name in names {
        let error = ClientHello::parse(&hello(&[&server_name(name)]), DEFAULT_LIMIT).unwrap_err();
        let (offset, what) = (start + 9, "the server name is not a host name");
        assert_eq!(error, Error::Malformed { offset, what });
    }
}

/// Every length of a real message made wrong is an error at a place in the stream, or no error, but never a panic.
#[test]
fn broken_bytes() {
    for (name, stream) in RECORDED {
        for at in 0..stream.len() {
            for value in [0, 0xff, stream[at] ^ 1, stream[at].wrapping_add(1)] {
                let mut broken = stream.to_vec();
                broken[at] = value;
                if let Err(Error::Malformed { offset, .. }) =
                    ClientHello::parse(&broken, DEFAULT_LIMIT)
                {
                    assert!(offset <= broken.len(), "{name}");
                }
            }
        }
    }
}

/// The offset is that in the stream, also behind the headers of further records.
#[test]
fn offsets_count_record_headers() {
    let mut message = message(&hello(&[&server_name(b"a/b")]));
    let in_one = Error::Malformed {
        offset: 5 + 56,
        what: "the server name is not a host name",
    };
    let stream = in_records(&message, 16384);
    assert_eq!(ClientHello::parse(&stream, DEFAULT_LIMIT), Err(in_one));
    let in_many = Error::Malformed {
        offset: 6 * 5 + 56,
        what: "the server name is not a host name",
    };
    let stream = in_records(&message, 10);
    assert_eq!(ClientHello::parse(&stream, DEFAULT_LIMIT), Err(in_many));
    message.truncate(20);
    let mut other = in_records(&message, 20);
    other.extend(b"\x17\x03\x03");
    let what = "not a handshake record, although the message has not ended";
    let error = Error::Malformed { offset: 25, what };
    assert_eq!(ClientHello::parse(&other, DEFAULT_LIMIT), Err(error));
}

/// What is cut off by the message's end is missing there, also when another record follows.
#[test]
fn the_offset_of_an_end_is_not_in_the_next_record() {
    let stream = hello(&[&[0x5a, 0x5a, 0, 1]]);
    let what = "an extension is cut off";
    let error = Error::Malformed {
        offset: stream.len(),
        what,
    };
    let followed = [&stream, &b"\x16\x03\x03\0\x01x"[..]].concat();
    for stream in [stream, followed] {
        assert_eq!(ClientHello::parse(&stream, DEFAULT_LIMIT), Err(error));
    }
}

#[test]
fn limits() {
    let stream = recorded("chrome");
    let limit = stream.len();
    assert!(
        ClientHello::parse(stream, limit)
            .unwrap()
            .complete()
            .is_some()
    );
    let limit = limit - 1;
    // Known as soon as the message's length is.
    for have in 9..=stream.len() {
        let error = ClientHello::parse(&stream[..have], limit).unwrap_err();
        assert_eq!(error, Error::TooLong { limit });
    }
    assert!(ClientHello::parse(&stream[..8], limit).is_ok());
    // A message that says it is short, in records that make it long.
    let stream = in_records(&message(stream), 1);
    let limit = 4000;
    assert!(ClientHello::parse(&stream[..limit - 1], limit).is_ok());
    let error = ClientHello::parse(&stream[..limit], limit).unwrap_err();
    assert_eq!(error, Error::TooLong { limit });
}
