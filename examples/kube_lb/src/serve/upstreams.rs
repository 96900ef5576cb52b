//! The upstreams of the plan, and the handles that set their backends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lb_proxy::Upstream;
use lb_proxy::balancing::OnBackendLoss;
use lb_proxy::errors::BuildError;
use lb_proxy::health::{CheckSettings, HttpCheck, TcpCheck};
use lb_proxy::lb_core::Snapshot;
use lb_proxy::lb_discovery::{DriverConfig, Manual, ManualHandle};
use lb_proxy::proxy_protocol::SendProxy;

use crate::plan::{CheckKind, DrainPlan, Plan, ProxyHeader, UpstreamPlan};

/// The upstreams by name.
#[derive(Default)]
pub(super) struct Upstreams {
    known: BTreeMap<Arc<str>, Entry>,
}

struct Entry {
    plan: UpstreamPlan,
    upstream: Upstream,
    handle: ManualHandle,
}

impl Upstreams {
    /// Makes the upstreams those of `plan`. An unchanged one stays the same object, so that a reload keeps it; a changed one
    /// begins with the current backends. `backends` has the sets of new ones. Returns why an upstream cannot be built: the planners check all
    /// settings, but a mistake must not keep every other change from being served.
    pub(super) fn update(
        &mut self,
        plan: &Plan,
        backends: impl Fn(&Arc<str>, &UpstreamPlan) -> Snapshot,
    ) -> BTreeMap<Arc<str>, String> {
        let mut wrong = BTreeMap::new();
        for (name, wanted) in plan.upstreams() {
            let known = self.known.get(name);
            if known.is_some_and(|known| known.plan == *wanted) {
                continue;
            }
            let same_source = known.filter(|known| known.plan.backends == wanted.backends);
            let snapshot = match same_source {
                Some(known) => known.handle.snapshot(),
                None => backends(name, wanted),
            };
            match build(name, wanted, snapshot) {
                Ok(entry) => drop(self.known.insert(Arc::clone(name), entry)),
                Err(error) => drop(wrong.insert(Arc::clone(name), error.to_string())),
            }
        }
        self.known
            .retain(|name, _| plan.upstreams().contains_key(name) && !wrong.contains_key(name));
        wrong
    }

    /// Sets the backends of the upstream `name`.
    pub(super) fn set(&self, name: &str, snapshot: Snapshot) {
        if let Some(entry) = self.known.get(name) {
            entry.handle.set(snapshot);
        }
    }

    /// The upstream `name`.
    pub(super) fn get(&self, name: &str) -> Option<&Upstream> {
        Some(&self.known.get(name)?.upstream)
    }
}

fn build(name: &Arc<str>, plan: &UpstreamPlan, snapshot: Snapshot) -> Result<Entry, BuildError> {
    let (source, handle) = Manual::new(snapshot);
    let on_removed = match plan.drain {
        DrainPlan::Keep => OnBackendLoss::Keep,
        DrainPlan::Within(within) => OnBackendLoss::Drain {
            within,
            spread: within / 10,
        },
    };
    let send = plan.proxy_header.map(|version| match version {
        ProxyHeader::V1 => SendProxy::v1(),
        ProxyHeader::V2 => SendProxy::v2(),
    });
    let mut builder = Upstream::builder(Arc::clone(name))
        .discovery(source.labelled(plan.backends.source_label()))
        // The controller gathers changes itself.
        .discovery_config(DriverConfig::new().debounce(Duration::ZERO))
        .policy(plan.policy.kind.build())
        .send_proxy(send)
        .on_removed(on_removed);
    if let Some(check) = &plan.check {
        let settings = CheckSettings::default()
            .interval(check.interval)
            .timeout(check.interval.min(Duration::from_secs(5)));
        builder = match &check.kind {
            CheckKind::Tcp => builder.health_check(TcpCheck::new(), settings),
            CheckKind::Http(path) => match HttpCheck::try_new(path) {
                Ok(http) => builder.health_check(http, settings),
                // The planners have checked the path.
                Err(_) => builder,
            },
        };
    }
    Ok(Entry {
        plan: plan.clone(),
        upstream: builder.build()?,
        handle,
    })
}
