//! Sessions that stay open.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use test_support::namespace::Namespace;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot::Receiver;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::echo::Background;
use crate::process::eventually;

/// How often a session sends a byte, which the backend returns.
const INTERVAL: Duration = Duration::from_millis(100);

/// Sessions of one client, in a thread of their own.
#[derive(Debug)]
pub(crate) struct Sessions {
    thread: Background<Vec<Instant>>,
}

impl Sessions {
    /// Opens `number` sessions, and waits until all are open.
    pub(crate) fn open(machine: &Namespace, to: SocketAddr, number: usize) -> Self {
        let open = Arc::new(AtomicUsize::new(0));
        let opened = Arc::clone(&open);
        let thread = Background::start(machine, move |stopped| hold(to, number, opened, stopped));
        eventually("the sessions", || open.load(Relaxed) == number);
        Self { thread }
    }

    /// Stops, and returns when sessions ended.
    pub(crate) fn stop(self) -> Vec<Instant> {
        self.thread.stop()
    }
}

async fn hold(
    to: SocketAddr,
    number: usize,
    opened: Arc<AtomicUsize>,
    mut stopped: Receiver<()>,
) -> Vec<Instant> {
    let mut sessions = JoinSet::new();
    for _ in 0..number {
        sessions.spawn(session(to, Arc::clone(&opened)));
    }
    let mut ends = Vec::new();
    loop {
        tokio::select! {
            Some(end) = sessions.join_next() => ends.push(end.unwrap()),
            _ = &mut stopped => return ends,
        }
    }
}

/// Returns when the session has ended.
async fn session(to: SocketAddr, opened: Arc<AtomicUsize>) -> Instant {
    let mut byte = [b'.'];
    let mut stream = TcpStream::connect(to).await.unwrap();
    let mut is_first = true;
    loop {
        let sent = stream.write_all(&byte).await;
        if sent.is_err() || stream.read_exact(&mut byte).await.is_err() {
            return Instant::now();
        }
        if is_first {
            opened.fetch_add(1, Relaxed);
            is_first = false;
        }
        sleep(INTERVAL).await;
    }
}
