//! Accepts connections and survives a lack of descriptors or memory.

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

/// The first pause after a failure: short for a client, and long enough that the loop does not spin.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
/// The longest pause. It bounds the rate of log lines while the shortage lasts.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// A listener that pauses after failures that would repeat at once.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: TcpListener,
    backoff: Duration,
    not_before: Option<Instant>,
}

impl Acceptor {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            backoff: BACKOFF_MIN,
            not_before: None,
        }
    }

    /// Accepts the next connection. Cancel-safe: the next call continues a pause that was cut short.
    pub(crate) async fn accept(&mut self) -> TcpStream {
        loop {
            if let Some(instant) = self.not_before {
                sleep_until(instant).await;
            }
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    self.backoff = BACKOFF_MIN;
                    self.not_before = None;
                    return stream;
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    log(&error, self.backoff);
                    self.pause();
                }
            }
        }
    }

    fn pause(&mut self) {
        self.not_before = Some(Instant::now() + self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
    }
}

/// Whether the failure removed its connection from the kernel's queue, so that the next call sees another connection.
///
/// Any other failure counts as lasting, whether known (no descriptors, no memory) or not.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

fn log(error: &io::Error, pause: Duration) {
    // `eprintln!` panics when stderr is closed. A closed stderr cannot be reported anywhere.
    let _ = writeln!(
        io::stderr(),
        "echo-server: cannot accept, next try in {pause:?}: {error}"
    );
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn only_a_lost_connection_is_skipped() {
        for errno in [Errno::CONNABORTED, Errno::INTR] {
            assert!(concerns_one_connection(&errno.into()), "{errno}");
        }
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::INVAL,
        ] {
            assert!(!concerns_one_connection(&errno.into()), "{errno}");
        }
    }

    #[tokio::test]
    async fn pauses_grow_to_their_limit() {
        let mut acceptor = Acceptor::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let mut pauses = Vec::new();
        for _ in 0..9 {
            pauses.push(acceptor.backoff.as_millis());
            acceptor.pause();
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[tokio::test]
    async fn a_connection_ends_the_pauses() {
        let mut acceptor = Acceptor::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        acceptor.pause();
        let addr = acceptor.listener.local_addr().unwrap();
        let _client = TcpStream::connect(addr).await.unwrap();
        acceptor.accept().await;
        assert_eq!((acceptor.backoff, acceptor.not_before), (BACKOFF_MIN, None));
    }
}
