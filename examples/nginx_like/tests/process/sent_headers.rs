//! The PROXY headers that backends get, compared with those of a real nginx.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use crate::proxy::NginxLike;
use crate::sockets::{Reserved, listen, within};

const RECORDING: &str = include_str!("sent_headers.txt");

/// What nginx sends that no receiver accepts, a line with two address families, and what is sent instead.
const VALID: [(&str, &str); 3] = [
    (
        "PROXY TCP6 2001:db8::1 127.0.0.1 1234 LISTEN",
        "PROXY TCP6 2001:db8::1 ::ffff:7f00:1 1234 LISTEN",
    ),
    (
        "PROXY TCP6 ::ffff:192.0.2.1 127.0.0.1 1234 LISTEN",
        "PROXY TCP4 192.0.2.1 127.0.0.1 1234 LISTEN",
    ),
    (
        "PROXY TCP4 192.0.2.1 ::1 1234 LISTEN",
        "PROXY TCP6 ::ffff:c000:201 ::1 1234 LISTEN",
    ),
];

/// One recorded header.
struct Case {
    name: String,
    listen: &'static str,
    /// The directives beside `listen`, `proxy_protocol` among them.
    directives: String,
    client: IpAddr,
    inbound: Vec<u8>,
    sent: &'static str,
}

/// Why a case is not covered yet.
fn missing(listen: &str) -> Option<&'static str> {
    if listen.starts_with("unix:") {
        Some("listen on unix sockets")
    } else if listen.contains(" ssl") {
        Some("TLS is not terminated")
    } else {
        None
    }
}

/// The cases that are covered, and how many are not.
fn cases() -> (Vec<Case>, usize) {
    let lines = RECORDING.lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut not_covered = 0;
    let cases = lines.filter_map(|line| {
        let fields: Vec<&'static str> = line.split(" | ").collect();
        let [name, version, listen, directives, client, inbound, sent] = fields[..] else {
            panic!("unknown line {line}");
        };
        if let Some(reason) = missing(listen) {
            eprintln!("not covered: {name} ({version}): {reason}");
            not_covered += 1;
            return None;
        }
        let directives = directives.trim_start_matches('-');
        Some(Case {
            name: format!("{name} ({version})"),
            listen,
            directives: format!("{directives} proxy_protocol {version};"),
            client: client.parse().unwrap(),
            inbound: from_hex(inbound.trim_start_matches('-')),
            sent,
        })
    });
    (cases.collect(), not_covered)
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            let carry = if crc & 1 == 0 { 0 } else { 0x82f6_3b78 };
            crc >> 1 ^ carry
        })
    })
}

/// The bytes that the backend must get, with the real ports.
fn expected(sent: &str, client: u16, listener: u16) -> Vec<u8> {
    if sent.starts_with("PROXY") {
        let valid = VALID.into_iter().find(|(nginxs, _)| *nginxs == sent);
        let line = valid.map_or(sent, |(_, ours)| ours);
        let line = line.replace("CLIENT", &client.to_string());
        return format!("{}\r\n", line.replace("LISTEN", &listener.to_string())).into_bytes();
    }
    let sent = sent.replace("CCCC", &format!("{client:04x}"));
    let mut bytes = from_hex(&sent.replace("LLLL", &format!("{listener:04x}")));
    let crc = crc32c(&[&bytes[..], &[0; 4]].concat());
    bytes.extend(crc.to_be_bytes());
    bytes
}

/// The address that the case listens on, and where its client connects to.
fn listener(case: &Case) -> (Reserved, SocketAddr) {
    let host = case.listen.split(":PORT").next().unwrap();
    let host: IpAddr = host.trim_matches(['[', ']']).parse().unwrap();
    let reserved = Reserved::at((host, 0).into()).unwrap();
    let mut to = reserved.addr;
    if host.is_unspecified() {
        to.set_ip(case.client);
    }
    (reserved, to)
}

async fn header(case: &Case, to: SocketAddr, backend: &TcpListener) -> (Vec<u8>, u16) {
    let socket = match case.client {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.unwrap();
    socket.bind((case.client, 0).into()).unwrap();
    let mut client = within("the connection", socket.connect(to)).await.unwrap();
    client.write_all(&case.inbound).await.unwrap();
    client.write_all(b"END").await.unwrap();
    client.shutdown().await.unwrap();
    let port = client.local_addr().unwrap().port();
    let (mut accepted, _) = within("the session", backend.accept()).await.unwrap();
    let mut received = Vec::new();
    within("the bytes", accepted.read_to_end(&mut received))
        .await
        .unwrap();
    (received, port)
}

#[tokio::test]
async fn the_headers_that_backends_get_are_those_of_nginx() {
    let (backend, addr) = listen().await;
    let (cases, not_covered) = cases();
    assert_eq!((cases.len(), not_covered), (34, 9));
    let listeners: Vec<_> = cases.iter().map(listener).collect();
    let servers = cases.iter().zip(&listeners).map(|(case, (reserved, _))| {
        let listen = case
            .listen
            .replace("PORT", &reserved.addr.port().to_string());
        let directives = &case.directives;
        format!("server {{ listen {listen}; {directives} proxy_pass {addr}; }}\n")
    });
    let _proxy = NginxLike::start("", &servers.collect::<String>()).await;
    for (case, (reserved, to)) in cases.iter().zip(&listeners) {
        let (received, client) = header(case, *to, &backend).await;
        let mut expected = expected(case.sent, client, reserved.addr.port());
        expected.extend(b"END");
        let (received, expected) = (received.escape_ascii(), expected.escape_ascii());
        assert_eq!(received.to_string(), expected.to_string(), "{}", case.name);
    }
}
