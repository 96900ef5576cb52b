//! Addresses, servers and clients of the tests.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
pub(crate) use test_support::deadline::{eventually, within};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;

use crate::proxy::NginxLike;

/// Waits until `what`, a process that was started, listens on `addr`.
pub(crate) async fn listens(what: &str, addr: SocketAddr) {
    within(what, async {
        while TcpStream::connect(addr).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A listener of the test on a free port of the loopback address.
pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Reads the answer to the end.
pub(crate) async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    within("the answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    answer
}

/// An address that no other process gets, whether a server listens on it or not: a socket holds it without listening,
/// so that connections are refused until a server shares it.
#[derive(Debug)]
pub(crate) struct Reserved {
    pub(crate) addr: SocketAddr,
    _socket: Socket,
}

impl Reserved {
    pub(crate) fn at(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        let addr = socket.local_addr()?.as_socket().expect("an IP socket");
        Ok(Self {
            addr,
            _socket: socket,
        })
    }

    /// A free port of the loopback address.
    pub(crate) fn any() -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
    }

    /// The loopback address with a port that is free on every IPv4 address of the machine, for a `listen` of the port alone.
    pub(crate) fn everywhere() -> Self {
        let mut reserved = Self::at((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        reserved.addr.set_ip(Ipv4Addr::LOCALHOST.into());
        reserved
    }

    /// One port that is free on all of `hosts`.
    pub(crate) fn same_port(hosts: &[IpAddr]) -> Vec<Self> {
        loop {
            let first = Self::at((hosts[0], 0).into()).unwrap();
            let others = hosts[1..]
                .iter()
                .map(|&host| Self::at((host, first.addr.port()).into()));
            if let Ok(others) = others.collect::<io::Result<Vec<_>>>() {
                return std::iter::once(first).chain(others).collect();
            }
        }
    }

    /// Runs an echo server at the address. Aborting the task stops it.
    pub(crate) async fn serve(&self, hostname: &'static str) -> JoinHandle<()> {
        // Sets SO_REUSEADDR, which lets it share the address with the socket that holds it.
        let listener = TcpListener::bind(self.addr).await.unwrap();
        tokio::spawn(echo_server::serve(listener, hostname))
    }
}

/// A connection to an echo server.
#[derive(Debug)]
pub(crate) struct Conversation<S = TcpStream>(BufReader<S>);

impl Conversation {
    pub(crate) async fn open(addr: SocketAddr) -> io::Result<Self> {
        Ok(Self::over(TcpStream::connect(addr).await?))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    /// Uses an open connection.
    pub(crate) fn over(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    /// Sends a line and returns the name of the node that answered.
    pub(crate) async fn say(&mut self, line: &str) -> io::Result<String> {
        self.0.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        within("an answer", self.0.read_line(&mut answer)).await?;
        let (node, echo) = answer
            .split_once(": ")
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        assert_eq!(echo, format!("{line}\n"));
        Ok(node.to_owned())
    }

    pub(crate) fn into_stream(self) -> S {
        self.0.into_inner()
    }
}

/// The node that answers a new connection.
pub(crate) async fn ask(addr: SocketAddr) -> io::Result<String> {
    Conversation::open(addr).await?.say("hello").await
}

/// The node that answers a new connection to a unix domain socket.
pub(crate) async fn ask_unix(path: &Path) -> io::Result<String> {
    let stream = UnixStream::connect(path).await?;
    Conversation::over(stream).say("hello").await
}

/// The nodes that answer `n` connections, one after another.
pub(crate) async fn ask_times(addr: SocketAddr, n: usize) -> Vec<String> {
    let mut answers = Vec::with_capacity(n);
    for _ in 0..n {
        answers.push(ask(addr).await.expect("every connection is answered"));
    }
    answers
}

/// Connects in rounds until `reached` holds for the answers of one round, and prints the time it took.
pub(crate) async fn until(proxy: &NginxLike, what: &str, reached: impl Fn(&[String]) -> bool) {
    let begin = Instant::now();
    within(what, async {
        while !reached(&ask_times(proxy.addr, 8).await) {}
    })
    .await;
    eprintln!("{what}: after {:?}", begin.elapsed());
}
