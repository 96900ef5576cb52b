//! A running driver whose publications a test reads.

#![allow(dead_code)] // every test uses its own part

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::{Backend, Snapshot};
use lb_discovery::{Discovery, Driver, DriverConfig, DriverHandle};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Longer than any test waits for a publication, in real and in paused time.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Running {
    pub(crate) handle: DriverHandle,
    pub(crate) started: Instant,
    cancel: CancellationToken,
    published: mpsc::UnboundedReceiver<Snapshot>,
    task: JoinHandle<Driver>,
}

impl Running {
    pub(crate) fn start(sources: Vec<Arc<dyn Discovery>>, config: DriverConfig) -> Self {
        let (driver, handle) = Driver::new(sources, config);
        Self::resume(driver, handle)
    }

    /// Runs a driver that may have run before.
    pub(crate) fn resume(mut driver: Driver, handle: DriverHandle) -> Self {
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
    pub(crate) async fn next(&mut self) -> Snapshot {
        let next = timeout(DEADLINE, self.published.recv()).await;
        next.expect("a publication in time")
            .expect("a running driver")
    }

    /// The next publication, if there is one within `time`.
    pub(crate) async fn next_within(&mut self, time: Duration) -> Option<Snapshot> {
        let next = timeout(time, self.published.recv()).await.ok()?;
        Some(next.expect("a running driver"))
    }

    /// Publications up to the first whose ports are these; their number.
    pub(crate) async fn until_ports(&mut self, wanted: &[u16]) -> usize {
        let mut count = 1;
        while ports(&self.next().await) != wanted {
            count += 1;
        }
        count
    }

    /// The addresses of the publications up to the first whose addresses are these.
    pub(crate) async fn until_addrs(&mut self, wanted: &[SocketAddr]) {
        while addrs(&self.next().await) != wanted {}
    }

    /// Whether nothing is published within `time`.
    pub(crate) async fn quiet_for(&mut self, time: Duration) -> bool {
        self.next_within(time).await.is_none()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Cancels the driver, waits for its end and gives it back.
    pub(crate) async fn stop(self) -> Driver {
        self.cancel.cancel();
        let ended = timeout(DEADLINE, self.task).await;
        ended
            .expect("an end in time")
            .expect("a driver that does not panic")
    }
}

pub(crate) fn backend(port: u16) -> Backend {
    Backend::new(SocketAddr::from(([127, 0, 0, 1], port)))
}

pub(crate) fn set(ports: &[u16]) -> Snapshot {
    ports.iter().copied().map(backend).collect()
}

pub(crate) fn ports(snapshot: &Snapshot) -> Vec<u16> {
    snapshot.iter().map(|b| b.addr.port()).collect()
}

pub(crate) fn addrs(snapshot: &Snapshot) -> Vec<SocketAddr> {
    snapshot.iter().map(|b| b.addr).collect()
}

/// Polls `condition` until it holds; for states that nothing announces. Paused time runs as far as it takes.
pub(crate) async fn eventually(mut condition: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "the state was never reached");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
