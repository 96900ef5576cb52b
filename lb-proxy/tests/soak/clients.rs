//! Clients, and what became of their connections.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use lb_core::{Rng, SplitMix64};
use test_support::bytes::noise;
use test_support::streams::reset;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Longer than every time-out of the proxy.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// All bytes came back, and then the end.
    pub(crate) complete: AtomicU64,
    /// The end came before the last bytes.
    pub(crate) short: AtomicU64,
    /// Reset, refused, or given up by the client.
    pub(crate) broken: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [complete, short, broken, bytes] =
            [&self.complete, &self.short, &self.broken, &self.bytes]
                .map(|count| count.load(Relaxed));
        write!(
            f,
            "{complete} complete, {short} short, {broken} broken, {bytes} bytes"
        )
    }
}

pub(crate) fn chance(rng: &mut SplitMix64, percent: u64) -> bool {
    rng.next_u64() % 100 < percent
}

pub(crate) fn below(rng: &mut SplitMix64, bound: u64) -> u64 {
    rng.next_u64() % bound
}

/// One connection. Asserts that what comes back is what was sent.
pub(crate) async fn client(addr: SocketAddr, rng: &mut SplitMix64, tally: &Tally) {
    sleep(Duration::from_millis(below(rng, 30))).await;
    let outcome = match timeout(PATIENCE, talk(addr, rng, tally)).await {
        Ok(Ok(true)) => &tally.complete,
        Ok(Ok(false)) => &tally.short,
        Ok(Err(_)) | Err(_) => &tally.broken,
    };
    outcome.fetch_add(1, Relaxed);
}

/// Returns whether everything came back before the end.
async fn talk(addr: SocketAddr, rng: &mut SplitMix64, tally: &Tally) -> io::Result<bool> {
    let mut stream = TcpStream::connect(addr).await?;
    let most = [1, 64, 64, 2000, 100_000, 1_000_000][below(rng, 6) as usize];
    let said = noise(rng.next_u64(), 1 + below(rng, most) as usize);
    let (pauses, slow, leaves) = (chance(rng, 10), chance(rng, 10), chance(rng, 8));
    let (mut reader, mut writer) = stream.split();
    let speak = async {
        let (first, rest) = said.split_at(said.len() / 2);
        writer.write_all(first).await?;
        if pauses {
            sleep(Duration::from_millis(500)).await;
        }
        if leaves {
            return Err(io::ErrorKind::Interrupted.into());
        }
        writer.write_all(rest).await?;
        writer.shutdown().await
    };
    let mut heard = Vec::new();
    let listen = async {
        let mut buffer = vec![0; 16 << 10];
        loop {
            if slow {
                sleep(Duration::from_millis(1)).await;
            }
            match reader.read(&mut buffer).await? {
                0 => return Ok(()),
                n => heard.extend_from_slice(&buffer[..n]),
            }
        }
    };
    let outcome: io::Result<((), ())> = tokio::try_join!(speak, listen);
    assert!(said.starts_with(&heard), "other bytes than were sent");
    tally.bytes.fetch_add(heard.len() as u64, Relaxed);
    if leaves {
        reset(stream);
    }
    outcome?;
    Ok(heard == said)
}
