//! The status of ConnectionPolicies: for each Gateway, whether the policy counts at all its targets there.

use super::{Reporter, StatusPatch};
use crate::gateway::api::route::ParentReference;
use crate::gateway::condition::{Reported, merge};
use crate::gateway::policy::attach::TargetReport;
use crate::gateway::policy::object::{ConnectionPolicy, PolicyAncestorStatus, PolicyStatus};
use crate::objects::Condition;

const OURS: [&str; 1] = ["Accepted"];

/// The most ancestors that the definition allows.
const MOST_ANCESTORS: usize = 16;

impl Reporter<'_> {
    pub(super) fn policy_patches(self) -> Vec<StatusPatch> {
        let policies = self.evaluation.objects.policies.iter();
        let patches = policies.filter_map(|(key, policy)| {
            let reports = self.evaluation.policies.reports.get(key)?;
            let new = self.policy_status(policy, reports);
            StatusPatch::of_policy(&policy.metadata, &policy.status, &new)
        });
        patches.collect()
    }

    fn policy_status(self, policy: &ConnectionPolicy, reports: &[TargetReport]) -> PolicyStatus {
        let at = self.at(&policy.metadata);
        let controller = self.evaluation.controller;
        let mut wanted: Vec<&ParentReference> = Vec::new();
        for ancestor in reports.iter().flat_map(|report| &report.ancestors) {
            if !wanted.contains(&ancestor) {
                wanted.push(ancestor);
            }
        }
        let entry = |ancestor: &ParentReference, old: &[Condition]| PolicyAncestorStatus {
            ancestor_ref: ancestor.clone(),
            controller_name: controller.to_owned(),
            conditions: merge(old, &[accepted(ancestor, reports)], &OURS, at),
        };
        let mut entries = Vec::new();
        for old in &policy.status.ancestors {
            if old.controller_name != controller {
                entries.push(old.clone());
            } else if let Some(at) = wanted.iter().position(|one| **one == old.ancestor_ref) {
                entries.push(entry(wanted.remove(at), &old.conditions));
            }
        }
        let room = MOST_ANCESTORS.saturating_sub(entries.len());
        entries.extend(
            wanted
                .into_iter()
                .take(room)
                .map(|ancestor| entry(ancestor, &[])),
        );
        PolicyStatus { ancestors: entries }
    }
}

/// Whether the policy counts at all targets of an ancestor.
fn accepted(ancestor: &ParentReference, reports: &[TargetReport]) -> Reported {
    let of_ancestor = reports
        .iter()
        .filter(|report| report.ancestors.contains(ancestor));
    let problems = of_ancestor.filter_map(|report| report.outcome.as_ref().err());
    let mut problems = problems.peekable();
    let Some((reason, _)) = problems.peek() else {
        return Reported::yes("Accepted", "Accepted");
    };
    let reason = *reason;
    let mut texts: Vec<&str> = Vec::new();
    for (_, text) in problems {
        if !texts.contains(&text.as_str()) {
            texts.push(text);
        }
    }
    Reported::no("Accepted", reason, texts.join("; "))
}
