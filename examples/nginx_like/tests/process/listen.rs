//! `listen` with ports, names and options, and `proxy_bind`.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

use crate::proxy::NginxLike;
use crate::sockets::{Reserved, answer, ask, listen, within};

/// Two ports that follow each other and are free on the loopback address of IPv4.
fn two_ports() -> [Reserved; 2] {
    loop {
        let first = Reserved::any();
        let next = first.addr.port().checked_add(1);
        let second = next.map(|port| Reserved::at(([127, 0, 0, 1], port).into()));
        if let Some(Ok(second)) = second {
            return [first, second];
        }
    }
}

#[tokio::test]
async fn every_port_of_a_range_and_every_address_of_a_name_is_served() {
    let echo = Reserved::any();
    let _echo = echo.serve("node").await;
    let [first, last] = two_ports();
    let (from, to) = (first.addr.port(), last.addr.port());
    let stream = format!(
        "server {{ listen LISTEN; proxy_pass {e}; }}
         server {{ listen localhost:{from}-{to} rcvbuf=64k sndbuf=64k fastopen=16 deferred bind; proxy_pass {e}; }}",
        e = echo.addr
    );
    let proxy = NginxLike::start("", &stream).await;
    proxy.logged(&format!("127.0.0.1:{to}")).await;
    for reserved in [&first, &last] {
        assert_eq!(ask(reserved.addr).await.unwrap(), "node");
    }
    let range_alone = stream.replace(&format!("{from}-{to}"), &to.to_string());
    proxy.reload("", &range_alone).await;
    assert_eq!(ask(last.addr).await.unwrap(), "node");
    assert!(TcpStream::connect(first.addr).await.is_err());
}

#[tokio::test]
async fn multipath_listeners_serve_tcp_or_say_what_the_kernel_lacks() {
    let echo = Reserved::any();
    let _echo = echo.serve("node").await;
    let stream = format!("server {{ listen LISTEN; proxy_pass {}; }}", echo.addr);
    let proxy = NginxLike::start("", &stream).await;
    let multipath = stream.replace("LISTEN", "LISTEN multipath");
    proxy.configure("", &multipath);
    proxy.signal(rustix::process::Signal::HUP);
    within("the reload", async {
        while !proxy.log().contains("listeners.changed=[127.0.0.1") {
            let log = proxy.log();
            if log.contains("not applied") {
                assert!(log.contains("bind() to 127.0.0.1"), "{log}");
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
}

async fn peer_of_next(server: &TcpListener) -> SocketAddr {
    within("a connection", server.accept()).await.unwrap().1
}

#[tokio::test]
async fn proxy_bind_takes_ports_and_variables() {
    let (server, to) = listen().await;
    let fixed = Reserved::at(([127, 0, 0, 3], 0).into()).unwrap();
    let second = Reserved::any();
    let stream = format!(
        "server {{ listen LISTEN; proxy_pass {to}; proxy_bind $remote_addr; }}
         server {{ listen {}; proxy_pass {to}; proxy_bind {}; }}",
        second.addr, fixed.addr
    );
    let proxy = NginxLike::start("", &stream).await;
    let _client = TcpStream::connect(proxy.addr).await.unwrap();
    assert_eq!(peer_of_next(&server).await.ip().to_string(), "127.0.0.1");
    let from = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    from.bind(&SocketAddr::from(([127, 0, 0, 9], 0)).into())
        .unwrap();
    from.connect(&proxy.addr.into()).unwrap();
    assert_eq!(peer_of_next(&server).await.ip().to_string(), "127.0.0.9");
    proxy.logged(&second.addr.to_string()).await;
    let _client = TcpStream::connect(second.addr).await.unwrap();
    assert_eq!(peer_of_next(&server).await, fixed.addr);

    // What is no address leaves the choice to the system, with a message.
    let stream = stream.replace("$remote_addr", "$protocol");
    proxy.reload("", &stream).await;
    let _client = TcpStream::connect(proxy.addr).await.unwrap();
    assert_eq!(peer_of_next(&server).await.ip().to_string(), "127.0.0.1");
    proxy.logged("invalid local address \"TCP\"").await;
}

/// All that a client gets.
async fn response(addr: SocketAddr) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    answer(&mut stream).await
}

#[tokio::test]
async fn the_local_address_chooses_between_a_wildcard_and_the_addresses_of_its_port() {
    let shared = Reserved::everywhere();
    let port = shared.addr.port();
    let other = SocketAddr::from(([127, 0, 0, 2], port));
    let stream = format!(
        "server {{ listen LISTEN; return first; }}
         server {{ listen {}OPTIONS; return \"one $server_addr\"; }}
         server {{ listen {port}; return \"any $server_addr\"; }}",
        shared.addr
    );
    let elsewhere = Reserved::any();
    let without = stream.replace(
        &format!("{}OPTIONS", shared.addr),
        &elsewhere.addr.to_string(),
    );
    let proxy = NginxLike::start("", &stream.replace("OPTIONS", "")).await;
    proxy.logged(&format!("0.0.0.0:{port}")).await;
    // Without a socket of its own, with one beside the wildcard's, and not at all.
    for (stream, expected) in [
        (stream.replace("OPTIONS", " bind"), "one 127.0.0.1"),
        (stream.replace("OPTIONS", ""), "one 127.0.0.1"),
        (without, "any 127.0.0.1"),
        (stream.replace("OPTIONS", ""), "one 127.0.0.1"),
    ] {
        proxy.reload("", &stream).await;
        assert_eq!(response(shared.addr).await, expected);
        assert_eq!(response(other).await, "any 127.0.0.2");
    }
}
