//! The kind ConnectionPolicy.

use std::collections::BTreeMap;

use lb_discovery::kubernetes::controller::{ApiObject, Collection, Metadata};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::gateway::api::route::ParentReference;
use crate::names::DOMAIN;
use crate::objects::Condition;

/// The version of the API of the kind.
pub(crate) const VERSION: &str = "v1alpha1";

/// The plural name of the kind.
pub(crate) const PLURAL: &str = "connectionpolicies";

/// The name of the kind.
pub(crate) const KIND: &str = "ConnectionPolicy";

/// Settings of listeners and routes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct ConnectionPolicy {
    pub(crate) metadata: Metadata,
    pub(crate) spec: ConnectionPolicySpec,
    pub(crate) status: PolicyStatus,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ConnectionPolicySpec {
    pub(crate) target_refs: Vec<PolicyTarget>,
    pub(crate) source_ranges: Vec<String>,
    /// The other settings, by name.
    #[serde(flatten)]
    pub(crate) settings: BTreeMap<String, Value>,
}

/// An object of the policy's namespace, or a listener of it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PolicyTarget {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) section_name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct PolicyStatus {
    pub(crate) ancestors: Vec<PolicyAncestorStatus>,
}

/// What a controller reports with regard to one Gateway.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PolicyAncestorStatus {
    pub(crate) ancestor_ref: ParentReference,
    pub(crate) controller_name: String,
    pub(crate) conditions: Vec<Condition>,
}

impl ConnectionPolicy {
    /// The path of the group and its version.
    pub(crate) fn api() -> String {
        format!("/apis/{DOMAIN}/{VERSION}")
    }

    /// All policies.
    pub(crate) fn collection() -> Collection {
        Collection::new(&Self::api(), PLURAL)
    }
}

impl ApiObject for ConnectionPolicy {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn trim(&mut self) {
        self.metadata.labels.clear();
        self.metadata.annotations.clear();
    }
}
