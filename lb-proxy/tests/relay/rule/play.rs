//! Plays one side of a session by its plan.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::URGENT;
use super::plan::{Act, End, Plan, Reader};
use test_support::kernel::{acknowledged, send_urgent};
use test_support::streams::reset_on_close;

/// How long a side trickles.
const TRICKLES: Duration = Duration::from_secs(4);

/// The state of one stream between its two ends.
pub(crate) struct Track {
    /// Bytes that the sender's kernel accepted.
    pub(crate) sent: AtomicUsize,
    pub(crate) urgent: AtomicUsize,
    /// Whether the sender has done everything.
    pub(crate) done: watch::Sender<bool>,
    /// The number of bytes that must arrive at least.
    pub(crate) owed: AtomicUsize,
}

impl Track {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            sent: AtomicUsize::new(0),
            urgent: AtomicUsize::new(0),
            done: watch::Sender::new(false),
            owed: AtomicUsize::new(usize::MAX),
        })
    }

    /// Bytes that are acknowledged to `sender` now must arrive, unless fewer must already.
    pub(crate) fn owe_acknowledged(&self, sender: &TcpStream) {
        let urgent = self.urgent.load(SeqCst);
        let acknowledged = acknowledged(sender).saturating_sub(urgent);
        self.owed.fetch_min(acknowledged, SeqCst);
    }
}

/// The bytes that a side read, and how its stream ended. `None` if the side reset the connection itself.
pub(crate) struct Seen {
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: Option<io::Result<()>>,
    /// Keeps the socket open until the other side has seen the end as well.
    _stream: Option<Arc<TcpStream>>,
}

pub(crate) async fn write(
    stream: &TcpStream,
    plan: &Plan,
    bytes: &[u8],
    track: &Track,
) -> io::Result<()> {
    let mut at = 0;
    for act in &plan.acts {
        match *act {
            Act::Pause(millis) => sleep(Duration::from_millis(millis)).await,
            Act::Urgent => {
                stream.writable().await?;
                match send_urgent(stream, URGENT) {
                    Ok(_) => {
                        track.urgent.fetch_add(1, SeqCst);
                        track.sent.fetch_add(1, SeqCst);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            Act::Write(len) => {
                let end = at + len;
                while at < end {
                    stream.writable().await?;
                    match stream.try_write(&bytes[at..end]) {
                        Ok(n) => {
                            at += n;
                            track.sent.fetch_add(n, SeqCst);
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
    Ok(())
}

pub(crate) async fn read(
    stream: &TcpStream,
    how: Reader,
    other: &Track,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    if how == Reader::Late {
        let mut done = other.done.subscribe();
        let _ = done.wait_for(|done| *done).await;
    }
    let mut piece = vec![
        0;
        if how == Reader::Eager {
            1 << 18
        } else {
            1 << 14
        }
    ];
    let begin = Instant::now();
    loop {
        let is_trickling = how == Reader::Trickle && begin.elapsed() < TRICKLES;
        let len = if is_trickling { 400 } else { piece.len() };
        stream.readable().await?;
        match stream.try_read(&mut piece[..len]) {
            Ok(0) => return Ok(()),
            Ok(n) => bytes.extend(&piece[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        match how {
            Reader::Eager | Reader::Late => {}
            Reader::Trickle if is_trickling => sleep(Duration::from_millis(100)).await,
            Reader::Slow | Reader::Trickle => sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Plays one side to its end.
pub(crate) async fn play(
    stream: Arc<TcpStream>,
    plan: Plan,
    bytes: &[u8],
    own: Arc<Track>,
    other: Arc<Track>,
) -> Seen {
    let mut seen = Vec::new();
    let writing = async {
        let written = write(&stream, &plan, bytes, &own).await;
        if plan.end == End::Reset {
            own.owe_acknowledged(&stream);
        }
        written
    };
    if plan.end == End::Reset {
        select! {
            _ = writing => {}
            () = async {
                let _ = read(&stream, plan.reader, &other, &mut seen).await;
                std::future::pending().await
            } => {}
        }
        reset_on_close(&stream);
        drop(stream);
        own.done.send_replace(true);
        return Seen {
            bytes: seen,
            end: None,
            _stream: None,
        };
    }
    let (written, ended) = {
        let finishing = async {
            let written = writing.await;
            if plan.end == End::Fin && written.is_ok() {
                let _ = socket2::SockRef::from(&*stream).shutdown(std::net::Shutdown::Write);
                own.owed
                    .fetch_min(own.sent.load(SeqCst) - own.urgent.load(SeqCst), SeqCst);
            }
            own.done.send_replace(true);
            written
        };
        tokio::join!(finishing, read(&stream, plan.reader, &other, &mut seen))
    };
    Seen {
        bytes: seen,
        _stream: Some(stream),
        // The kernel reports a reset once, to a write or to a read.
        end: Some(ended.and(written)),
    }
}
