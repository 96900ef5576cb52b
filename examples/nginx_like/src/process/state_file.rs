//! `lb_state`: what the next process begins with.

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use lb_proxy::readiness_report::SharedReadyFile;
use lb_proxy::reports::{Phase, SavedState, SavedStateError};
use lb_proxy::{Handle, Proxy};
use tokio::select;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, error, info, warn};

use super::upgrade::ready_successor::ReadySuccessor;
use crate::config::state::StateConfig;

/// How long the end of the process waits for the last write, and an upgrade for the one before it.
pub(crate) const LAST_WRITE: Duration = Duration::from_secs(2);

/// Lets `proxy` begin with the file, if it can be used. A file that cannot is no reason not to start.
pub(crate) fn restore(config: &StateConfig, proxy: &Proxy) {
    let now = SystemTime::now();
    let path = config.path.display();
    match SavedState::read_file(&config.path, now) {
        Ok(None) => info!(%path, "No state file yet"),
        Ok(Some(state)) => {
            let age = now.duration_since(state.saved()).unwrap_or_default();
            let age = Duration::from_secs(age.as_secs());
            if age > config.max_age {
                warn!(%path, ?age, max_age = ?config.max_age, "State file ignored: it is too old");
                return;
            }
            let backends = state.backends();
            let upstreams = proxy.restore(state);
            info!(%path, ?age, backends, upstreams, "State file restored");
        }
        Err(error) => {
            let error = reason(&error);
            warn!(%path, error, "State file ignored");
        }
    }
}

fn reason(error: &SavedStateError) -> String {
    match error {
        SavedStateError::Io { source } => format!("{error}: {source}"),
        error => error.to_string(),
    }
}

/// Asks the [`StateSaver`] for writes. Does nothing without one.
#[derive(Clone, Debug, Default)]
pub(crate) struct StateWrites(Option<UnboundedSender<oneshot::Sender<()>>>);

/// What [`StateWrites`] ask for.
#[derive(Debug)]
pub(crate) struct StateRequests(UnboundedReceiver<oneshot::Sender<()>>);

impl StateWrites {
    pub(crate) fn channel() -> (Self, StateRequests) {
        let (sender, receiver) = unbounded_channel();
        (Self(Some(sender)), StateRequests(receiver))
    }

    /// Asks for a write.
    pub(crate) fn request(&self) -> oneshot::Receiver<()> {
        let (done, written) = oneshot::channel();
        if let Some(requests) = &self.0 {
            // Fails after the last write.
            let _ = requests.send(done);
        }
        written
    }

    /// Completes after a write that begins now, at the latest after [`LAST_WRITE`]: the file may hang.
    pub(crate) async fn write(&self) {
        let _ = timeout(LAST_WRITE, self.request()).await;
    }
}

/// Writes what the server knows, again and again, when it is asked to and when the shutdown begins.
///
/// Each write has a thread of its own, which ends with it: an idle thread slows the relay, and a file may hang. Nothing is written
/// after the beginning of the shutdown, because a successor may write then; nothing while the process of a new binary serves, which
/// writes the same file; and nothing by that before it serves.
#[derive(Debug)]
pub(crate) struct StateSaver {
    handle: Handle,
    successor: ReadySuccessor,
    ready_file: SharedReadyFile,
    path: PathBuf,
    interval: Duration,
    requests: StateRequests,
    /// Whether the last write failed, which is logged once.
    failed: bool,
}

impl StateSaver {
    /// `successor` and `ready_file` tell whether the process of another binary has taken over.
    pub(crate) fn new(
        handle: Handle,
        config: &StateConfig,
        requests: StateRequests,
        successor: ReadySuccessor,
        ready_file: SharedReadyFile,
    ) -> Self {
        Self {
            handle,
            successor,
            ready_file,
            path: config.path.clone(),
            interval: config.interval,
            requests,
            failed: false,
        }
    }

    /// Completes after the last write, which may hang.
    pub(crate) async fn run(mut self) {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let handle = self.handle.clone();
        let leaving = handle.reached(Phase::Leaving);
        tokio::pin!(leaving);
        self.handle.reached(Phase::Serving).await;
        // The first tick is at once, and nothing is known then.
        ticks.tick().await;
        loop {
            let mut asked = None;
            select! {
                () = &mut leaving => break,
                _ = ticks.tick() => {}
                Some(done) = self.requests.0.recv() => asked = Some(done),
            }
            self.save().await;
            // Its receiver waits for the write.
            drop(asked);
        }
        self.save().await;
    }

    async fn save(&mut self) {
        if self.successor.is_some() || self.ready_file.is_silent() {
            return;
        }
        let state = self.handle.export_state();
        // It would replace one with which the next process could serve.
        if state.backends() == 0 {
            return;
        }
        let written = write(state, self.path.clone()).await;
        let path = self.path.display();
        match &written {
            Ok(()) if self.failed => info!(%path, "State file written again"),
            Ok(()) => debug!(%path, "State file written"),
            Err(error) if self.failed => debug!(%path, %error, "State file not written"),
            Err(error) => error!(%path, %error, "State file not written"),
        }
        self.failed = written.is_err();
    }
}

async fn write(state: SavedState, path: PathBuf) -> io::Result<()> {
    let (done, outcome) = oneshot::channel();
    let thread = thread::Builder::new().name("state".to_owned());
    thread.spawn(move || {
        // The receiver is gone if the process ends.
        let _ = done.send(state.write_file(&path));
    })?;
    let ended = outcome.await;
    ended.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}
