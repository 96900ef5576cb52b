//! A pool of kept connections for a protocol of one's own: `connection_pool COUNT BACKEND...`.
//!
//! Sends lines to servers that echo them. A connection is kept after its answer, and used for the next line.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex};

use lb_proxy::{Connected, Pool, Upstream};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// Connections that wait for the next request. An idle one counts as in flight at its backend, as it does there.
#[derive(Clone)]
struct Connections {
    upstream: Upstream,
    idle: Arc<Mutex<Vec<BufReader<Connected>>>>,
}

impl Connections {
    async fn request(&self, line: &str) -> Result<String, Box<dyn Error + Send + Sync>> {
        let kept = self.idle.lock().expect("no panic").pop();
        let backends = self.upstream.backends();
        let kept = kept.filter(|kept| backends.contains(kept.get_ref().backend().addr));
        // The backend may have closed one that was idle.
        if let Some(kept) = kept
            && let Ok(answer) = self.exchange(kept, line).await
        {
            return Ok(answer);
        }
        let fresh = BufReader::new(self.upstream.connect(b"").await?);
        Ok(self.exchange(fresh, line).await?)
    }

    /// Sends `line`, and keeps the connection after the answer.
    async fn exchange(&self, mut on: BufReader<Connected>, line: &str) -> io::Result<String> {
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
    let connections = Connections {
        upstream: pool.upstream().clone(),
        idle: Arc::default(),
    };
    for number in 0..count {
        eprintln!("{}", connections.request(&number.to_string()).await?);
    }
    let kept = connections.idle.lock().expect("no panic").len();
    eprintln!("{kept} connections");
    Ok(())
}
