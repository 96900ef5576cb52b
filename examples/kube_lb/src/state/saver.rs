//! Writes the file again and again.

use std::io;
use std::thread;
use std::time::SystemTime;

use lb_proxy::Handle;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, timeout};
use tracing::{debug, error, info};

use super::document::SavedClusters;
use super::file;
use crate::config::StateSettings;

/// How long the end of the process waits for the last write, which may hang.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// Writes what is known, on a thread of its own for each write: a file may hang.
#[derive(Debug)]
pub(crate) struct StateSaver {
    settings: StateSettings,
    /// The server whose backends are written as well.
    server: Handle,
    /// When the next write is due.
    due: Instant,
    writing: Option<oneshot::Receiver<io::Result<()>>>,
    /// Whether the last write failed, which is logged once.
    has_failed: bool,
}

impl StateSaver {
    /// The first write is due after an interval.
    pub(crate) fn new(settings: StateSettings, server: Handle) -> Self {
        Self {
            server,
            due: Instant::now() + settings.interval,
            settings,
            writing: None,
            has_failed: false,
        }
    }

    /// When to [`save`](Self::save). A write that hangs delays the next one.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Begins to write `known`, unless the last write goes on. `None`: there is nothing that would be of use.
    pub(crate) fn save(&mut self, known: Option<SavedClusters>) {
        self.due = Instant::now() + self.settings.interval;
        if let Some(writing) = &mut self.writing {
            match writing.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return,
                written => self.ended(written.unwrap_or_else(|_| Err(broken()))),
            }
        }
        if let Some(known) = known {
            self.writing = Some(self.write(known));
        }
    }

    /// Writes `known`, and waits for that for a limited time.
    pub(crate) async fn finish(mut self, known: Option<SavedClusters>) {
        let written = timeout(LAST_WRITE, async {
            if let Some(writing) = self.writing.take() {
                let written = writing.await.unwrap_or_else(|_| Err(broken()));
                self.ended(written);
            }
            if let Some(known) = known {
                let written = self.write(known).await;
                self.ended(written.unwrap_or_else(|_| Err(broken())));
            }
        });
        if written.await.is_err() {
            error!(path = %self.settings.file.display(), "State file not written: it hangs");
        }
    }

    fn write(&self, known: SavedClusters) -> oneshot::Receiver<io::Result<()>> {
        let (done, outcome) = oneshot::channel();
        let file = file(&self.settings);
        let server = self.server.clone();
        let spawned = thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || {
                let faults = server.export_faults();
                let json = known.to_json(&faults, SystemTime::now());
                let json = json.map_err(io::Error::other);
                // The receiver is gone if the process ends.
                let _ = done.send(json.and_then(|json| file.write(&json)));
            });
        if let Err(error) = spawned {
            let (failed, outcome) = oneshot::channel();
            let _ = failed.send(Err(error));
            return outcome;
        }
        outcome
    }

    fn ended(&mut self, written: io::Result<()>) {
        self.writing = None;
        let path = self.settings.file.display();
        match &written {
            Ok(()) if self.has_failed => info!(%path, "State file written again"),
            Ok(()) => debug!(%path, "State file written"),
            Err(error) if self.has_failed => debug!(%path, %error, "State file not written"),
            Err(error) => error!(%path, %error, "State file not written"),
        }
        self.has_failed = written.is_err();
    }
}

fn broken() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}
