//! The sockets for questions to one name server.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::net::runtime::{
    DnsUdpSocket, RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime,
};
use tokio::io::{Interest, ReadBuf};
use tokio::net::UdpSocket;

type Opening<T> = Pin<Box<dyn Send + Future<Output = io::Result<T>>>>;

/// Opens sockets to one name server.
///
/// UDP sockets are connected to it. Only then does the kernel report a closed port, so that a question to it fails at once
/// instead of after the time-out. The kernel also drops datagrams of other senders. The address is the one given here,
/// because the client's own has no scope.
#[derive(Clone)]
pub(crate) struct Sockets {
    server: SocketAddr,
    tokio: TokioRuntimeProvider,
}

impl Sockets {
    pub(crate) fn to(server: SocketAddr) -> Self {
        Self {
            server,
            tokio: TokioRuntimeProvider::default(),
        }
    }
}

impl RuntimeProvider for Sockets {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = ConnectedSocket;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> TokioHandle {
        self.tokio.create_handle()
    }

    fn connect_tcp(
        &self,
        _: SocketAddr,
        from: Option<SocketAddr>,
        wait_for: Option<Duration>,
    ) -> Opening<Self::Tcp> {
        self.tokio.connect_tcp(self.server, from, wait_for)
    }

    fn bind_udp(&self, from: SocketAddr, shown: SocketAddr) -> Opening<ConnectedSocket> {
        let server = self.server;
        Box::pin(async move {
            let socket = UdpSocket::bind(from).await?;
            socket.connect(server).await?;
            Ok(ConnectedSocket { socket, shown })
        })
    }
}

/// A UDP socket that is connected to a name server.
pub(crate) struct ConnectedSocket {
    socket: UdpSocket,
    /// The server's address, as the client expects it.
    shown: SocketAddr,
}

impl ConnectedSocket {
    /// The error that the kernel reports for an earlier datagram.
    fn error(&self) -> io::Error {
        let error = self.socket.take_error().unwrap_or_else(Some);
        error.unwrap_or_else(|| io::ErrorKind::WouldBlock.into())
    }
}

#[async_trait]
impl DnsUdpSocket for ConnectedSocket {
    type Time = TokioTime;

    /// Also waits for an error, which does not make a socket readable.
    async fn recv_from(&self, bytes: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            let ready = self.socket.ready(Interest::READABLE | Interest::ERROR);
            let received = if ready.await?.is_readable() {
                self.socket.try_recv(bytes)
            } else {
                self.socket.try_io(Interest::ERROR, || Err(self.error()))
            };
            match received {
                Ok(length) => return Ok((length, self.shown)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buffer = ReadBuf::new(bytes);
        ready!(self.socket.poll_recv(cx, &mut buffer))?;
        Poll::Ready(Ok((buffer.filled().len(), self.shown)))
    }

    fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        _: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_send(cx, bytes)
    }
}
