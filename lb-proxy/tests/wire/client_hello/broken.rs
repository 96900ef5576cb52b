//! Bytes that are not a ClientHello, and limits.

use lb_proxy::client_hello::{ClientHello, ClientHelloError as Error, DEFAULT_LIMIT};
use lb_proxy::first_bytes::ParseStatus;

use super::{RECORDED, hello, in_records, message, recorded, server_name};

#[test]
fn other_protocols_are_refused_at_their_first_wrong_byte() {
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
        // A wrong record length is found once both of its bytes have arrived.
        let tells = if offset == 3 { 5 } else { offset + 1 };
        for have in 0..tells {
            let parsed = ClientHello::parse(&stream[..have], DEFAULT_LIMIT).unwrap();
            assert!(
                matches!(parsed, ParseStatus::Incomplete { .. }),
                "{stream:?}"
            );
        }
        for have in tells..=stream.len() {
            let error = ClientHello::parse(&stream[..have], DEFAULT_LIMIT).unwrap_err();
            assert_eq!(error, Error::NotTls { offset });
        }
    }
}

#[test]
fn broken_extensions_are_refused() {
    // The offset of the first extension: behind headers, version, random, session, ciphers, compression and length.
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
}

/// A wrong length anywhere in a real message gives an error with an offset in the stream, or no error, but no panic.
#[test]
fn wrong_lengths_never_panic() {
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

/// The offset is the one in the stream, also behind the headers of further records.
#[test]
fn offsets_count_record_headers() {
    let mut message = message(&hello(&[b"\0\0\0\x02\0\0", &server_name(b"a")]));
    let in_one = Error::Malformed {
        offset: 5 + 53,
        what: "the list of server names is empty",
    };
    let stream = in_records(&message, 16384);
    assert_eq!(ClientHello::parse(&stream, DEFAULT_LIMIT), Err(in_one));
    let in_many = Error::Malformed {
        offset: 6 * 5 + 53,
        what: "the list of server names is empty",
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

/// The offset of a missing byte is the end of the message, also if another record follows.
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
fn a_message_above_the_limit_is_refused() {
    let stream = recorded("chrome");
    let limit = stream.len();
    assert!(
        ClientHello::parse(stream, limit)
            .unwrap()
            .complete()
            .is_some()
    );
    let limit = limit - 1;
    // Refused as soon as the length of the message is known.
    for have in 9..=stream.len() {
        let error = ClientHello::parse(&stream[..have], limit).unwrap_err();
        assert_eq!(error, Error::TooLong { limit });
    }
    assert!(ClientHello::parse(&stream[..8], limit).is_ok());
    // A short message, spread over records that make the stream long.
    let stream = in_records(&message(stream), 1);
    let limit = 4000;
    assert!(ClientHello::parse(&stream[..limit - 1], limit).is_ok());
    let error = ClientHello::parse(&stream[..limit], limit).unwrap_err();
    assert_eq!(error, Error::TooLong { limit });
}
