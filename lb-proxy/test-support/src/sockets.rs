//! Addresses that are reserved, refuse or never answer, and connections over loopback.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// Any free port of the IPv4 loopback address.
pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// The two sockets of one connection: the connecting one and the accepted one.
pub type Pair = (TcpStream, TcpStream);

/// A connection over loopback.
pub fn pair_on_loopback() -> Pair {
    let listener = TcpListener::bind(loopback()).unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (connecting, listener.accept().unwrap().0)
}

/// An address that refuses connections. The socket is bound, so that no other socket gets the address, and does not
/// listen.
pub fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&loopback().into()).unwrap();
    let addr = local_addr(&socket);
    (socket, addr)
}

/// A port that is free in both families. The kernel chooses it for no other socket while the result lives; sockets with
/// `SO_REUSEADDR` may be bound to it.
pub fn reserved_port() -> (Socket, u16) {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    socket.set_only_v6(false).unwrap();
    socket.set_reuse_address(true).unwrap();
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    socket.bind(&any.into()).unwrap();
    let port = local_addr(&socket).port();
    (socket, port)
}

/// A socket that shares `addr` with the sockets of another program of the same user, as `SO_REUSEPORT` allows.
///
/// # Errors
///
/// What the kernel answers to `bind` or `listen`: `AddrInUse` unless the other sockets have `SO_REUSEPORT`, too.
pub fn join(addr: SocketAddr, ipv6_only: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(ipv6_only)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(1)?;
    Ok(socket)
}

/// Asserts that another program of the same user cannot listen on `addr` beside the proxy.
pub fn assert_exclusive(addr: SocketAddr, ipv6_only: bool) {
    // Twice: the kernel remembers the address of an attempt that succeeds.
    for _ in 0..2 {
        let error = join(addr, ipv6_only).expect_err("an address that is not shared");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{addr}");
    }
}

/// An address that never answers: it listens, but its queue is full, so the kernel drops further attempts.
#[derive(Debug)]
pub struct BlackHole {
    /// Where connections hang.
    pub addr: SocketAddr,
    _listener: Socket,
    _queued: Vec<Socket>,
}

impl BlackHole {
    /// Listens and fills the queue.
    pub fn open() -> Self {
        let (listener, addr) = refusing();
        listener.listen(0).unwrap();
        let mut queued = Vec::new();
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let connected = socket.connect_timeout(&addr.into(), Duration::from_millis(100));
            queued.push(socket);
            if connected.is_err() {
                break;
            }
        }
        Self {
            addr,
            _listener: listener,
            _queued: queued,
        }
    }
}

fn local_addr(socket: &Socket) -> SocketAddr {
    let addr = socket.local_addr().unwrap();
    addr.as_socket().expect("an IP socket")
}
