//! The status of GatewayClasses.

use super::{StatusContext, StatusPatch};
use crate::gateway::api::GatewayClass;
use crate::gateway::api::class::{GatewayClassStatus, SupportedFeature};
use crate::gateway::classes::{FEATURES, class_reports};
use crate::gateway::condition::{ReportTime, merge};
use crate::gateway::evaluation::Evaluation;

const OURS: [&str; 2] = ["Accepted", "SupportedVersion"];

impl Evaluation<'_> {
    pub(super) fn class_patches(&self, context: StatusContext<'_>) -> Vec<StatusPatch> {
        let classes = self.objects.classes.values();
        let own = classes.filter(|class| self.classes.contains_key(&*class.metadata.name));
        own.filter_map(|class| {
            let at = ReportTime {
                generation: class.metadata.generation,
                now: context.now,
            };
            let reports = class_reports(class, self.objects);
            let features = FEATURES.map(|name| SupportedFeature {
                name: name.to_owned(),
            });
            let new = GatewayClassStatus {
                conditions: merge(&class.status.conditions, &reports, &OURS, at),
                supported_features: features.into(),
            };
            StatusPatch::of::<GatewayClass, _>(&class.metadata, &class.status, &new)
        })
        .collect()
    }
}
