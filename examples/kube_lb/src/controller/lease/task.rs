//! The requests of leader election.

use std::time::Duration;

use lb_discovery::DiscoveryError;
use lb_discovery::kubernetes::Cluster;
use lb_discovery::kubernetes::controller::{ApiAnswer, ApiMethod, ApiRequests};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::election::Election;
use super::record::LeaseRecord;
use crate::config::LeaseSettings;
use crate::controller::answer::message;
use crate::controller::requests::lease;
use crate::controller::time::{now_micros, since_boot};
use crate::log_limit::LogLimit;
use crate::metrics::ControllerMetrics;

/// The time that a write should have left: less is no leadership.
const LEAST: Duration = Duration::from_millis(100);

/// Whether this replica leads, and for how long. A copy is another handle.
#[derive(Clone, Debug)]
pub(in crate::controller) struct Leadership(watch::Receiver<Option<Duration>>);

impl Leadership {
    /// The leadership of a program that has no other replicas.
    pub(in crate::controller) fn alone(metrics: &ControllerMetrics) -> Self {
        metrics.leads(true);
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
    metrics: ControllerMetrics,
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
        metrics,
        log_limit: LogLimit::default(),
    };
    (Leadership(receiver), candidate.run(stop))
}

struct Candidate {
    election: Election,
    requests: ApiRequests,
    settings: LeaseSettings,
    sender: watch::Sender<Option<Duration>>,
    metrics: ControllerMetrics,
    log_limit: LogLimit,
}

impl Candidate {
    async fn run(mut self, stop: CancellationToken) {
        let pause = self.settings.duration / 3;
        loop {
            let failure = tokio::select! {
                tried = self.attempt() => tried.err(),
                () = stop.cancelled() => break,
            };
            if let Some(error) = &failure {
                self.metrics.renewal_failed();
                if let Some(suppressed) = self.log_limit.admit(Instant::now()) {
                    warn!(%error, suppressed, "Lease not renewed");
                }
            }
            self.publish();
            let wait = match failure.is_some() {
                true => Duration::from_secs(1).min(pause),
                false => pause,
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = stop.cancelled() => break,
            }
        }
        self.sender.send_replace(None);
        self.metrics.leads(false);
        if let Err(error) = self.release().await {
            warn!(%error, "Lease not released");
        }
    }

    fn publish(&self) {
        let until = self.election.held_until(since_boot());
        let before = self.sender.send_replace(until);
        self.metrics.leads(until.is_some());
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
    unavailable(format!("{}: {}", answer.code, message(answer)))
}

fn unavailable(problem: String) -> DiscoveryError {
    DiscoveryError::Unavailable {
        what: "reading and writing the Lease".into(),
        problem: problem.into(),
        source: None,
    }
}
