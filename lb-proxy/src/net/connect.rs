//! One attempt to connect to a backend.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use lb_core::Endpoint;
use rustix::io::Errno;
use socket2::{SockRef, Socket};
use tokio::time::Instant;

use super::bind_source::BindSource;
use super::options::SocketOptions;
use super::stream::{Stream, Transport};
use super::unix;
use crate::lazy_timer::LazyTimer;

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The backend or the network on the way to it: refused, reset, unreachable.
    #[error("{0}")]
    Backend(io::Error, AttemptStep),
    /// This machine: no free source port, no such source address or interface. Does not count against the backend.
    #[error("{0}")]
    Local(io::Error, AttemptStep),
    /// The address leads back to a listener of this proxy, and the client has passed through too many of them.
    #[error("the address leads back to a listener of this proxy")]
    Loop,
    /// This machine: no descriptor or no memory. An attempt with another backend would fail as well.
    #[error("{0}")]
    Shortage(io::Error, AttemptStep),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

impl ConnectError {
    /// Whether nothing answered, so that the path to the backend may be gone: there is no route or no such host, or the time
    /// was over. An answer, even a refusal, proves that there is a path.
    pub(crate) fn is_unanswered(&self) -> bool {
        match self {
            Self::Backend(error, _) => matches!(
                Errno::from_io_error(error),
                Some(
                    Errno::NETUNREACH
                        | Errno::HOSTUNREACH
                        | Errno::NETDOWN
                        | Errno::HOSTDOWN
                        | Errno::TIMEDOUT
                )
            ),
            Self::Timeout(_) => true,
            Self::Local(..) | Self::Loop | Self::Shortage(..) => false,
        }
    }
}

/// The step of an attempt to connect that failed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AttemptStep {
    /// The wait for the backend's answer: it refused, cannot be reached, or did not answer in time.
    Answer,
    /// The address leads back to a listener of this proxy, so no connection was begun.
    Loop,
    /// A system call that begins the connection: opening, setting up, binding or connecting the socket.
    Start,
}

crate::names::names!(AttemptStep {
    Answer = "answer",
    Loop = "loop",
    Start = "start",
});

/// A time that is over before an attempt can have begun.
const NO_TIME: Duration = Duration::from_micros(1);

/// The time that an attempt has.
#[derive(Debug)]
pub(crate) struct ConnectLimit<'a> {
    /// The time. One that no connection can meet is over at once: timers have a resolution of 1 ms, so it would become a longer one.
    pub(crate) within: Duration,
    /// The begin of the attempt.
    pub(crate) since: Instant,
    pub(crate) timer: Pin<&'a mut LazyTimer>,
}

/// Connects to `to` within `limit`, or for as long as the kernel tries.
///
/// `begun` is called with the socket as soon as the connection is under way. With `named` a unix socket has a
/// [name](unix::own_key) then, as every TCP socket has.
pub(crate) async fn connect(
    to: &Endpoint,
    named: bool,
    source: &BindSource,
    options: &SocketOptions,
    mut limit: Option<ConnectLimit<'_>>,
    begun: impl FnOnce(&Socket),
) -> Result<Stream, ConnectError> {
    if let Some(limit) = limit.as_ref().filter(|limit| limit.within < NO_TIME) {
        return Err(ConnectError::Timeout(limit.within));
    }
    let start = |error| classify(error, AttemptStep::Start);
    let answer = |error| classify(error, AttemptStep::Answer);
    let addr = match to {
        Endpoint::Tcp(addr) => *addr,
        Endpoint::Unix(path) => {
            let socket = unix::connect(path, options, named).map_err(start)?;
            begun(&socket);
            return Stream::new(socket.into(), Transport::Unix).map_err(start);
        }
    };
    let socket = source.connect(addr, options).map_err(start)?;
    begun(&socket);
    let stream = Stream::new(OwnedFd::from(socket), Transport::Tcp).map_err(start)?;
    let answered = poll_fn(|cx| {
        if let Poll::Ready(answered) = stream.poll_connected(cx) {
            return Poll::Ready(answered.map_err(answer));
        }
        match &mut limit {
            Some(limit) => limit.poll_over(cx).map(Err),
            None => Poll::Pending,
        }
    });
    if !answered.await? {
        let reason = SockRef::from(&stream).take_error().map_err(answer)?;
        let reason = reason.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into());
        return Err(answer(reason));
    }
    if source.may_connect_to_itself(addr) && is_connected_to_itself(&stream, addr) {
        return Err(answer(io::Error::from_raw_os_error(
            Errno::CONNREFUSED.raw_os_error(),
        )));
    }
    Ok(stream)
}

impl ConnectLimit<'_> {
    /// Completes when the time is over.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<ConnectError> {
        let Some(deadline) = self.since.checked_add(self.within) else {
            return Poll::Pending;
        };
        let over = self.timer.as_mut().poll_until(deadline, cx);
        over.map(|()| ConnectError::Timeout(self.within))
    }
}

/// Whether both ends of `stream`, which was connected to `to`, are one socket. Such a connection is reset when it is closed.
///
/// TCP lets a socket connect to itself (a simultaneous open) if the kernel chooses the destination port as the source
/// port. That happens with a backend on this machine that does not listen. Without the reset, the connection's TIME_WAIT
/// would keep the backend from listening again.
fn is_connected_to_itself(stream: &Stream, to: SocketAddr) -> bool {
    let local = stream.local_addr().ok();
    // The other end has the port of `to`, but another address if that is a wildcard.
    let local = local.filter(|local| local.port() == to.port());
    let is_own = local.is_some() && local == stream.peer_addr().ok();
    if is_own {
        // If this fails, the connection only takes longer to disappear.
        let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    }
    is_own
}

/// Finds the side that an error of the kernel is due to.
pub(super) fn classify(error: io::Error, step: AttemptStep) -> ConnectError {
    match Errno::from_io_error(&error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
            ConnectError::Shortage(error, step)
        }
        Some(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL | Errno::NODEV | Errno::PERM) => {
            ConnectError::Local(error, step)
        }
        // From `BindSource`: no source address of the backend's family.
        None if error.kind() == io::ErrorKind::AddrNotAvailable => ConnectError::Local(error, step),
        _ => ConnectError::Backend(error, step),
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
    async fn a_socket_connected_to_itself_is_found_and_leaves_its_port_free() {
        let (socket, addr) = reserved();
        socket.connect(&addr.into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let stream = Stream::new(OwnedFd::from(socket), Transport::Tcp).unwrap();
        assert!(is_connected_to_itself(&stream, addr));
        drop(stream);
        // Without SO_REUSEADDR, which would allow the bind beside a connection in TIME_WAIT.
        let again = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        again.bind(&addr.into()).unwrap();
        again.listen(1).unwrap();
        let connected = tokio::net::TcpStream::connect(addr).await.unwrap();
        assert!(!is_connected_to_itself(&connected.into(), addr));
    }

    #[tokio::test]
    async fn a_backend_that_does_not_listen_on_an_ephemeral_port_always_refuses() {
        // bind(2) chooses odd ports first, connect(2) even ones. So connect(2) tries the even neighbour of a bound port.
        let even = |(_held, addr): (Socket, SocketAddr)| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let addr = SocketAddr::new(addr.ip(), addr.port() & !1);
            socket.bind(&addr.into()).is_ok().then_some(addr)
        };
        let dead = std::iter::repeat_with(reserved).find_map(even).unwrap();
        for _ in 0..15_000 {
            let attempt = connect(
                &dead.into(),
                false,
                &BindSource::any(),
                &SocketOptions::default(),
                None,
                |_| {},
            )
            .await;
            match attempt {
                Err(ConnectError::Backend(error, _)) => {
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
                }
                // Another test got the port.
                Ok(stream) => assert!(!is_connected_to_itself(&stream, dead)),
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn only_an_attempt_without_an_answer_may_have_lost_its_path() {
        let of = |errno: Errno| classify(errno.into(), AttemptStep::Answer).is_unanswered();
        let path = [
            Errno::NETUNREACH,
            Errno::HOSTUNREACH,
            Errno::NETDOWN,
            Errno::TIMEDOUT,
        ];
        assert!(path.into_iter().all(of));
        let others = [Errno::CONNREFUSED, Errno::CONNRESET, Errno::ADDRNOTAVAIL];
        assert!(!others.into_iter().any(of));
        assert!(ConnectError::Timeout(Duration::ZERO).is_unanswered());
    }

    #[tokio::test]
    async fn a_missing_source_address_of_the_family_does_not_count_against_the_backend() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let source = BindSource::any().addr("::1".parse().unwrap());
        let to = listener.local_addr().unwrap();
        let attempt = connect(
            &to.into(),
            false,
            &source,
            &SocketOptions::default(),
            None,
            |_| {},
        )
        .await;
        assert!(
            matches!(attempt, Err(ConnectError::Local(..))),
            "{attempt:?}"
        );
    }
}
