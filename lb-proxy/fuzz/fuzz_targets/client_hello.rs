//! Parses arbitrary bytes as a ClientHello. The first byte sets how much of the rest has arrived so far.
#![no_main]

use lb_proxy::client_hello::{ClientHello, ClientHelloError};
use lb_proxy::first_bytes::ParseStatus;
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 4096;

fuzz_target!(|input: &[u8]| {
    let Some((&split, stream)) = input.split_first() else {
        return;
    };
    let split = stream.len() * usize::from(split) / 256;
    let whole = ClientHello::parse(stream, LIMIT);
    match ClientHello::parse(&stream[..split], LIMIT) {
        Ok(ParseStatus::Incomplete { at_least }) => {
            assert!(at_least > 0);
            let early =
                ClientHello::parse(&stream[..stream.len().min(split + at_least - 1)], LIMIT);
            assert!(!matches!(early, Ok(ParseStatus::Complete(_))));
        }
        decided => assert_eq!(decided, whole),
    }
    match whole {
        Ok(ParseStatus::Complete(hello)) => {
            let name = hello.server_name().unwrap_or_default();
            assert!(name.len() < 256 && name.bytes().all(|byte| byte.is_ascii_graphic()));
            let sent = hello.server_name_bytes().unwrap_or_default();
            assert!(sent.starts_with(name.as_bytes()));
            assert!(hello.alpn().all(|protocol| !protocol.is_empty()));
            let _ = (hello.version(), hello.legacy_version());
        }
        Ok(ParseStatus::Incomplete { .. }) => assert!(stream.len() < LIMIT),
        Err(ClientHelloError::Malformed { offset, .. } | ClientHelloError::NotTls { offset }) => {
            assert!(offset <= stream.len());
        }
        Err(_) => {}
    }
});
