//! Clients that count how their own sessions end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use test_support::streams::reset;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a client of one listener does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Behaviour {
    /// Closes its connection after a round trip.
    Close,
    /// Waits for an end or a reset, because it gets no service.
    Expect,
    /// Sends this many bytes and its end, and reads to the end.
    Patient(u64),
    /// Resets its connection after a round trip.
    Reset,
    /// Says nothing more after a round trip, until the proxy ends the session.
    Silent,
}

/// What the clients of one listener saw.
#[derive(Debug, Default)]
pub(super) struct ClientTotals {
    pub(super) connections: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) heard: AtomicU64,
    /// Ends of which the client is sure that it was not cut off.
    pub(super) finished: AtomicU64,
    /// Resets by the other side, after the client had sent.
    pub(super) resets: AtomicU64,
    /// Own resets.
    pub(super) own_resets: AtomicU64,
    /// Own closes.
    pub(super) own_closes: AtomicU64,
    /// Sessions that the proxy ended while the client was silent.
    pub(super) timed_out: AtomicU64,
    /// Connections that ended without service.
    pub(super) refused: AtomicU64,
}

impl ClientTotals {
    /// One client.
    pub(super) async fn run(&self, addr: SocketAddr, behaviour: Behaviour) {
        let connected = TcpStream::connect(addr).await;
        self.connections.fetch_add(1, Relaxed);
        if behaviour == Behaviour::Expect && connected.is_err() {
            // The reset came first.
            self.refused.fetch_add(1, Relaxed);
            return;
        }
        let mut stream = connected.unwrap();
        let ended = match behaviour {
            Behaviour::Expect => {
                let mut byte = [0];
                assert!(!matches!(stream.read(&mut byte).await, Ok(1..)));
                &self.refused
            }
            Behaviour::Patient(bytes) => self.patient(stream, bytes).await,
            Behaviour::Close => {
                round_trip(&mut stream).await;
                drop(stream);
                &self.own_closes
            }
            Behaviour::Reset => {
                round_trip(&mut stream).await;
                reset(stream);
                &self.own_resets
            }
            Behaviour::Silent => {
                round_trip(&mut stream).await;
                let mut byte = [0];
                assert!(!matches!(stream.read(&mut byte).await, Ok(1..)));
                &self.timed_out
            }
        };
        ended.fetch_add(1, Relaxed);
    }

    /// Sends, and reads to the end. Returns the count of such an end.
    async fn patient(&self, mut stream: TcpStream, bytes: u64) -> &AtomicU64 {
        let said = vec![7; usize::try_from(bytes).unwrap()];
        let (mut reader, mut writer) = stream.split();
        let speak = async {
            if writer.write_all(&said).await.is_ok() {
                self.sent.fetch_add(bytes, Relaxed);
            }
            let _ = writer.shutdown().await;
        };
        let listen = async {
            let mut buffer = [0; 4096];
            loop {
                match reader.read(&mut buffer).await {
                    Ok(0) => return &self.finished,
                    Ok(n) => self.heard.fetch_add(n as u64, Relaxed),
                    Err(_) => return &self.resets,
                };
            }
        };
        tokio::join!(speak, listen).1
    }
}

async fn round_trip(stream: &mut TcpStream) {
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
}
