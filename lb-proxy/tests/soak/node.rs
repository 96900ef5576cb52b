//! A backend that can be killed, revived and made to misbehave.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use test_support::deadline::eventually;
use test_support::sockets::loopback;
use test_support::streams::reset;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What a backend does with its connections. None ends a stream before its client does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Mood {
    Echo,
    /// Echoes after pauses.
    Slow,
    /// Accepts, and never reads.
    Stalled,
    /// Resets after the first bytes.
    Resetting,
}

pub(crate) const MOODS: [Mood; 4] = [Mood::Echo, Mood::Slow, Mood::Stalled, Mood::Resetting];

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) addr: SocketAddr,
    mood: Arc<AtomicU8>,
    /// Keeps the port while the node is dead.
    _reserved: Socket,
    /// Its drop kills the node.
    alive: Option<DropGuard>,
}

impl Node {
    pub(crate) async fn start() -> Self {
        let reserved = bound(loopback()).unwrap();
        let addr = reserved.local_addr().unwrap().as_socket().unwrap();
        let mut node = Self {
            addr,
            mood: Arc::default(),
            _reserved: reserved,
            alive: None,
        };
        node.revive().await;
        node
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive.is_some()
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.mood.store(mood as u8, Relaxed);
    }

    /// Closes its port and resets its connections.
    pub(crate) fn kill(&mut self) {
        self.alive = None;
    }

    /// Listens again on the same port.
    pub(crate) async fn revive(&mut self) {
        if self.is_alive() {
            return;
        }
        let addr = self.addr;
        let mut listener = None;
        // A node that was killed just now may not have closed its port.
        eventually("the port", || {
            listener = bound(addr).ok();
            listener.is_some()
        })
        .await;
        let listener = listener.unwrap();
        listener.listen(1024).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener.into()).unwrap();
        let killed = CancellationToken::new();
        let mood = Arc::clone(&self.mood);
        tokio::spawn(serve(listener, mood, killed.clone()));
        self.alive = Some(killed.drop_guard());
    }
}

fn bound(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

async fn serve(listener: TcpListener, mood: Arc<AtomicU8>, killed: CancellationToken) {
    while let Some(Ok((mut stream, _))) = killed.run_until_cancelled(listener.accept()).await {
        let (mood, killed) = (Arc::clone(&mood), killed.clone());
        tokio::spawn(async move {
            let ends = killed.run_until_cancelled(talk(&mut stream, &mood)).await;
            if !matches!(ends, Some(Ok(()))) {
                reset(stream);
            }
        });
    }
}

/// Returns an error for a connection that has to be reset.
async fn talk(stream: &mut TcpStream, mood: &AtomicU8) -> io::Result<()> {
    let mut buffer = [0; 8192];
    loop {
        let n = stream.read(&mut buffer).await?;
        match mood.load(Relaxed) {
            mood if mood == Mood::Resetting as u8 => {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            mood if mood == Mood::Slow as u8 => sleep(Duration::from_millis(5)).await,
            // Until the peer's reset shows at the write.
            mood if mood == Mood::Stalled as u8 => sleep(Duration::from_secs(1)).await,
            _ => {}
        }
        if n == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..n]).await?;
    }
}
