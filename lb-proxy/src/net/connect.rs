//! One attempt to reach a backend.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{SockRef, Socket};
use tokio::io::Interest;
use tokio::time::timeout;

use crate::net::socket::{SocketOptions, Source};
use crate::net::stream::Stream;

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The backend or the way to it: refused, reset, unreachable.
    #[error("{0}")]
    Backend(io::Error),
    /// This machine: no free source port, no such source address or interface. Says nothing about the backend.
    #[error("{0}")]
    Local(io::Error),
    /// The address leads back to the own listeners, too often already for one client.
    #[error("the address leads back to the own listeners")]
    Loop,
    /// This machine: no descriptor or no memory. Another backend would not help.
    #[error("{0}")]
    Shortage(io::Error),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// Connects to `addr` within `limit`, in which there is no time if that is zero. `begun` gets the socket before its
/// peer can know of the connection.
pub(crate) async fn connect(
    addr: SocketAddr,
    source: &Source,
    options: &SocketOptions,
    limit: Duration,
    begun: impl FnOnce(&Socket),
) -> Result<Stream, ConnectError> {
    if limit.is_zero() {
        return Err(ConnectError::Timeout(limit));
    }
    let socket = source.connect(addr, options).map_err(blame)?;
    begun(&socket);
    let stream = Stream::from_std(socket.into()).map_err(blame)?;
    let answer = timeout(limit, stream.ready(Interest::WRITABLE | Interest::ERROR)).await;
    let ready = answer
        .map_err(|_| ConnectError::Timeout(limit))?
        .map_err(blame)?;
    // Whoever is writable without an error is connected: asking the kernel would cost another call.
    if ready.is_error() || ready.is_write_closed() {
        let reason = SockRef::from(&stream).take_error().map_err(blame)?;
        let reason = reason.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into());
        return Err(blame(reason));
    }
    if source.may_meet_itself(addr) && meets_itself(&stream) {
        return Err(blame(io::ErrorKind::ConnectionRefused.into()));
    }
    Ok(stream)
}

/// Whether both ends of `stream` are one socket. TCP lets a socket connect to itself (a simultaneous open) if the kernel
/// chooses the port that is connected to as the source port, which takes a backend on this machine that does not listen.
/// Such a connection is made to end with a reset: in TIME_WAIT it would keep the backend from listening again.
fn meets_itself(stream: &Stream) -> bool {
    let ends = (stream.local_addr(), stream.peer_addr());
    let met = matches!(ends, (Ok(local), Ok(peer)) if local == peer);
    if met {
        // Without the option the connection only takes longer to disappear.
        let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    }
    met
}

fn blame(error: io::Error) -> ConnectError {
    match Errno::from_io_error(&error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
            ConnectError::Shortage(error)
        }
        Some(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL | Errno::NODEV | Errno::PERM) => {
            ConnectError::Local(error)
        }
        // There is no source address of the backend's family.
        None if error.kind() == io::ErrorKind::AddrNotAvailable => ConnectError::Local(error),
        _ => ConnectError::Backend(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use socket2::{Domain, Socket, Type};

    use super::*;

    fn reserved() -> (Socket, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        (socket, addr)
    }

    #[tokio::test]
    async fn a_socket_that_met_itself_is_known_and_leaves_its_port_free() {
        let (socket, addr) = reserved();
        socket.connect(&addr.into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let stream = Stream::from_std(socket.into()).unwrap();
        assert!(meets_itself(&stream));
        drop(stream);
        // Without SO_REUSEADDR, which would bind beside a connection in TIME_WAIT.
        let again = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        again.bind(&addr.into()).unwrap();
        again.listen(1).unwrap();
        let connected = tokio::net::TcpStream::connect(addr).await.unwrap();
        assert!(!meets_itself(&connected.into()));
    }

    #[tokio::test]
    async fn a_dead_backend_in_the_ephemeral_range_is_refused_whatever_the_source_port() {
        // bind(2) chooses odd ports first, connect(2) even ones: the even neighbour is among the ports that it tries.
        let even = |(_held, addr): (Socket, SocketAddr)| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let addr = SocketAddr::new(addr.ip(), addr.port() & !1);
            socket.bind(&addr.into()).is_ok().then_some(addr)
        };
        let dead = std::iter::repeat_with(reserved).find_map(even).unwrap();
        let limit = Duration::from_secs(20);
        for _ in 0..15_000 {
            let attempt = connect(
                dead,
                &Source::any(),
                &SocketOptions::default(),
                limit,
                |_| {},
            )
            .await;
            match attempt {
                Err(ConnectError::Backend(error)) => {
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
                }
                // Another test got the port.
                Ok(stream) => assert!(!meets_itself(&stream)),
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[tokio::test]
    async fn no_source_address_of_the_family_blames_no_backend() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let source = Source::any().addr("::1".parse().unwrap());
        let to = listener.local_addr().unwrap();
        let limit = Duration::from_secs(20);
        let attempt = connect(to, &source, &SocketOptions::default(), limit, |_| {}).await;
        assert!(
            matches!(attempt, Err(ConnectError::Local(_))),
            "{attempt:?}"
        );
    }
}
