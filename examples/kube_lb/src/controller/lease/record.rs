//! The Lease object.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::objects::or_default;

/// The fields of a Lease.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default)]
pub(super) struct LeaseRecord {
    metadata: LeaseMetadata,
    #[serde(deserialize_with = "or_default")]
    pub(super) spec: LeaseSpec,
}

#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, rename_all = "camelCase")]
struct LeaseMetadata {
    resource_version: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct LeaseSpec {
    /// Empty: released.
    #[serde(deserialize_with = "or_default")]
    pub(super) holder_identity: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) lease_duration_seconds: u32,
    #[serde(deserialize_with = "or_default")]
    pub(super) acquire_time: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) renew_time: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) lease_transitions: u32,
}

impl LeaseRecord {
    /// The same Lease with other contents.
    pub(super) fn with(&self, spec: LeaseSpec) -> Self {
        Self {
            metadata: self.metadata.clone(),
            spec,
        }
    }

    /// Whether the server knows it, so that it is replaced and not created.
    pub(super) const fn exists(&self) -> bool {
        self.metadata.resource_version.is_some()
    }

    /// The object. The server refuses it if the Lease has another version by now.
    pub(super) fn to_json(&self, namespace: &str, name: &str) -> Value {
        let LeaseSpec {
            holder_identity,
            lease_duration_seconds,
            acquire_time,
            renew_time,
            lease_transitions,
        } = &self.spec;
        let mut metadata = json!({"name": name, "namespace": namespace});
        if let Some(version) = &self.metadata.resource_version {
            metadata["resourceVersion"] = json!(version);
        }
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": holder_identity,
                "leaseDurationSeconds": lease_duration_seconds,
                "acquireTime": acquire_time,
                "renewTime": renew_time,
                "leaseTransitions": lease_transitions,
            },
        })
    }
}
