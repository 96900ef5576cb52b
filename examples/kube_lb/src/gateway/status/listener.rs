//! The status of a listener.

use std::net::SocketAddr;
use std::ops::Range;

use super::Reporter;
use crate::gateway::api::gateway::ListenerStatus;
use crate::gateway::condition::{ReportTime, Reported, merge};
use crate::gateway::programming::Programming;

const OURS: [&str; 5] = [
    "Accepted",
    "Conflicted",
    "OverlappingTLSConfig",
    "Programmed",
    "ResolvedRefs",
];

impl Reporter<'_> {
    /// The statuses of the listeners with these indices. `old` are those that their object has.
    pub(super) fn listener_statuses(
        self,
        listeners: Range<usize>,
        old: &[ListenerStatus],
        at: ReportTime<'_>,
    ) -> Vec<ListenerStatus> {
        listeners
            .map(|listener| self.listener_status(listener, old, at))
            .collect()
    }

    /// Whether one of the listeners with these indices listens on all addresses of its Gateway.
    pub(super) fn is_any_listening(self, listeners: Range<usize>) -> bool {
        let mut programming = self.programming[listeners].iter();
        programming.any(Programming::is_complete)
    }

    fn listener_status(
        self,
        index: usize,
        old: &[ListenerStatus],
        at: ReportTime<'_>,
    ) -> ListenerStatus {
        let listener = &self.evaluation.view.listeners[index];
        let name = &listener.spec.name;
        let old = old.iter().find(|old| old.name == *name);
        let old = old.map_or(&[][..], |old| &old.conditions);
        let reports = self.listener_reports(index);
        ListenerStatus {
            name: name.clone(),
            attached_routes: self.attached_routes(index),
            conditions: merge(old, &reports, &OURS, at),
            supported_kinds: listener.kinds.list(),
        }
    }

    /// The addresses and ports that the listener with this index has.
    pub(crate) fn assigned(self, index: usize) -> Vec<SocketAddr> {
        self.programming[index].assigned.clone()
    }

    /// How many routes are attached to a listener.
    fn attached_routes(self, index: usize) -> i32 {
        let claims = self
            .evaluation
            .serving
            .claims
            .range((index, 0)..(index + 1, 0));
        i32::try_from(claims.count()).unwrap_or(i32::MAX)
    }

    /// The conditions of the listener with this index.
    pub(crate) fn listener_reports(self, index: usize) -> Vec<Reported> {
        let programming = &self.programming[index];
        let evaluation = self.evaluation;
        let listener = &evaluation.view.listeners[index];
        let rejection = listener.rejection();
        let has_addresses = evaluation
            .grant(listener.gateway, self.grants)
            .is_some_and(|grant| !grant.addresses.is_empty());
        let is_lost =
            has_addresses && programming.assigned.is_empty() && !programming.problems.is_empty();
        let accepted = match &rejection {
            Some((reason, text)) => Reported::no("Accepted", reason, text.clone()),
            None if is_lost => Reported::no("Accepted", "PortUnavailable", programming.message()),
            None => Reported::yes("Accepted", "Accepted"),
        };
        let programmed = match (&rejection, &listener.conflict) {
            (Some((reason, text)), Some(_)) => Reported::no("Programmed", reason, text.clone()),
            (Some((_, text)), None) => Reported::no("Programmed", "Invalid", text.clone()),
            (None, _) if !evaluation.owner_is_accepted(listener) => Reported::no(
                "Programmed",
                "Invalid",
                "the object of the listener is not accepted",
            ),
            (None, _) if !has_addresses => {
                Reported::no("Programmed", "Pending", "the Gateway has no address")
            }
            (None, _) if !programming.problems.is_empty() => {
                Reported::no("Programmed", "PortUnavailable", programming.message())
            }
            (None, _) => Reported::yes("Programmed", "Programmed").saying(programming.message()),
        };
        let resolved = match listener.kinds.invalid.is_empty() {
            true => Reported::yes("ResolvedRefs", "ResolvedRefs"),
            false => {
                let kinds = listener.kinds.invalid.join(", ");
                let text = format!("the listener cannot have routes of these kinds: {kinds}");
                Reported::no("ResolvedRefs", "InvalidRouteKinds", text)
            }
        };
        let conflicted = match &listener.conflict {
            Some(conflict) => {
                Reported::yes("Conflicted", conflict.kind.reason()).saying(conflict.to_string())
            }
            None => Reported::no("Conflicted", "NoConflicts", ""),
        };
        let mut reports = vec![accepted, programmed, resolved, conflicted];
        if listener.is_overlapping {
            let text = "another listener of the port has host names in common with this one";
            let overlapping = Reported::yes("OverlappingTLSConfig", "OverlappingHostnames");
            reports.push(overlapping.saying(text));
        }
        reports
    }
}
