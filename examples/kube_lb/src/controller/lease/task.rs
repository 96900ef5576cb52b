//! The requests of leader election.

use std::time::Duration;

use lb_discovery::DiscoveryError;
use lb_discovery::kubernetes::Cluster;
use lb_discovery::kubernetes::controller::{ApiAnswer, ApiMethod, ApiRequests};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::election::Election;
use super::record::LeaseRecord;
use crate::config::LeaseSettings;
use crate::controller::requests::lease;
use crate::controller::time::{now_micros, since_boot};

/// The time that a write should have left: less is no leadership.
const LEAST: Duration = Duration::from_millis(100);

/// Whether this replica leads, and for how long. A copy is another handle.
#[derive(Clone, Debug)]
pub(in crate::controller) struct Leadership(watch::Receiver<Option<Duration>>);

impl Leadership {
    /// The leadership of a program that has no other replicas.
    pub(in crate::controller) fn alone() -> Self {
        Self(watch::channel(Some(Duration::MAX)).1)
    }

    /// How long this replica leads from now on without another renewal. `None`: it does not lead.
    pub(in crate::controller) fn remaining(&self) -> Option<Duration> {
        let until = (*self.0.borrow())?;
        let left = until.checked_sub(since_boot())?;
        (left >= LEAST).then_some(left)
    }

    /// Waits for a renewal, or for the beginning or end of leadership.
    pub(in crate::controller) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Alone, or at the end of the program.
            std::future::pending().await
        }
    }
}

/// Takes part in the election until `stop`, and releases the Lease then. The future does the work.
pub(in crate::controller) fn lead(
    cluster: &Cluster,
    settings: LeaseSettings,
    stop: CancellationToken,
) -> (Leadership, impl Future<Output = ()> + use<>) {
    let (sender, receiver) = watch::channel(None);
    // Two processes that were given one identity must not take each other's Lease for their own.
    let unique = u64::from(std::process::id()) ^ (since_boot().subsec_nanos() as u64) << 32;
    let candidate = Candidate {
        election: Election::new(
            format!("{}_{unique:x}", settings.identity),
            settings.duration,
        ),
        requests: ApiRequests::new(cluster),
        settings,
        sender,
    };
    (Leadership(receiver), candidate.run(stop))
}

struct Candidate {
    election: Election,
    requests: ApiRequests,
    settings: LeaseSettings,
    sender: watch::Sender<Option<Duration>>,
}

impl Candidate {
    async fn run(mut self, stop: CancellationToken) {
        let pause = self.settings.duration / 3;
        let mut failing = false;
        loop {
            let failure = tokio::select! {
                tried = self.attempt() => tried.err(),
                () = stop.cancelled() => break,
            };
            if let Some(error) = &failure
                && !failing
            {
                warn!(%error, "Lease not renewed");
            }
            failing = failure.is_some();
            self.publish();
            let wait = match failing {
                true => Duration::from_secs(1).min(pause),
                false => pause,
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = stop.cancelled() => break,
            }
        }
        self.sender.send_replace(None);
        if let Err(error) = self.release().await {
            warn!(%error, "Lease not released");
        }
    }

    fn publish(&self) {
        let until = self.election.held_until(since_boot());
        let before = self.sender.send_replace(until);
        match (before.is_some(), until.is_some()) {
            (false, true) => info!(lease = %self.settings.name, "Leading"),
            (true, false) => info!(lease = %self.settings.name, "No longer leading"),
            _ => {}
        }
    }

    async fn attempt(&mut self) -> Result<(), DiscoveryError> {
        let current = self.read().await?;
        let sent = since_boot();
        let Some(wanted) = self.election.next(&current, sent, &now_micros()) else {
            self.election.lost();
            return Ok(());
        };
        let answer = self.write(&wanted).await?;
        match answer.code {
            _ if answer.is_success() => self.election.accepted(sent),
            // Another replica was faster.
            409 => {}
            _ => return Err(refused(&answer)),
        }
        Ok(())
    }

    /// The Lease, or an empty one where there is none.
    async fn read(&self) -> Result<LeaseRecord, DiscoveryError> {
        let LeaseSettings {
            namespace, name, ..
        } = &self.settings;
        let request = lease(ApiMethod::Get, namespace, name, None);
        let answer = self.requests.send(&request, self.limit()).await?;
        match answer.code {
            404 => Ok(LeaseRecord::default()),
            _ if answer.is_success() => {
                serde_json::from_slice(&answer.body).map_err(|error| unavailable(error.to_string()))
            }
            _ => Err(refused(&answer)),
        }
    }

    async fn write(&self, wanted: &LeaseRecord) -> Result<ApiAnswer, DiscoveryError> {
        let LeaseSettings {
            namespace, name, ..
        } = &self.settings;
        let method = match wanted.exists() {
            true => ApiMethod::Put,
            false => ApiMethod::Post,
        };
        let object = wanted.to_json(namespace, name);
        let request = lease(method, namespace, name, Some(&object));
        self.requests.send(&request, self.limit()).await
    }

    async fn release(&mut self) -> Result<(), DiscoveryError> {
        let current = self.read().await?;
        if let Some(released) = self.election.release(&current, &now_micros()) {
            self.write(&released).await?;
        }
        Ok(())
    }

    /// The time for one request.
    fn limit(&self) -> Duration {
        self.settings.duration / 3
    }
}

fn refused(answer: &ApiAnswer) -> DiscoveryError {
    let body: String = String::from_utf8_lossy(&answer.body)
        .chars()
        .take(300)
        .collect();
    unavailable(format!("{}: {body}", answer.code))
}

fn unavailable(problem: String) -> DiscoveryError {
    DiscoveryError::Unavailable {
        what: "reading and writing the Lease".into(),
        problem: problem.into(),
        source: None,
    }
}
