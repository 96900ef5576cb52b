//! GatewayClass: which controller serves the Gateways of a class.

use lb_discovery::kubernetes::controller::Metadata;
use serde::{Deserialize, Serialize};

use super::kind::kind;
use crate::objects::Condition;

/// A class of Gateways.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct GatewayClass {
    pub(crate) metadata: Metadata,
    pub(crate) spec: GatewayClassSpec,
    pub(crate) status: GatewayClassStatus,
}

kind!(GatewayClass, "GatewayClass", "gatewayclasses", metadata);

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct GatewayClassSpec {
    pub(crate) controller_name: String,
    /// Parameters of the controller. Of ours there are none.
    pub(crate) parameters_ref: Option<ParametersReference>,
}

/// A reference to parameters.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct ParametersReference {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) name: String,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct GatewayClassStatus {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) supported_features: Vec<SupportedFeature>,
}

#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct SupportedFeature {
    pub(crate) name: String,
}
