//! Writes a minimal ClientHello.

/// A ClientHello that asks for `name` and offers TLS 1.2 with one cipher suite: what a [reader](super::ClientHelloReader)
/// needs, and no server accepts. `None` if the name is too long for one record.
pub(crate) fn minimal_hello(name: &[u8]) -> Option<Vec<u8>> {
    /// The version, the random bytes, no session id, one cipher suite, no compression.
    const HEAD: &[u8] = &{
        let mut head = [0; 41];
        (head[0], head[1]) = (3, 3);
        // Behind the session id's length: the length of the suites, and TLS_AES_128_GCM_SHA256.
        (head[36], head[37], head[38]) = (2, 0x13, 0x01);
        head[39] = 1;
        head
    };
    // The type host_name, and the name.
    let entry = [&[0], &*sized::<2>(name)?].concat();
    // The extension server_name, a list of one entry.
    let extension = [&[0, 0], &*sized::<2>(&sized::<2>(&entry)?)?].concat();
    let body = [HEAD, &*sized::<2>(&extension)?].concat();
    let message = [&[1], &*sized::<3>(&body)?].concat();
    // A record has at most 2^14 bytes.
    (message.len() <= 1 << 14).then_some(())?;
    Some([&[0x16, 3, 1], &*sized::<2>(&message)?].concat())
}

/// `bytes` behind their length in `N` bytes.
fn sized<const N: usize>(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = (bytes.len() as u64).to_be_bytes();
    let (high, low) = length.split_at(8 - N);
    let fits = high.iter().all(|&byte| byte == 0);
    fits.then(|| [low, bytes].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_hello::{ClientHello, DEFAULT_LIMIT};
    use crate::parse_status::ParseStatus;

    #[test]
    fn the_reader_finds_the_name() {
        for name in [&b"a.example.com"[..], b"\0\xff", &[b'x'; 300]] {
            let hello = minimal_hello(name).unwrap();
            let parsed = ClientHello::parse(&hello, DEFAULT_LIMIT).unwrap();
            let ParseStatus::Complete(hello) = parsed else {
                panic!("{parsed:?}");
            };
            assert_eq!(hello.server_name_bytes(), Some(name));
        }
        assert!(minimal_hello(&[b'x'; 1 << 14]).is_none());
        assert!(minimal_hello(&[b'x'; 1 << 17]).is_none());
    }
}
