//! ReferenceGrant: which references into a namespace are permitted.

use lb_discovery::kubernetes::controller::Metadata;
use serde::{Deserialize, Serialize};

use super::kind::kind;

/// Permits references from other namespaces into its own.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct ReferenceGrant {
    pub(crate) metadata: Metadata,
    pub(crate) spec: ReferenceGrantSpec,
}

kind!(
    ReferenceGrant,
    "ReferenceGrant",
    "referencegrants",
    metadata
);

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct ReferenceGrantSpec {
    /// Any of these may refer.
    pub(crate) from: Vec<GrantFrom>,
    /// To any of these.
    pub(crate) to: Vec<GrantTo>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct GrantFrom {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct GrantTo {
    pub(crate) group: String,
    pub(crate) kind: String,
    /// All objects of the kind if it is absent.
    pub(crate) name: Option<String>,
}
