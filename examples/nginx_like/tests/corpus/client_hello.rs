//! ClientHellos.

/// The ClientHello of a client that asks for `name` (none if it is empty), with protocols of ALPN, and that speaks TLS 1.3
/// if `is_tls13` says so, else 1.2.
pub(crate) fn hello(name: &str, alpn: &[&str], is_tls13: bool) -> Vec<u8> {
    let mut extensions = Vec::new();
    if !name.is_empty() {
        let entry = [vec![0], prefixed(name.as_bytes(), 2)].concat();
        extensions.extend(extension(0, &prefixed(&entry, 2)));
    }
    if !alpn.is_empty() {
        let names = alpn.iter().map(|name| prefixed(name.as_bytes(), 1));
        let names: Vec<_> = names.collect();
        extensions.extend(extension(16, &prefixed(&names.concat(), 2)));
    }
    if is_tls13 {
        extensions.extend(extension(43, &prefixed(&[3, 4], 1)));
    }
    let body = [
        vec![3, 3],
        vec![7; 32],
        vec![0],
        prefixed(&[0x13, 0x01], 2),
        vec![1, 0],
        prefixed(&extensions, 2),
    ];
    let message = [vec![1], prefixed(&body.concat(), 3)].concat();
    [vec![0x16, 3, 1], prefixed(&message, 2)].concat()
}

fn extension(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![0, kind], prefixed(bytes, 2)].concat()
}

/// `bytes` behind their length, a number of `width` bytes.
fn prefixed(bytes: &[u8], width: usize) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[4 - width..], bytes].concat()
}
