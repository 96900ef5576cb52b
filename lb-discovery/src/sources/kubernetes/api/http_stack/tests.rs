use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::{Context, Poll};
use std::{io, vec};

use hyper_util::client::legacy::connect::dns::Name;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const DEAD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const LIVE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// Every name has a dead address, and then a live one.
#[derive(Clone)]
struct Names;

impl Service<Name> for Names {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        let addresses = [DEAD, LIVE].map(|ip| SocketAddr::new(ip, 0));
        ready(Ok(Vec::from(addresses).into_iter()))
    }
}

/// Sockets that listen at a port with a full queue, so that the kernel answers no further connection.
fn silent(port: u16) -> io::Result<Vec<Socket>> {
    let addr = SocketAddr::new(DEAD, port).into();
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.bind(&addr)?;
    listener.listen(0)?;
    let mut sockets = vec![listener];
    loop {
        let queued = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        let connected = queued.connect_timeout(&addr, Duration::from_millis(100));
        sockets.push(queued);
        if connected.is_err() {
            return Ok(sockets);
        }
    }
}

async fn answer(listener: TcpListener) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await?;
    }
}

#[tokio::test]
async fn the_second_address_has_its_part_of_the_time() {
    let (listener, _silent) = loop {
        let listener = TcpListener::bind((LIVE, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // The port may be in use at the other address.
        if let Ok(sockets) = silent(port) {
            break (listener, sockets);
        }
    };
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(answer(listener));
    let server = format!("http://api.test:{port}").parse().unwrap();
    let connector = HttpConnector::new_with_resolver(Names);
    let client = by(
        connector,
        &Config::new(server),
        None,
        Duration::from_secs(2),
    )
    .unwrap();
    let request = http::Request::get("/").body(Body::empty()).unwrap();
    let answer = client.send(request).await.unwrap();
    assert_eq!(answer.status(), 200);
}
