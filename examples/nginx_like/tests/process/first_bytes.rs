//! PROXY protocol headers, from and to a real nginx and HAProxy where there is one, and names of servers.

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use lb_proxy::ParseStatus;
use lb_proxy::proxy_protocol::{
    Addresses, DEFAULT_LIMIT, ProxyHeader, Version, write_v1, write_v2,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::process::{Child, Command};

use crate::hash::start_nginx;
use crate::proxy::{NginxLike, write_conf};
use crate::sockets::{Conversation, Reserved, listens, within};

/// Nobody else connects from here.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 77, 1, 1);

async fn connect(addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((CLIENT, 0).into()).unwrap();
    socket.connect(addr).await.unwrap()
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Accepts until a connection begins with a header of [`CLIENT`]'s: probes come from elsewhere.
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

/// Reads the answer to the end.
async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    within("the answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    answer
}

#[tokio::test]
async fn servers_are_told_who_the_client_is() {
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
async fn a_header_is_mandatory_and_believed_only_from_whom_it_is_set() {
    let (backend, addr) = listen().await;
    let claimed = Addresses::new((CLIENT, 4242).into(), "198.51.100.1:443".parse().unwrap());
    for (from, is_believed) in [("set_real_ip_from 127.0.0.1;", true), ("", false)] {
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
            let source = if is_believed { claimed.source } else { peer };
            // As in nginx, the destination is our own socket's address.
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
async fn rules_go_by_the_client_that_a_header_names() {
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
        let proxy = NginxLike::start(
            "",
            &format!(
                "server {{ listen LISTEN proxy_protocol; set_real_ip_from 127.0.0.1;
                    proxy_pass {receiver}; proxy_protocol {version}; }}"
            ),
        )
        .await;
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
        let proxy = NginxLike::start(
            "",
            &format!(
                "server {{ listen LISTEN proxy_protocol; set_real_ip_from 127.0.0.1;
                    proxy_pass {receiver}; proxy_protocol {version}; }}"
            ),
        )
        .await;
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
    // Without -db the worker would outlive its master when that is killed.
    command.arg("-db").arg("-f").arg(write_conf(dir, &text));
    let command = command.stderr(Stdio::null()).kill_on_drop(true);
    let child = command.spawn().unwrap();
    listens("haproxy", addr).await;
    (addr, child, reserved)
}

/// A ClientHello that asks for `name`, and nothing else that matters.
fn hello(name: &str) -> Vec<u8> {
    let prefixed = |bytes: Vec<u8>, width: usize| {
        let len = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&len[4 - width..], &bytes].concat()
    };
    let name = [vec![0], prefixed(name.into(), 2)].concat();
    let server_name = [vec![0, 0], prefixed(prefixed(name, 2), 2)].concat();
    let body = [
        vec![3, 3],
        vec![7; 32],
        vec![0],
        prefixed(vec![0x13, 0x01], 2),
        vec![1, 0],
        prefixed(server_name, 2),
    ];
    let message = [vec![1], prefixed(body.concat(), 3)].concat();
    [vec![0x16, 3, 1], prefixed(message, 2)].concat()
}

/// A server that says its name and leaves.
async fn named(name: &'static str) -> SocketAddr {
    let (listener, addr) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(name.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    addr
}

#[tokio::test]
async fn a_map_sends_names_to_upstreams() {
    let (one, two, other) = (named("one").await, named("two").await, named("other").await);
    let stream = format!(
        "map $ssl_preread_server_name $name {{
            hostnames; default {other}; a.example.com one; .two.test {two};
        }}
        upstream one {{ hash $remote_addr; server {one}; }}
        server {{ listen LISTEN; ssl_preread on; proxy_pass $name; }}"
    );
    let ours = NginxLike::start("", &stream).await;
    let mut proxies = vec![ours.addr];
    let dir = tempfile::tempdir().unwrap();
    let _theirs = match env::var_os("LB_TEST_NGINX") {
        Some(nginx) => {
            let started = start_nginx(&nginx, dir.path(), &stream).await;
            proxies.push(started.0);
            Some(started)
        }
        None => {
            eprintln!("skipped: LB_TEST_NGINX does not name an nginx to compare with");
            None
        }
    };
    for addr in proxies {
        for (first, expected) in [
            (hello("a.example.com"), "one"),
            (hello("A.EXAMPLE.com"), "one"),
            (hello("two.test"), "two"),
            (hello("b.two.test"), "two"),
            (hello("b.example.com"), "other"),
            (b"GET / HTTP/1.0\r\n\r\n".to_vec(), "other"),
        ] {
            let mut client = TcpStream::connect(addr).await.unwrap();
            client.write_all(&first).await.unwrap();
            assert_eq!(answer(&mut client).await, expected, "by {addr}");
        }
    }
}

#[tokio::test]
async fn one_end_is_enough_unless_half_close_is_on() {
    let (backend, addr) = listen().await;
    for (setting, is_answered) in [("", false), ("proxy_half_close on;", true)] {
        let stream = format!("server {{ listen LISTEN; proxy_pass {addr}; {setting} }}");
        let proxy = NginxLike::start("", &stream).await;
        let mut client = TcpStream::connect(proxy.addr).await.unwrap();
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let (mut server, _) = within("the connection", backend.accept()).await.unwrap();
        assert_eq!(answer(&mut server).await, "question");
        if is_answered {
            server.write_all(b"answer").await.unwrap();
            drop(server);
            assert_eq!(answer(&mut client).await, "answer");
        } else {
            assert_eq!(answer(&mut client).await, "");
        }
    }
}

#[tokio::test]
async fn a_server_that_speaks_first_is_not_delayed() {
    let (backend, addr) = listen().await;
    let stream = format!("server {{ listen LISTEN; proxy_pass {addr}; }}");
    let proxy = NginxLike::start("", &stream).await;
    let mut client = TcpStream::connect(proxy.addr).await.unwrap();
    let (mut server, _) = within("the connection", backend.accept()).await.unwrap();
    server.write_all(b"220 ready").await.unwrap();
    drop(server);
    assert_eq!(answer(&mut client).await, "220 ready");
}
