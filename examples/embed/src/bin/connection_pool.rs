//! A pool of kept connections for a protocol of one's own: `connection_pool COUNT BACKEND...`.
//!
//! Sends lines to servers that echo them. The policy picks a backend for each line, which goes over an idle connection to that
//! backend or a new one.

use std::convert::Infallible;
use std::error::Error;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lb_proxy::Pool;
use lb_proxy::lb_core::Backend;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::{ServiceExt, service_fn};

/// The connections to one backend. In flight there are lines: an idle connection does not count.
struct Connections {
    addr: SocketAddr,
    idle: Mutex<Vec<BufReader<TcpStream>>>,
}

impl Connections {
    async fn request(&self, line: &str) -> io::Result<String> {
        let kept = self.idle.lock().expect("no panic").pop();
        // The backend may have closed one that was idle.
        if let Some(kept) = kept
            && let Ok(answer) = self.exchange(kept, line).await
        {
            return Ok(answer);
        }
        let fresh = timeout(Duration::from_secs(5), TcpStream::connect(self.addr)).await??;
        self.exchange(BufReader::new(fresh), line).await
    }

    /// Sends `line`, and keeps the connection after the answer.
    async fn exchange(&self, mut on: BufReader<TcpStream>, line: &str) -> io::Result<String> {
        on.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        if on.read_line(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.idle.lock().expect("no panic").push(on);
        Ok(answer.trim_end().to_owned())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "connection_pool COUNT BACKEND...";
    let count: u32 = arguments.next().ok_or(usage)?.parse()?;
    let pool = Pool::fixed(arguments)?;
    // Called once for each backend. What it returns is dropped when the backend leaves.
    let balanced = pool.balance(service_fn(|backend: Arc<Backend>| {
        let (addr, idle) = (backend.addr, Mutex::default());
        let connections = Arc::new(Connections { addr, idle });
        let request = move |line: String| {
            let connections = Arc::clone(&connections);
            async move { connections.request(&line).await }
        };
        ready(Ok::<_, Infallible>(service_fn(request)))
    }));
    let balanced = balanced.retry(|_| true); // on another backend: these lines may be sent twice
    for number in 0..count {
        eprintln!("{}", balanced.clone().oneshot(number.to_string()).await?);
    }
    Ok(())
}
