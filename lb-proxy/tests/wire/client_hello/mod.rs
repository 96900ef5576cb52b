//! ClientHellos of real clients, recorded by `client_hellos/record.py`, and broken ones.

mod broken;
mod fields;
mod recordings;

use lb_proxy::client_hello::{AlpnProtocols, ClientHello, DEFAULT_LIMIT};

pub(crate) const RECORDED: [(&str, &[u8]); 7] = [
    ("tls13", include_bytes!("../client_hellos/tls13.bin")),
    ("tls12", include_bytes!("../client_hellos/tls12.bin")),
    (
        "no_server_name",
        include_bytes!("../client_hellos/no_server_name.bin"),
    ),
    (
        "three_records",
        include_bytes!("../client_hellos/three_records.bin"),
    ),
    (
        "post_quantum",
        include_bytes!("../client_hellos/post_quantum.bin"),
    ),
    ("chrome", include_bytes!("../client_hellos/chrome.bin")),
    ("firefox", include_bytes!("../client_hellos/firefox.bin")),
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

/// The extension `server_name`.
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
