//! The PROXY headers that backends get, compared with those of a real nginx.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, UnixStream};

use crate::proxy::NginxLike;
use crate::sockets::{Reserved, listen, within};

const RECORDING: &str = include_str!("sent_headers.txt");

/// What nginx sends that no receiver accepts, a line with two address families or a path, and what is sent instead.
const VALID: [(&str, &str); 4] = [
    (
        "PROXY TCP4 192.0.2.1 unix:DIR/s.sock 1234 0",
        "PROXY UNKNOWN",
    ),
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
    /// `None` on a unix socket.
    client: Option<IpAddr>,
    inbound: Vec<u8>,
    sent: &'static str,
}

/// Why a case is not covered yet.
fn missing(listen: &str) -> Option<&'static str> {
    listen.contains(" ssl").then_some("TLS is not terminated")
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
            client: client.parse().ok(),
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

/// Where a case listens, and where its client connects to.
enum Place {
    Tcp(Reserved, SocketAddr),
    Unix(PathBuf),
}

impl Place {
    fn of(case: &Case, number: usize, dir: &Path) -> Self {
        let Some(client) = case.client else {
            return Self::Unix(dir.join(format!("{number}.sock")));
        };
        let host = case.listen.split(":PORT").next().unwrap();
        let host: IpAddr = host.trim_matches(['[', ']']).parse().unwrap();
        let reserved = Reserved::at((host, 0).into()).unwrap();
        let mut to = reserved.addr;
        if host.is_unspecified() {
            to.set_ip(client);
        }
        Self::Tcp(reserved, to)
    }

    /// The arguments of `listen`.
    fn listen(&self, case: &Case) -> String {
        match self {
            Self::Tcp(reserved, _) => case
                .listen
                .replace("PORT", &reserved.addr.port().to_string()),
            Self::Unix(path) => case
                .listen
                .replace("DIR/s.sock", &path.display().to_string()),
        }
    }

    /// What the backend gets, and the ports of the client and the listener.
    async fn received(&self, case: &Case, backend: &TcpListener) -> (Vec<u8>, u16, u16) {
        let begin = [&case.inbound[..], b"END"].concat();
        match (self, case.client) {
            (Self::Tcp(reserved, to), Some(client)) => {
                let socket = match client {
                    IpAddr::V4(_) => TcpSocket::new_v4(),
                    IpAddr::V6(_) => TcpSocket::new_v6(),
                };
                let socket = socket.unwrap();
                socket.bind((client, 0).into()).unwrap();
                let client = within("the connection", socket.connect(*to)).await.unwrap();
                let port = client.local_addr().unwrap().port();
                let received = exchange(client, &begin, backend).await;
                (received, port, reserved.addr.port())
            }
            (Self::Unix(path), _) => {
                let client = UnixStream::connect(path).await.unwrap();
                (exchange(client, &begin, backend).await, 0, 0)
            }
            (Self::Tcp(..), None) => unreachable!("a client of TCP has an address"),
        }
    }
}

/// Sends `bytes` and the end, and returns what the backend gets.
async fn exchange(
    mut client: impl AsyncWrite + Unpin,
    bytes: &[u8],
    backend: &TcpListener,
) -> Vec<u8> {
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let (mut accepted, _) = within("the session", backend.accept()).await.unwrap();
    let mut received = Vec::new();
    within("the bytes", accepted.read_to_end(&mut received))
        .await
        .unwrap();
    received
}

#[tokio::test]
async fn the_headers_that_backends_get_are_those_of_nginx() {
    let (backend, addr) = listen().await;
    let (cases, not_covered) = cases();
    assert_eq!((cases.len(), not_covered), (38, 5));
    let dir = tempfile::tempdir().unwrap();
    let places: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(number, case)| Place::of(case, number, dir.path()))
        .collect();
    let servers = cases.iter().zip(&places).map(|(case, place)| {
        let (listen, directives) = (place.listen(case), &case.directives);
        format!("server {{ listen {listen}; {directives} proxy_pass {addr}; }}\n")
    });
    let _proxy = NginxLike::start("", &servers.collect::<String>()).await;
    for (case, place) in cases.iter().zip(&places) {
        let (received, client, listener) = place.received(case, &backend).await;
        let mut expected = expected(case.sent, client, listener);
        expected.extend(b"END");
        let (received, expected) = (received.escape_ascii(), expected.escape_ascii());
        assert_eq!(received.to_string(), expected.to_string(), "{}", case.name);
    }
}
