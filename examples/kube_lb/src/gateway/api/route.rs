//! TCPRoute and TLSRoute: which backends get the connections of listeners.

use lb_discovery::kubernetes::controller::Metadata;
use serde::{Deserialize, Serialize};

use super::kind::kind;
use crate::objects::Condition;

/// A TCPRoute.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct TcpRoute(pub(crate) RouteObject);

/// A TLSRoute.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct TlsRoute(pub(crate) RouteObject);

kind!(TcpRoute, "TCPRoute", "tcproutes", 0.metadata);
kind!(TlsRoute, "TLSRoute", "tlsroutes", 0.metadata);

/// What the routes have in common; a TCPRoute has no host names.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct RouteObject {
    pub(crate) metadata: Metadata,
    pub(crate) spec: RouteSpec,
    pub(crate) status: RouteStatus,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RouteSpec {
    pub(crate) parent_refs: Vec<ParentReference>,
    pub(crate) hostnames: Vec<String>,
    /// One in v1. Objects that were created in an older version of the API may have more.
    pub(crate) rules: Vec<RouteRule>,
}

/// A reference to a Gateway, a ListenerSet or one of their listeners.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ParentReference {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) section_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<i32>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RouteRule {
    pub(crate) backend_refs: Vec<BackendRef>,
}

/// A reference to a backend with its weight.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct BackendRef {
    pub(crate) group: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) port: Option<i32>,
    /// 1 if it is absent.
    pub(crate) weight: Option<i32>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct RouteStatus {
    pub(crate) parents: Vec<RouteParentStatus>,
}

/// What a controller reports of one parent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RouteParentStatus {
    pub(crate) parent_ref: ParentReference,
    pub(crate) controller_name: String,
    pub(crate) conditions: Vec<Condition>,
}
