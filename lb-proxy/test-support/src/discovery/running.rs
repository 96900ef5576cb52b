//! A running driver, and the publications that a test reads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::Snapshot;
use lb_discovery::{Driver, DriverConfig, DriverHandle, Source};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::sets::{addrs, ports};
use crate::deadline::DEADLINE;

/// A driver in a task of its own.
pub struct RunningDriver {
    /// Reads the status of the driver, and asks it to refresh.
    pub handle: DriverHandle,
    /// The start, by tokio's clock.
    pub started: Instant,
    cancel: CancellationToken,
    published: mpsc::UnboundedReceiver<Snapshot>,
    task: JoinHandle<Driver>,
}

impl RunningDriver {
    /// Runs a new driver of `sources`.
    pub fn start(sources: Vec<Arc<dyn Source>>, config: DriverConfig) -> Self {
        let (driver, handle) = Driver::new(sources, config);
        Self::resume(driver, handle)
    }

    /// Runs a driver that may have run before.
    pub fn resume(mut driver: Driver, handle: DriverHandle) -> Self {
        let (sink, published) = mpsc::unbounded_channel();
        let cancel = CancellationToken::new();
        let started = Instant::now();
        let sink = move |snapshot| drop(sink.send(snapshot));
        let stop = cancel.clone();
        let task = tokio::spawn(async move {
            driver.run(sink, stop).await;
            driver
        });
        Self {
            handle,
            started,
            cancel,
            published,
            task,
        }
    }

    /// The next publication.
    pub async fn next(&mut self) -> Snapshot {
        let next = timeout(DEADLINE, self.published.recv()).await;
        next.expect("a publication in time")
            .expect("a running driver")
    }

    /// The next publication, if there is one within `time`.
    pub async fn next_within(&mut self, time: Duration) -> Option<Snapshot> {
        let next = timeout(time, self.published.recv()).await.ok()?;
        Some(next.expect("a running driver"))
    }

    /// Awaits the publication with exactly these ports. Returns the number of publications up to it.
    pub async fn until_ports(&mut self, wanted: &[u16]) -> usize {
        let mut count = 1;
        while ports(&self.next().await) != wanted {
            count += 1;
        }
        count
    }

    /// Awaits the publication with exactly these addresses.
    pub async fn until_addrs(&mut self, wanted: &[SocketAddr]) {
        while addrs(&self.next().await) != wanted {}
    }

    /// Whether the driver publishes nothing within `time`.
    pub async fn quiet_for(&mut self, time: Duration) -> bool {
        self.next_within(time).await.is_none()
    }

    /// The time since the start, by tokio's clock.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Cancels the driver, waits for its end and returns it.
    pub async fn stop(self) -> Driver {
        self.cancel.cancel();
        let ended = timeout(DEADLINE, self.task).await;
        ended
            .expect("an end in time")
            .expect("a driver that does not panic")
    }
}
