//! The policy in force for a listener and a route.
//!
//! A policy for a listener precedes one for the whole Gateway or ListenerSet, and replaces it as a whole. Of two policies for one
//! target the oldest counts, then the one whose `namespace/name` is first; the other is reported as conflicted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::object::ConnectionPolicy;
use super::settings::{PolicySettings, ReadPolicies};
use super::targets::{Slot, Targets, ancestors};
use crate::gateway::api::route::ParentReference;
use crate::gateway::attach::Route;
use crate::gateway::listener::ListenerOwner;
use crate::gateway::precedence::Precedence;
use crate::gateway::protocol::RouteKind;
use crate::gateway::serving::PortPlan;
use crate::gateway::view::View;

/// The policies of listeners and routes, and what is reported of each policy.
#[derive(Debug, Default)]
pub(crate) struct AttachedPolicies<'a> {
    slots: BTreeMap<Slot, Attached<'a>>,
    /// The ports whose listeners have different policies: none of them counts there.
    mixed: BTreeSet<(usize, u16)>,
    /// By the key of the policy: its targets in their order.
    pub(crate) reports: BTreeMap<String, Vec<TargetReport>>,
}

/// The policy of a slot.
#[derive(Clone, Copy, Debug)]
struct Attached<'a> {
    key: &'a str,
    /// The index of the target in the policy.
    target: usize,
    settings: &'a PolicySettings,
}

/// What became of a policy at one target.
#[derive(Debug)]
pub(crate) struct TargetReport {
    /// The objects to which the report belongs: Gateways, or a target that is not known.
    pub(crate) ancestors: Vec<ParentReference>,
    /// The reason of the API why it does not count there, and a text.
    pub(crate) outcome: Result<(), (&'static str, String)>,
}

impl<'a> AttachedPolicies<'a> {
    /// Attaches policies to the listeners of `view` and to `routes`, which are served as `ports` says.
    pub(crate) fn new(
        policies: &'a BTreeMap<String, Arc<ConnectionPolicy>>,
        read: &'a ReadPolicies,
        view: &View<'_>,
        routes: &[Route<'_>],
        ports: &[PortPlan],
    ) -> Self {
        let alive = policies
            .iter()
            .filter(|(_, policy)| policy.metadata.deletion_timestamp.is_none());
        let mut ordered: Vec<_> = alive.collect();
        ordered.sort_by_cached_key(|(_, policy)| Precedence::of(&policy.metadata));
        let mut attached = Self::default();
        let known = Targets::new(view, routes);
        for (key, policy) in ordered {
            let Some(settings) = read.get(key) else {
                continue;
            };
            let namespace = policy.metadata.namespace.as_deref().unwrap_or_default();
            let targets = policy.spec.target_refs.iter().enumerate();
            let reports = targets.map(|(number, target)| {
                let found = known.find(target, namespace);
                let ancestors = ancestors(found.as_ref().ok(), target, namespace, view, routes);
                let outcome = found.and_then(|slot| {
                    let attaching = Attached {
                        key,
                        target: number,
                        settings: &settings.settings,
                    };
                    attached.take(slot, attaching, settings.problem.as_deref(), routes)
                });
                TargetReport { ancestors, outcome }
            });
            let reports = reports.collect();
            attached.reports.insert(key.clone(), reports);
        }
        for port in ports {
            attached.refuse_mixed(port, view);
        }
        attached
    }

    /// One port has one set of limits, which apply before the client has named a listener.
    fn refuse_mixed(&mut self, port: &PortPlan, view: &View<'_>) {
        let policies = port
            .listeners
            .iter()
            .map(|&listener| self.of_listener(listener, view));
        let policies: Vec<Option<Attached<'_>>> = policies.collect();
        let keys: Vec<Option<&str>> = policies
            .iter()
            .map(|policy| policy.map(|policy| policy.key))
            .collect();
        if keys.iter().all(|key| *key == keys[0]) {
            return;
        }
        self.mixed.insert((port.gateway, port.port));
        for policy in policies.into_iter().flatten() {
            let reports = self.reports.get_mut(policy.key);
            if let Some(report) = reports.and_then(|reports| reports.get_mut(policy.target)) {
                let text = format!(
                    "the listeners of port {} must have the same policy, or none",
                    port.port
                );
                report.outcome = Err(("Invalid", text));
            }
        }
    }

    /// Lets a policy count for a target, if it may.
    fn take(
        &mut self,
        slot: Slot,
        policy: Attached<'a>,
        problem: Option<&str>,
        routes: &[Route<'_>],
    ) -> Result<(), (&'static str, String)> {
        let settings = policy.settings;
        let (kind, misplaced) = match &slot {
            Slot::Gateway(..) | Slot::Set(..) => ("listeners", &settings.of_backends[..]),
            Slot::Route(route) => match routes[*route].kind {
                RouteKind::Tcp => ("TCPRoutes", &[][..]),
                RouteKind::Tls => ("TLSRoutes", &settings.of_listeners[..]),
            },
        };
        if !misplaced.is_empty() {
            let fields = misplaced.join(", ");
            return Err((
                "Invalid",
                format!("{kind} cannot have these settings: {fields}"),
            ));
        }
        if let Some(other) = self.slots.get(&slot) {
            let text = format!("the ConnectionPolicy {} counts for this target", other.key);
            return Err(("Conflicted", text));
        }
        self.slots.insert(slot, policy);
        match problem {
            None => Ok(()),
            Some(problem) => {
                let text = format!("{problem}. The last valid settings apply, if there were any");
                Err(("Invalid", text))
            }
        }
    }

    fn of_listener(&self, index: usize, view: &View<'_>) -> Option<Attached<'a>> {
        let listener = &view.listeners[index];
        let slot = |section| match listener.owner {
            ListenerOwner::Gateway => Slot::Gateway(listener.gateway, section),
            ListenerOwner::Set(set) => Slot::Set(set, section),
        };
        let own = self.slots.get(&slot(Some(listener.spec.name.clone())));
        own.or_else(|| self.slots.get(&slot(None))).copied()
    }

    /// The settings for the listeners of a port.
    pub(crate) fn of_port(&self, port: &PortPlan, view: &View<'_>) -> Option<&'a PolicySettings> {
        let is_mixed = self.mixed.contains(&(port.gateway, port.port));
        let first = port.listeners.first().filter(|_| !is_mixed)?;
        self.of_listener(*first, view).map(|policy| policy.settings)
    }

    /// The settings for the route with this number.
    pub(crate) fn of_route(&self, number: usize) -> Option<&'a PolicySettings> {
        self.slots
            .get(&Slot::Route(number))
            .map(|policy| policy.settings)
    }
}
