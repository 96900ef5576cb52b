//! The status of ListenerSets.

use super::gateway::accepted;
use super::{Reporter, StatusPatch};
use crate::gateway::acceptance::Acceptance;
use crate::gateway::api::ListenerSet;
use crate::gateway::api::listener_set::ListenerSetStatus;
use crate::gateway::condition::{Reported, merge};
use crate::gateway::view::SetView;

const OURS: [&str; 2] = ["Accepted", "Programmed"];

impl Reporter<'_> {
    pub(super) fn listener_set_patches(self) -> Vec<StatusPatch> {
        let sets = self.evaluation.view.sets.iter().enumerate();
        sets.filter_map(|(index, set)| {
            let object = set.object;
            let new = self.set_status(index, set);
            StatusPatch::of::<ListenerSet, _>(&object.metadata, &object.status, &new)
        })
        .collect()
    }

    fn set_status(self, index: usize, set: &SetView<'_>) -> ListenerSetStatus {
        let old = &set.object.status;
        let at = self.at(&set.object.metadata);
        let reports = self.set_reports(index);
        ListenerSetStatus {
            conditions: merge(&old.conditions, &reports, &OURS, at),
            listeners: self.listener_statuses(set.listeners.clone(), &old.listeners, at),
        }
    }

    /// The conditions of the ListenerSet with this index.
    pub(crate) fn set_reports(self, index: usize) -> [Reported; 2] {
        let set = &self.evaluation.view.sets[index];
        let acceptance = &self.evaluation.sets[index];
        let programmed = match acceptance {
            Acceptance::Rejected(reason, text) => Reported::no("Programmed", reason, text.clone()),
            Acceptance::Accepted(_) if !self.programmed(set.gateway).is_true => Reported::no(
                "Programmed",
                "ParentNotProgrammed",
                "the Gateway is not programmed",
            ),
            Acceptance::Accepted(_) if self.is_any_listening(set.listeners.clone()) => {
                Reported::yes("Programmed", "Programmed")
            }
            Acceptance::Accepted(_) => {
                let text = "no listener is programmed: see their conditions";
                Reported::no("Programmed", "PortUnavailable", text)
            }
        };
        [accepted(acceptance), programmed]
    }
}
