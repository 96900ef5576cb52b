//! ListenerSet: listeners that are added to a Gateway.

use lb_discovery::kubernetes::controller::Metadata;
use serde::{Deserialize, Serialize};

use super::gateway::{ListenerSpec, ListenerStatus};
use super::kind::kind;
use crate::objects::Condition;

/// A set of listeners that is attached to a Gateway.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct ListenerSet {
    pub(crate) metadata: Metadata,
    pub(crate) spec: ListenerSetSpec,
    pub(crate) status: ListenerSetStatus,
}

kind!(ListenerSet, "ListenerSet", "listenersets", metadata);

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ListenerSetSpec {
    pub(crate) parent_ref: ParentGateway,
    pub(crate) listeners: Vec<ListenerSpec>,
}

/// The Gateway of a ListenerSet.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct ParentGateway {
    pub(crate) group: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct ListenerSetStatus {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) listeners: Vec<ListenerStatus>,
}
