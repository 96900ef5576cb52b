//! The running server, and how a plan is applied to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lb_proxy::admin::DESCRIPTORS;
use lb_proxy::errors::{BindError, BuildError, ReloadError};
use lb_proxy::lb_core::{Endpoint, Snapshot};
use lb_proxy::reports::{DrainReport, SavedState};
use lb_proxy::{Handle, Proxy, Upstream, Workers};
use tokio::task::JoinHandle;
use tracing::info;

use super::listeners::Listeners;
use super::probe::{Probe, explain};
use super::upstreams::Upstreams;
use crate::plan::{Plan, UpstreamPlan};

/// Serves a plan. Sessions go on whatever changes, and end with it if it is dropped.
pub struct RunningProxy {
    handle: Handle,
    server: JoinHandle<DrainReport>,
    upstreams: Upstreams,
    listeners: Listeners,
    /// Named by listeners whose route function decides.
    nowhere: Upstream,
    /// The addresses that are listened on.
    open: BTreeSet<SocketAddr>,
    /// Why the others could not be listened on.
    failing: BTreeMap<SocketAddr, String>,
    settings: ServerSettings,
    /// What the first plan begins with.
    faults: Option<SavedState>,
}

#[derive(Clone, Copy, Debug)]
struct ServerSettings {
    workers: Option<usize>,
    withdraw_delay: Duration,
    drain_timeout: Duration,
}

/// Why nothing of a plan was applied. What was served before is still served.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A description of a listener cannot work. The planners check all settings, so this is a mistake of a planner.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The server cannot be started.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Ended,
}

impl RunningProxy {
    /// Starts a server that listens nowhere.
    ///
    /// # Errors
    ///
    /// [`ApplyError::Bind`] if a worker thread cannot be started.
    pub async fn start(
        workers: Option<usize>,
        withdraw_delay: Duration,
        drain_timeout: Duration,
    ) -> Result<Self, ApplyError> {
        let settings = ServerSettings {
            workers,
            withdraw_delay,
            drain_timeout,
        };
        let server = settings.builder().build()?.bind().await?;
        let handle = server.handle();
        // `Handle::shutdown` ends it.
        let server = tokio::spawn(server.run(std::future::pending()));
        Ok(Self {
            handle,
            server,
            upstreams: Upstreams::default(),
            listeners: Listeners::default(),
            nowhere: Upstream::builder("nowhere").fixed(&Snapshot::default())?,
            open: BTreeSet::new(),
            failing: BTreeMap::new(),
            settings,
            faults: None,
        })
    }

    /// Lets the backends of the first plan begin with what another process [knew of them](Handle::export_faults).
    pub fn begin_with(&mut self, faults: Option<SavedState>) {
        self.faults = faults;
    }

    /// The server's handle.
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Serves `plan`. `backends` has the sets of upstreams that are new. Returns why an address and port is not listened on.
    ///
    /// An address that cannot be listened on, or whose upstream cannot be built, does not affect the others. It is tried again with the next plan, or with the same one once
    /// [`has_news`](Self::has_news) says so.
    ///
    /// # Errors
    ///
    /// [`ApplyError`].
    pub async fn apply(
        &mut self,
        plan: &Plan,
        backends: impl Fn(&Arc<str>, &UpstreamPlan) -> Snapshot,
    ) -> Result<BTreeMap<SocketAddr, String>, ApplyError> {
        let unusable = self.upstreams.update(plan, backends);
        self.listeners
            .retain(|addr| plan.listeners().contains_key(addr));
        let mut failing = BTreeMap::new();
        let probe = Probe::default();
        for addr in plan
            .listeners()
            .keys()
            .filter(|addr| !self.open.contains(*addr))
        {
            if let Err(error) = probe.check(*addr) {
                failing.insert(*addr, explain(&error));
            }
        }
        let mut problems = loop {
            let mut wrong = BTreeMap::new();
            let proxy = self.describe(plan, &unusable, &failing, &mut wrong)?;
            if let Some(faults) = self.faults.take() {
                proxy.restore(faults);
            }
            match self.handle.reload(proxy).await {
                Ok(report) => {
                    for addr in &report.listeners.added {
                        info!(listener = %addr, "Listening");
                    }
                    break wrong;
                }
                Err(ReloadError::Ended) => return Err(ApplyError::Ended),
                Err(ReloadError::Bind(error)) => match failed(&error) {
                    // Taken since it was probed.
                    Some((addr, problem)) if !failing.contains_key(&addr) => {
                        failing.insert(addr, problem);
                    }
                    _ => return Err(error.into()),
                },
                Err(_) => return Err(ApplyError::Ended),
            }
        };
        problems.extend(failing.clone());
        self.failing = failing;
        let open = plan
            .listeners()
            .keys()
            .filter(|addr| !problems.contains_key(*addr));
        self.open = open.copied().collect();
        Ok(problems)
    }

    /// Whether an address could not be listened on, which may change at any time.
    pub fn must_try_again(&self) -> bool {
        !self.failing.is_empty()
    }

    /// Whether such an address can be listened on now, or fails for another reason than before: then [`apply`](Self::apply) may do
    /// more than last time. Some system calls for each address.
    pub fn has_news(&self) -> bool {
        let mut failing = self.failing.iter();
        let probe = Probe::default();
        failing.any(|(addr, known)| match probe.check(*addr) {
            Ok(()) => true,
            Err(error) => explain(&error) != *known,
        })
    }

    fn describe(
        &mut self,
        plan: &Plan,
        unusable: &BTreeMap<Arc<str>, String>,
        failing: &BTreeMap<SocketAddr, String>,
        wrong: &mut BTreeMap<SocketAddr, String>,
    ) -> Result<Proxy, ApplyError> {
        let mut builder = self.settings.builder();
        for (addr, listener) in plan.listeners() {
            if failing.contains_key(addr) {
                continue;
            }
            let mut names = listener.routing.upstreams();
            if let Some(problem) = names.find_map(|name| unusable.get(name)) {
                wrong.insert(*addr, problem.clone());
                continue;
            }
            let upstreams = &self.upstreams;
            match self
                .listeners
                .describe(*addr, listener, upstreams, &self.nowhere)
            {
                Ok(described) => {
                    builder = builder.listener(described.listener);
                    for upstream in &described.routed {
                        builder = builder.upstream(upstream);
                    }
                }
                Err(error) => drop(wrong.insert(*addr, error.to_string())),
            }
        }
        Ok(builder.build()?)
    }

    /// Sets the backends of the upstream `name`. Sessions of removed backends end as its plan says.
    pub fn set_backends(&self, name: &str, backends: Snapshot) {
        self.upstreams.set(name, backends);
    }

    /// Begins to end: accepts for the delay of the settings, in which routes go elsewhere; then stops accepting, and lets sessions end for
    /// the time of the settings.
    pub fn begin_shutdown(&self) {
        self.handle.shutdown();
    }

    /// Waits for the end of the server. `None` if it panicked. Cancel-safe, and not to be called again once it has returned.
    pub async fn ended(&mut self) -> Option<DrainReport> {
        (&mut self.server).await.ok()
    }
}

impl Drop for RunningProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl ServerSettings {
    fn builder(self) -> lb_proxy::ProxyBuilder {
        let chosen = self.workers.and_then(NonZeroUsize::new);
        let workers = chosen
            .or_else(|| std::thread::available_parallelism().ok())
            .map_or(Workers::CurrentRuntime, |count| {
                Workers::Threads(count.get())
            });
        Proxy::builder()
            .may_be_empty(true)
            .workers(workers)
            .detailed_metrics(true)
            .reserve_descriptors(DESCRIPTORS)
            .bind_timeout(Duration::ZERO)
            .pre_stop_delay(self.withdraw_delay)
            .drain_timeout(Some(self.drain_timeout))
    }
}

/// The address that cannot be listened on, and why.
fn failed(error: &BindError) -> Option<(SocketAddr, String)> {
    match error {
        BindError::Listen {
            addr: Endpoint::Tcp(addr),
            source,
        }
        | BindError::InTheWay { addr, source, .. } => Some((*addr, explain(source))),
        _ => None,
    }
}

impl fmt::Debug for RunningProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningProxy")
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::addresses::Owner;
    use crate::objects::ObjectName;
    use crate::plan::{
        CheckKind, CheckPlan, ListenerPlan, Reach, Routing, ServiceTarget, SessionPlan, Targets,
    };

    #[tokio::test]
    async fn an_upstream_that_cannot_be_built_affects_no_other() {
        let mut proxy = RunningProxy::start(Some(1), Duration::ZERO, Duration::ZERO)
            .await
            .unwrap();
        let any = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let port = any.local_addr().unwrap().port();
        drop(any);
        let mut plan = Plan::default();
        let addr = |last: u8| SocketAddr::from(([127, 2, 78, last], port));
        // lb-proxy refuses an interval of 1 ms.
        for (last, name, millis) in [(1, "short", 1), (2, "usual", 5000)] {
            let mut upstream = UpstreamPlan::new(ServiceTarget {
                service: ObjectName::new("default", name),
                port: 80,
                reach: Reach::Pods,
            });
            let interval = Duration::from_millis(millis);
            upstream.check = Some(CheckPlan {
                kind: CheckKind::Tcp,
                interval,
            });
            plan.upstream(name, upstream);
            let listener = ListenerPlan {
                owner: Owner::service("default", name),
                part: "port".to_owned(),
                routes: Vec::new(),
                routing: Routing::Plain(Targets::only(name)),
                sessions: SessionPlan::default(),
            };
            plan.listen(addr(last), listener).unwrap();
        }
        for _ in 0..2 {
            let applied = proxy.apply(&plan, |_, _| Snapshot::default()).await;
            let problems: Vec<_> = applied.unwrap().into_iter().collect();
            let [(at, problem)] = &problems[..] else {
                panic!("{problems:?}");
            };
            assert_eq!(*at, addr(1));
            assert!(
                problem.contains("upstream \"short\" cannot work"),
                "{problem}"
            );
            assert!(TcpStream::connect(addr(1)).is_err());
            assert!(TcpStream::connect(addr(2)).is_ok());
        }
    }
}
