//! A client that opens a connection every 5 ms.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use test_support::namespace::Namespace;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot::Receiver;
use tokio::time::{interval, sleep, timeout};

use crate::echo::Background;

const INTERVAL: Duration = Duration::from_millis(5);

/// An answer that takes longer is a failure in the eyes of a user.
pub(crate) const QUICK: Duration = Duration::from_millis(300);

/// How long every connection has to be answered in time until a network counts as settled.
const CALM: Duration = Duration::from_millis(200);

/// How long the client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) started: Instant,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The answer came after this time.
    Answered(Duration),
    /// The connection was refused.
    Refused,
    /// The connection was reset or closed before its answer, as a session is when its address moves.
    Cut,
    /// No answer until the client stopped.
    Silent,
}

impl Attempt {
    pub(crate) fn is_good(&self) -> bool {
        matches!(self.outcome, Outcome::Answered(time) if time < QUICK)
    }
}

/// The client, in a thread of its own.
#[derive(Debug)]
pub(crate) struct Client {
    thread: Background<()>,
    attempts: Arc<Mutex<Vec<Attempt>>>,
}

impl Client {
    pub(crate) fn start(machine: &Namespace, to: SocketAddr) -> Self {
        let attempts = Arc::<Mutex<Vec<_>>>::default();
        let list = Arc::clone(&attempts);
        let thread = Background::start(machine, move |stopped| connect(to, list, stopped));
        Self { thread, attempts }
    }

    /// Whether `since` is [`CALM`] ago, and every connection of such a time has been answered in time.
    pub(crate) fn is_served_since(&self, since: Instant) -> bool {
        let Some(until) = Instant::now().checked_sub(QUICK) else {
            return false;
        };
        let attempts = self.attempts.lock().unwrap();
        let is_recent =
            |attempt: &&Attempt| until.saturating_duration_since(attempt.started) < CALM;
        let mut recent = attempts
            .iter()
            .filter(|attempt| attempt.started < until)
            .filter(is_recent);
        until.saturating_duration_since(since) > CALM
            && recent.clone().any(Attempt::is_good)
            && recent.all(Attempt::is_good)
    }

    /// Stops, and returns all connections in the order of their starts.
    pub(crate) fn stop(self) -> Vec<Attempt> {
        self.thread.stop();
        self.attempts.lock().unwrap().clone()
    }
}

async fn connect(to: SocketAddr, attempts: Arc<Mutex<Vec<Attempt>>>, mut stopped: Receiver<()>) {
    let mut ticks = interval(INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => (),
            _ = &mut stopped => break,
        }
        let started = Instant::now();
        let index = {
            let mut attempts = attempts.lock().unwrap();
            let outcome = Outcome::Silent;
            attempts.push(Attempt { started, outcome });
            attempts.len() - 1
        };
        let attempts = Arc::clone(&attempts);
        tokio::spawn(async move {
            let outcome = timeout(PATIENCE, ask(to, started)).await;
            let outcome = outcome.unwrap_or(Outcome::Silent);
            attempts.lock().unwrap()[index].outcome = outcome;
        });
    }
    // The last ones may still be answered in time.
    sleep(QUICK).await;
}

async fn ask(to: SocketAddr, started: Instant) -> Outcome {
    let Ok(mut stream) = TcpStream::connect(to).await else {
        return Outcome::Refused;
    };
    let mut byte = [b'?'];
    if stream.write_all(&byte).await.is_err() || stream.read_exact(&mut byte).await.is_err() {
        return Outcome::Cut;
    }
    Outcome::Answered(started.elapsed())
}
