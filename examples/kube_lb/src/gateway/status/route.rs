//! The status of routes.

use std::collections::BTreeMap;

use super::{Reporter, StatusPatch};
use crate::gateway::api::route::{RouteObject, RouteParentStatus, RouteStatus};
use crate::gateway::api::{TcpRoute, TlsRoute};
use crate::gateway::attach::{Parent, Route};
use crate::gateway::condition::{MAX_MESSAGE, Reported, merge};
use crate::gateway::host_pattern::HostPattern;
use crate::gateway::protocol::RouteKind;
use crate::objects::{Condition, ObjectName};

/// Whether a route gets connections of a parent that accepts it: another route may have precedence.
pub(crate) const SERVING: &str = "kube-lb.internal/Serving";

/// The most entries of a status, of all controllers together.
const MOST_PARENTS: usize = 32;

const OURS: [&str; 4] = ["Accepted", "PartiallyInvalid", "ResolvedRefs", SERVING];

impl Reporter<'_> {
    pub(super) fn route_patches(self) -> Vec<StatusPatch> {
        let evaluation = self.evaluation;
        let numbers = evaluation.routes.iter().enumerate();
        let numbers = numbers.map(|(number, route)| ((route.kind, &route.name), number));
        let numbers: BTreeMap<_, _> = numbers.collect();
        let number = |kind: RouteKind, object: &RouteObject| {
            numbers
                .get(&(kind, &ObjectName::of(&object.metadata)))
                .copied()
        };
        let tcp = evaluation.objects.tcp_routes.values().filter_map(|route| {
            let TcpRoute(object) = &**route;
            let new = self.route_status(object, number(RouteKind::Tcp, object));
            StatusPatch::of::<TcpRoute, _>(&object.metadata, &object.status, &new)
        });
        let tls = evaluation.objects.tls_routes.values().filter_map(|route| {
            let TlsRoute(object) = &**route;
            let new = self.route_status(object, number(RouteKind::Tls, object));
            StatusPatch::of::<TlsRoute, _>(&object.metadata, &object.status, &new)
        });
        tcp.chain(tls).collect()
    }

    /// The entries of other controllers as they are, and those of this one, all in their places: two controllers that each put
    /// its own last would write forever.
    fn route_status(self, object: &RouteObject, number: Option<usize>) -> RouteStatus {
        let at = self.at(&object.metadata);
        let evaluation = self.evaluation;
        let route = number.map(|number| (number, &evaluation.routes[number]));
        let parents = route.iter().flat_map(|(_, route)| &route.parents);
        let mut wanted: Vec<&Parent<'_>> = parents.collect();
        let entry = |parent: &Parent<'_>, old: &[Condition]| {
            let (number, _) = route?;
            let reports = self.parent_reports(number, parent);
            Some(RouteParentStatus {
                parent_ref: parent.reference.clone(),
                controller_name: evaluation.controller.to_owned(),
                conditions: merge(old, &reports, &OURS, at),
            })
        };
        let mut entries = Vec::new();
        for old in &object.status.parents {
            if old.controller_name != evaluation.controller {
                entries.push(old.clone());
                continue;
            }
            let same = |parent: &&Parent<'_>| *parent.reference == old.parent_ref;
            if let Some(at) = wanted.iter().position(same) {
                entries.extend(entry(wanted.remove(at), &old.conditions));
            }
        }
        let room = MOST_PARENTS.saturating_sub(entries.len());
        let new = wanted.into_iter().take(room);
        entries.extend(new.filter_map(|parent| entry(parent, &[])));
        RouteStatus { parents: entries }
    }

    /// The conditions of a parent of the route with this number.
    pub(crate) fn parent_reports(self, number: usize, parent: &Parent<'_>) -> Vec<Reported> {
        let route = &self.evaluation.routes[number];
        let resolved = match &route.backends.problem {
            None => Reported::yes("ResolvedRefs", "ResolvedRefs"),
            Some((reason, text)) => {
                let text = format!("connections of these backends are refused: {text}");
                Reported::no("ResolvedRefs", reason, text)
            }
        };
        let attachments = match &parent.outcome {
            Err((reason, text)) => {
                return vec![Reported::no("Accepted", reason, text.clone()), resolved];
            }
            Ok(attachments) => attachments,
        };
        let listeners = attachments.iter().map(|attachment| attachment.listener);
        let serving = self.serving_report(number, listeners);
        let accepted = Reported::yes("Accepted", "Accepted").saying(&serving.message);
        let mut reports = vec![accepted, resolved, serving];
        let dropped = route.backends.dropped_rules;
        if dropped > 0 {
            let text = format!("Dropped Rule: {dropped} behind the first, because a route has one");
            reports.push(Reported::yes("PartiallyInvalid", "UnsupportedValue").saying(text));
        }
        reports
    }

    /// Whether the route with this number gets connections of any of `listeners`, and what it does not get.
    fn serving_report(self, number: usize, listeners: impl Iterator<Item = usize>) -> Reported {
        let evaluation = self.evaluation;
        let mut texts = Texts::default();
        let (mut is_served, mut is_superseded) = (false, false);
        for listener in listeners {
            let name = &evaluation.view.listeners[listener].spec.name;
            if self.programming[listener].assigned.is_empty() {
                texts.add(|| format!("the listener {name} is not programmed"));
                continue;
            }
            let Some(claim) = evaluation.serving.claims.get(&(listener, number)) else {
                continue;
            };
            is_served |= claim.is_served;
            for (host, winner) in &claim.lost {
                is_superseded |= winner.is_some();
                texts.add(|| {
                    let winner = match winner.map(|winner| &evaluation.routes[winner]) {
                        Some(Route { kind, name, .. }) => format!("{kind} {name}"),
                        None => "a listener with a more specific host name".to_owned(),
                    };
                    match host {
                        HostPattern::Any => {
                            format!("on the listener {name} {winner} has precedence")
                        }
                        host => {
                            format!("on the listener {name} {winner} has precedence for {host}")
                        }
                    }
                });
            }
        }
        let text = texts.text;
        match (is_served, is_superseded) {
            (true, _) => Reported::yes(SERVING, "Serving").saying(text),
            (false, true) => Reported::no(
                SERVING,
                "Superseded",
                format!("no connection gets to this route: {text}"),
            ),
            (false, false) => Reported::no(
                SERVING,
                "ListenersNotProgrammed",
                format!("no connection gets to this route: {text}"),
            ),
        }
    }
}

/// Texts in one line. Those that no message has room for are left out: a route may lack a thousand names on each of many listeners.
#[derive(Default)]
struct Texts {
    text: String,
}

impl Texts {
    fn add(&mut self, text: impl FnOnce() -> String) {
        if self.text.len() <= MAX_MESSAGE {
            let gap = if self.text.is_empty() { "" } else { "; " };
            self.text += gap;
            self.text += &text();
        }
    }
}
