//! The status of GatewayClasses.

use super::{Reporter, StatusPatch};
use crate::gateway::api::GatewayClass;
use crate::gateway::api::class::{GatewayClassStatus, SupportedFeature};
use crate::gateway::classes::{FEATURES, class_reports};
use crate::gateway::condition::merge;

const OURS: [&str; 2] = ["Accepted", "SupportedVersion"];

impl Reporter<'_> {
    pub(super) fn class_patches(self) -> Vec<StatusPatch> {
        let evaluation = self.evaluation;
        let classes = evaluation.objects.classes.values();
        let own = classes.filter(|class| evaluation.classes.contains_key(&*class.metadata.name));
        own.filter_map(|class| {
            let at = self.at(&class.metadata);
            let reports = class_reports(class, evaluation.objects);
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
