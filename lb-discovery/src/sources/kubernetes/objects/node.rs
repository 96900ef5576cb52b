//! The fields of a Node that sources use.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1;

use crate::sources::kubernetes::objects::projection::Projection;

pub(crate) mod written;

/// The type of a node's address.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum NodeAddress {
    /// `ExternalIP`.
    External,
    /// `InternalIP`.
    Internal,
}

impl NodeAddress {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "ExternalIP" => Some(Self::External),
            "InternalIP" => Some(Self::Internal),
            _ => None,
        }
    }
}

const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
const ZONE: &str = "topology.kubernetes.io/zone";
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// The fields of a Node that sources use.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) addresses: Box<[(NodeAddress, IpAddr)]>,
    pub(crate) uid: Option<Arc<str>>,
    pub(crate) zone: Option<Arc<str>>,
    /// Whether external load balancers must not use it, because of its label or its pending deletion.
    pub(crate) is_excluded: bool,
    pub(crate) is_ready: bool,
}

impl Projection for Node {
    type Object = v1::Node;

    fn of(object: v1::Node) -> Self {
        let v1::Node {
            metadata,
            spec,
            status,
        } = object;
        let status = status.unwrap_or_default();
        let label = |name| metadata.labels.as_ref().and_then(|labels| labels.get(name));
        let taints = spec.unwrap_or_default().taints.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let addresses = status.addresses.unwrap_or_default();
        let is_excluded = label(EXCLUDE).is_some_and(|value| !is_false(value))
            || metadata.deletion_timestamp.is_some()
            || taints.iter().any(|taint| taint.key == TO_BE_DELETED);
        Self {
            addresses: addresses
                .iter()
                .filter_map(|a| Some((NodeAddress::parse(&a.type_)?, a.address.parse().ok()?)))
                .collect(),
            zone: label(ZONE).map(|zone| zone.as_str().into()),
            uid: metadata.uid.map(Arc::from),
            is_excluded,
            is_ready: conditions
                .iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        }
    }
}

/// Whether Go's `ParseBool`, by which the label's value is read, returns false.
fn is_false(value: &str) -> bool {
    matches!(value, "0" | "f" | "F" | "false" | "False" | "FALSE")
}
