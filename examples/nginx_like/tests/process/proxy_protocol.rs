//! PROXY protocol headers, on request from and to a real nginx and HAProxy.

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use lb_proxy::first_bytes::ParseStatus;
use lb_proxy::proxy_protocol::{
    Addresses, DEFAULT_LIMIT, ProxyHeader, Version, write_v1, write_v2,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::process::{Child, Command};

use crate::hash::start_nginx;
use crate::proxy::{NginxLike, write_conf};
use crate::sockets::{Conversation, Reserved, answer, listen, listens, within};

/// No other client connects from this address.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 77, 1, 1);

async fn connect(addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((CLIENT, 0).into()).unwrap();
    socket.connect(addr).await.unwrap()
}

/// Accepts until a connection begins with a header of [`CLIENT`]. Probes come from other addresses.
async fn header_of_client(backend: &TcpListener) -> (TcpStream, Version, Addresses) {
    within("the header", async {
        loop {
            let (mut stream, _) = backend.accept().await.unwrap();
            if let Some((version, ends)) = read_header(&mut stream).await
                && ends.source.ip() == CLIENT
            {
                return (stream, version, ends);
            }
        }
    })
    .await
}

async fn read_header(stream: &mut TcpStream) -> Option<(Version, Addresses)> {
    let mut bytes = Vec::new();
    loop {
        match ProxyHeader::parse(&bytes, DEFAULT_LIMIT).unwrap() {
            ParseStatus::Complete(header) => return Some((header.version, header.addresses?)),
            ParseStatus::Incomplete { at_least } => {
                let have = bytes.len();
                bytes.resize(have + at_least, 0);
                stream.read_exact(&mut bytes[have..]).await.ok()?;
            }
        }
    }
}

#[tokio::test]
async fn backends_get_the_address_of_the_client() {
    let (backend, addr) = listen().await;
    for (version, expected) in [("on", Version::V1), ("v2", Version::V2)] {
        let stream =
            format!("server {{ listen LISTEN; proxy_pass {addr}; proxy_protocol {version}; }}");
        let proxy = NginxLike::start("", &stream).await;
        let client = connect(proxy.addr).await;
        let (_, version, ends) = header_of_client(&backend).await;
        assert_eq!(version, expected);
        assert_eq!(ends.source, client.local_addr().unwrap());
        assert_eq!(ends.destination, proxy.addr);
    }
}

#[tokio::test]
async fn a_header_is_mandatory_and_trusted_only_from_set_real_ip_from() {
    let (backend, addr) = listen().await;
    let claimed = Addresses::new((CLIENT, 4242).into(), "198.51.100.1:443".parse().unwrap());
    for (from, is_trusted) in [("set_real_ip_from 127.0.0.1;", true), ("", false)] {
        let stream = format!(
            "server {{ listen LISTEN proxy_protocol; {from} proxy_pass {addr}; proxy_protocol v2; }}"
        );
        let proxy = NginxLike::start("", &stream).await;
        let (mut first, mut second) = (Vec::new(), Vec::new());
        write_v1(Some(claimed), &mut first);
        write_v2(Some(claimed), [], false, &mut second).unwrap();
        for header in [first, second] {
            let mut client = TcpStream::connect(proxy.addr).await.unwrap();
            client.write_all(&header).await.unwrap();
            client.write_all(b"payload").await.unwrap();
            let (mut accepted, _) = within("the connection", backend.accept()).await.unwrap();
            let (_, ends) = read_header(&mut accepted).await.unwrap();
            let peer = client.local_addr().unwrap();
            let source = if is_trusted { claimed.source } else { peer };
            // As in nginx, the destination is the address of the proxy's socket.
            assert_eq!(ends, Addresses::new(source, proxy.addr));
            let mut payload = [0; 7];
            accepted.read_exact(&mut payload).await.unwrap();
            assert_eq!(&payload, b"payload");
        }
        let mut client = TcpStream::connect(proxy.addr).await.unwrap();
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let refused = within("the reset", client.read(&mut [0])).await;
        assert_eq!(
            refused.unwrap_err().kind(),
            std::io::ErrorKind::ConnectionReset
        );
    }
}

#[tokio::test]
async fn rules_match_the_client_that_a_header_names() {
    let node = Reserved::any();
    let _serving = node.serve("node").await;
    let stream = format!(
        "server {{ listen LISTEN proxy_protocol; set_real_ip_from 127.0.0.0/8; deny {CLIENT};
            proxy_pass {}; }}",
        node.addr
    );
    let proxy = NginxLike::start("", &stream).await;
    for (source, is_served) in [
        ((CLIENT, 1).into(), false),
        ("192.0.2.1:1".parse().unwrap(), true),
    ] {
        let mut header = Vec::new();
        write_v1(Some(Addresses::new(source, proxy.addr)), &mut header);
        let mut client = TcpStream::connect(proxy.addr).await.unwrap();
        client.write_all(&header).await.unwrap();
        let answer = Conversation::over(client).say("hello").await;
        assert_eq!(answer.is_ok(), is_served, "{source}: {answer:?}");
    }
}

#[tokio::test]
async fn a_real_nginx_sends_and_receives() {
    let Some(nginx) = env::var_os("LB_TEST_NGINX") else {
        eprintln!("skipped: LB_TEST_NGINX does not name an nginx with a dynamic stream module");
        return;
    };
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let receives = "server { listen LISTEN proxy_protocol; \
        return '$proxy_protocol_addr:$proxy_protocol_port'; }";
    let (receiver, _receiver, _held) = start_nginx(&nginx, dirs[0].path(), receives).await;
    for version in ["on", "v2"] {
        let proxy = between(receiver, version).await;
        let sends = format!(
            "server {{ listen LISTEN; proxy_pass {}; proxy_protocol on; }}",
            proxy.addr
        );
        let (sender, _sender, _held) = start_nginx(&nginx, dirs[1].path(), &sends).await;
        let mut client = connect(sender).await;
        let expected = client.local_addr().unwrap().to_string();
        assert_eq!(answer(&mut client).await, expected, "{version}");
    }
}

/// A proxy that takes a header and sends one of `version` to `receiver`.
async fn between(receiver: SocketAddr, version: &str) -> NginxLike {
    let server = format!(
        "server {{ listen LISTEN proxy_protocol; set_real_ip_from 127.0.0.1;
            proxy_pass {receiver}; proxy_protocol {version}; }}"
    );
    NginxLike::start("", &server).await
}

#[tokio::test]
async fn a_real_haproxy_sends_and_receives() {
    let Some(haproxy) = env::var_os("LB_TEST_HAPROXY") else {
        eprintln!("skipped: LB_TEST_HAPROXY does not name a HAProxy");
        return;
    };
    let (backend, backend_addr) = listen().await;
    for (version, sends) in [("on", "send-proxy"), ("v2", "send-proxy-v2")] {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let receives = format!("bind LISTEN accept-proxy\n server backend {backend_addr} {sends}");
        let (receiver, _receiver, _held) = start_haproxy(&haproxy, dirs[0].path(), &receives).await;
        let proxy = between(receiver, version).await;
        let sends = format!("bind LISTEN\n server next {} {sends}", proxy.addr);
        let (sender, _sender, _held) = start_haproxy(&haproxy, dirs[1].path(), &sends).await;
        let mut client = connect(sender).await;
        client.write_all(b"payload").await.unwrap();
        let (mut accepted, _, ends) = header_of_client(&backend).await;
        assert_eq!(ends.source, client.local_addr().unwrap());
        let mut payload = [0; 7];
        accepted.read_exact(&mut payload).await.unwrap();
        assert_eq!(&payload, b"payload");
    }
}

async fn start_haproxy(
    haproxy: &std::ffi::OsStr,
    dir: &Path,
    listen: &str,
) -> (SocketAddr, Child, Reserved) {
    let reserved = Reserved::any();
    let addr = reserved.addr;
    let listen = listen.replace("LISTEN", &addr.to_string());
    let timeouts = "timeout connect 20s\n timeout client 20s\n timeout server 20s";
    let text = format!("defaults\n mode tcp\n {timeouts}\nlisten test\n {listen}\n");
    let mut command = Command::new(haproxy);
    // Without -db the worker would outlive a killed master.
    command.arg("-db").arg("-f").arg(write_conf(dir, &text));
    let command = command.stderr(Stdio::null()).kill_on_drop(true);
    let child = command.spawn().unwrap();
    listens("haproxy", addr).await;
    (addr, child, reserved)
}
