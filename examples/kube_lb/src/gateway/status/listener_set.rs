//! The status of ListenerSets.

use super::gateway::accepted;
use super::{StatusContext, StatusPatch};
use crate::gateway::acceptance::Acceptance;
use crate::gateway::api::ListenerSet;
use crate::gateway::api::listener_set::ListenerSetStatus;
use crate::gateway::condition::{ReportTime, Reported, merge};
use crate::gateway::evaluation::Evaluation;
use crate::gateway::view::SetView;

const OURS: [&str; 2] = ["Accepted", "Programmed"];

impl Evaluation<'_> {
    pub(super) fn listener_set_patches(&self, context: StatusContext<'_>) -> Vec<StatusPatch> {
        let sets = self.view.sets.iter().zip(&self.sets);
        sets.filter_map(|(set, acceptance)| {
            let object = set.object;
            let new = self.set_status(set, acceptance, context);
            StatusPatch::of::<ListenerSet, _>(&object.metadata, &object.status, &new)
        })
        .collect()
    }

    fn set_status(
        &self,
        set: &SetView<'_>,
        acceptance: &Acceptance,
        context: StatusContext<'_>,
    ) -> ListenerSetStatus {
        let old = &set.object.status;
        let at = ReportTime {
            generation: set.object.metadata.generation,
            now: context.now,
        };
        let listeners = set.listeners.clone();
        let listeners: Vec<_> = listeners
            .map(|listener| self.listener_status(listener, &old.listeners, at, context))
            .collect();
        let is_any_listening = listeners.iter().any(|(_, is_listening)| *is_listening);
        let programmed = match acceptance {
            Acceptance::Rejected(reason, text) => Reported::no("Programmed", reason, text.clone()),
            Acceptance::Accepted(_) if !self.gateway_is_programmed(set.gateway, context) => {
                Reported::no(
                    "Programmed",
                    "ParentNotProgrammed",
                    "the Gateway is not programmed",
                )
            }
            Acceptance::Accepted(_) if is_any_listening => {
                Reported::yes("Programmed", "Programmed")
            }
            Acceptance::Accepted(_) => {
                let text = "no listener is programmed: see their conditions";
                Reported::no("Programmed", "PortUnavailable", text)
            }
        };
        let reports = [accepted(acceptance), programmed];
        ListenerSetStatus {
            conditions: merge(&old.conditions, &reports, &OURS, at),
            listeners: listeners.into_iter().map(|(status, _)| status).collect(),
        }
    }
}
