//! Gateway: listeners on addresses.

use lb_discovery::kubernetes::controller::Metadata;
use serde::{Deserialize, Serialize};

use super::class::ParametersReference;
use super::kind::kind;
use super::selector::LabelSelector;
use crate::objects::Condition;

/// A Gateway.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct Gateway {
    pub(crate) metadata: Metadata,
    pub(crate) spec: GatewaySpec,
    pub(crate) status: GatewayStatus,
}

kind!(Gateway, "Gateway", "gateways", metadata);

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct GatewaySpec {
    pub(crate) gateway_class_name: String,
    pub(crate) addresses: Vec<GatewayAddress>,
    pub(crate) allowed_listeners: AllowedListeners,
    pub(crate) infrastructure: Infrastructure,
    pub(crate) listeners: Vec<ListenerSpec>,
}

/// An address that is requested or assigned.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct GatewayAddress {
    /// `IPAddress` if it is absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) type_: Option<String>,
    /// Empty: any address.
    pub(crate) value: String,
}

/// Which ListenerSets may add listeners.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct AllowedListeners {
    pub(crate) namespaces: NamespaceRule,
}

/// From which namespaces an object may be attached.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct NamespaceRule {
    /// `All`, `Same`, `Selector` or `None`. The default depends on what is attached.
    pub(crate) from: Option<String>,
    pub(crate) selector: Option<LabelSelector>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Infrastructure {
    pub(crate) parameters_ref: Option<ParametersReference>,
}

/// A listener of a Gateway or a ListenerSet.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ListenerSpec {
    pub(crate) name: String,
    pub(crate) hostname: Option<String>,
    pub(crate) port: i32,
    pub(crate) protocol: String,
    pub(crate) tls: Option<ListenerTls>,
    pub(crate) allowed_routes: AllowedRoutes,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct ListenerTls {
    /// `Terminate`, also if it is absent, or `Passthrough`.
    pub(crate) mode: Option<String>,
}

/// Which routes may be attached to a listener.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct AllowedRoutes {
    pub(crate) namespaces: NamespaceRule,
    pub(crate) kinds: Vec<RouteGroupKind>,
}

/// A kind of routes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct RouteGroupKind {
    /// Gateway API's own if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    pub(crate) kind: String,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct GatewayStatus {
    pub(crate) addresses: Vec<GatewayAddress>,
    pub(crate) attached_listener_sets: Option<i32>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) listeners: Vec<ListenerStatus>,
}

/// The status of a listener of a Gateway or a ListenerSet.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ListenerStatus {
    pub(crate) name: String,
    pub(crate) attached_routes: i32,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) supported_kinds: Vec<RouteGroupKind>,
}
