//! PROXY protocol headers exchanged with a real nginx and HAProxy, where `LB_TEST_NGINX` and `LB_TEST_HAPROXY` name them.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use lb_proxy::first_bytes::ParseStatus;
use lb_proxy::proxy_protocol::{
    Addresses, Command, DEFAULT_LIMIT, ProxyHeader, Tlv, Version, write_v1, write_v2,
};

use crate::real::{DEADLINE, Server, listen};

/// Reads a header and no byte behind it.
fn read_header(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        match ProxyHeader::parse(&bytes, DEFAULT_LIMIT).unwrap() {
            ParseStatus::Complete(header) => {
                assert_eq!(header.len, bytes.len());
                return bytes;
            }
            ParseStatus::Incomplete { at_least } => {
                let have = bytes.len();
                bytes.resize(have + at_least, 0);
                stream.read_exact(&mut bytes[have..]).unwrap();
            }
        }
    }
}

fn parse(bytes: &[u8]) -> ProxyHeader<'_> {
    let parsed = ProxyHeader::parse(bytes, DEFAULT_LIMIT).unwrap();
    parsed.complete().expect("the header is complete")
}

fn accept(listener: &TcpListener) -> TcpStream {
    // `SO_RCVTIMEO` limits accept(2) as well.
    socket2::SockRef::from(listener)
        .set_read_timeout(Some(DEADLINE))
        .unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Pairs of addresses, each with the pair that is written for it.
fn pairs() -> [[Addresses; 2]; 4] {
    let ends = |source: &str, destination: &str| {
        Addresses::new(source.parse().unwrap(), destination.parse().unwrap())
    };
    let v4 = ends("192.0.2.1:1", "198.51.100.1:65535");
    let v6 = ends("[2001:db8::1]:1", "[2001:db8::2]:443");
    let dual_stack = ends("[::ffff:192.0.2.1]:1", "[::ffff:198.51.100.1]:65535");
    let mixed = ends("192.0.2.1:1", "[2001:db8::2]:443");
    let mapped = ends("[::ffff:192.0.2.1]:1", "[2001:db8::2]:443");
    [[v4, v4], [v6, v6], [dual_stack, v4], [mixed, mapped]]
}

/// Each of the pairs in both versions, with TLVs and without.
fn headers() -> Vec<(Vec<u8>, Addresses)> {
    let mut headers = Vec::new();
    for [addresses, expected] in pairs() {
        let mut line = Vec::new();
        write_v1(Some(addresses), &mut line);
        headers.push((line, expected));
        for (tlvs, checksum) in [(None, false), (Some(Tlv::new(0xe0, b"own")), true)] {
            let mut header = Vec::new();
            write_v2(Some(addresses), tlvs, checksum, &mut header).unwrap();
            headers.push((header, expected));
        }
    }
    headers
}

#[test]
fn nginx_receives() {
    let stream = "server { listen unix:SOCKET proxy_protocol; return \
        '$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port'; }";
    let Some(mut nginx) = Server::nginx(stream, &[]) else {
        return;
    };
    let mut ask = |header: &[u8]| {
        let mut stream = nginx.connect("");
        stream.write_all(header).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    for (header, addresses) in headers() {
        let answer = ask(&header);
        let [source, source_port, destination, destination_port] =
            answer.split(' ').collect::<Vec<_>>()[..]
        else {
            panic!("{answer:?}");
        };
        let end =
            |ip: &str, port: &str| SocketAddr::new(ip.parse().unwrap(), port.parse().unwrap());
        assert_eq!(end(source, source_port), addresses.source);
        assert_eq!(end(destination, destination_port), addresses.destination);
    }
    let mut local = Vec::new();
    write_v2(None, [], true, &mut local).unwrap();
    let mut unknown = Vec::new();
    write_v1(None, &mut unknown);
    for header in [local, unknown] {
        assert_eq!(ask(&header).trim(), "");
    }
}

#[test]
fn nginx_sends() {
    let (front, addr) = listen();
    let (backend, backend_addr) = listen();
    let stream =
        format!("server {{ listen {addr}; proxy_pass {backend_addr}; proxy_protocol on; }}");
    let Some(_nginx) = Server::nginx(&stream, &[front]) else {
        return;
    };
    let mut client = TcpStream::connect(addr).unwrap();
    client.write_all(b"payload").unwrap();
    let mut accepted = accept(&backend);
    let bytes = read_header(&mut accepted);
    let header = parse(&bytes);
    let expected = Addresses::new(client.local_addr().unwrap(), addr);
    assert_eq!(
        (header.version, header.addresses),
        (Version::V1, Some(expected))
    );
    let mut payload = [0; 7];
    accepted.read_exact(&mut payload).unwrap();
    assert_eq!(&payload, b"payload");
}

/// HAProxy between a client that sends our header and a backend that reads HAProxy's header.
struct Haproxy {
    server: Server,
    backend: TcpListener,
}

impl Haproxy {
    /// Socket 1 sends version 1 headers, socket 2 version 2 headers.
    fn start() -> Option<Self> {
        let (backend, addr) = listen();
        let options = "proxy-v2-options crc32c,unique-id,authority";
        let server = Server::haproxy(&format!(
            "listen v1\n bind unix@SOCKET1 accept-proxy\n server backend {addr} send-proxy\n\
             listen v2\n bind unix@SOCKET2 accept-proxy\n unique-id-format id-%ci\n \
             server backend {addr} send-proxy-v2 {options}"
        ))?;
        Some(Self { server, backend })
    }

    /// Sends `header` and returns the header that HAProxy sends.
    fn pass(&mut self, number: u8, header: &[u8]) -> Vec<u8> {
        let mut client = self.server.connect(number);
        client.write_all(&[header, b"payload"].concat()).unwrap();
        let mut accepted = accept(&self.backend);
        let bytes = read_header(&mut accepted);
        let mut payload = [0; 7];
        accepted.read_exact(&mut payload).unwrap();
        assert_eq!(&payload, b"payload");
        bytes
    }
}

#[test]
fn haproxy_receives_and_sends() {
    let Some(mut haproxy) = Haproxy::start() else {
        return;
    };
    for (header, addresses) in headers() {
        for (number, version) in [(1, Version::V1), (2, Version::V2)] {
            let bytes = haproxy.pass(number, &header);
            let passed = parse(&bytes);
            assert_eq!((passed.version, passed.command), (version, Command::Proxy));
            assert_eq!(passed.addresses, Some(addresses));
        }
    }
    // HAProxy has the addresses of a socket of the file system then, which no header can say.
    let mut local = Vec::new();
    write_v2(None, [], false, &mut local).unwrap();
    for number in [1, 2] {
        assert_eq!(parse(&haproxy.pass(number, &local)).addresses, None);
    }
}

#[test]
fn haproxy_passes_tlvs_on() {
    let Some(mut haproxy) = Haproxy::start() else {
        return;
    };
    let [[addresses, _], ..] = pairs();
    let mut header = Vec::new();
    let authority = Tlv::new(Tlv::AUTHORITY, b"www.example.com");
    write_v2(Some(addresses), [authority], true, &mut header).unwrap();
    let bytes = haproxy.pass(2, &header);
    let passed = parse(&bytes);
    assert_eq!(passed.authority(), Some("www.example.com"));
    assert_eq!(passed.unique_id(), Some(&b"id-192.0.2.1"[..]));
    assert!(passed.tlv(Tlv::CRC32C).is_some());
}

/// HAProxy checks our checksum, and we check HAProxy's.
#[test]
fn haproxy_refuses_a_wrong_checksum() {
    let Some(mut haproxy) = Haproxy::start() else {
        return;
    };
    let [[addresses, _], ..] = pairs();
    let mut header = Vec::new();
    write_v2(Some(addresses), [], true, &mut header).unwrap();
    let last = header.len() - 1;
    header[last] ^= 1;
    let mut client = haproxy.server.connect(2);
    client.write_all(&header).unwrap();
    match client.read(&mut [0]) {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn haproxy_checks_health() {
    let (backend, addr) = listen();
    let Some(_haproxy) = Server::haproxy(&format!(
        "listen v2\n bind unix@SOCKET\n server backend {addr} send-proxy-v2 check inter 100ms"
    )) else {
        return;
    };
    let mut accepted = accept(&backend);
    let bytes = read_header(&mut accepted);
    let header = parse(&bytes);
    assert_eq!((header.command, header.addresses), (Command::Local, None));
}
