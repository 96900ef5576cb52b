//! A real Prometheus scrapes the admin server of a proxy during chaos. On request: `LB_TEST_PROMETHEUS=/path/to/prometheus`, with
//! promtool beside it.
//!
//! `.ci/prometheus` installs both and runs it.

#[cfg(feature = "admin")]
mod chaos;
#[cfg(feature = "admin")]
mod clients;
#[cfg(feature = "admin")]
mod expected;
#[cfg(feature = "admin")]
mod process;

use std::net::SocketAddr;

use test_support::sockets::loopback;
use test_support::streams::reset;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A backend that echoes. One connection in `resets` is reset after its first bytes; 0 resets none.
pub(crate) async fn echo(resets: u64) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            number += 1;
            let is_reset = resets > 0 && number % resets == 0;
            tokio::spawn(async move {
                if is_reset {
                    let mut first = [0; 100];
                    let _ = stream.read(&mut first).await;
                    reset(stream);
                    return;
                }
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            });
        }
    });
    addr
}
