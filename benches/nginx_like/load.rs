//! Clients and servers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, spawn};
use tokio::time::sleep;

use super::Outcome;

const MESSAGE: usize = 64;

/// Starts `count` sessions at `rate` a second; each sends a message and reads its echo. Returns their times, from the moment at which
/// each was due.
pub(super) async fn sessions(addr: SocketAddr, count: u32, rate: u32) -> Outcome<Vec<Duration>> {
    let begin = Instant::now();
    let mut open = JoinSet::new();
    for number in 0..count {
        let due = begin + Duration::from_secs(1) * number / rate;
        while Instant::now() < due {
            sleep(Duration::from_millis(1)).await;
        }
        open.spawn(async move {
            let mut stream = TcpStream::connect(addr).await?;
            round_trip(&mut stream).await?;
            Outcome::Ok(due.elapsed())
        });
    }
    let mut times = Vec::new();
    while let Some(session) = open.join_next().await {
        times.push(session??);
    }
    Ok(times)
}

async fn round_trip(stream: &mut TcpStream) -> Outcome {
    stream.write_all(&[7; MESSAGE]).await?;
    stream.read_exact(&mut [0; MESSAGE]).await?;
    Ok(())
}

pub(super) async fn round_trips(
    mut stream: TcpStream,
    over: Arc<AtomicBool>,
) -> Outcome<Vec<Duration>> {
    let mut times = Vec::new();
    while !over.load(Relaxed) {
        let begin = Instant::now();
        round_trip(&mut stream).await?;
        times.push(begin.elapsed());
        sleep(Duration::from_millis(1)).await;
    }
    Ok(times)
}

/// A server that echoes, on the runtime that runs this.
pub(super) async fn echo() -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    Ok(addr)
}
