//! All objects that decide what is served.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::api::namespace::{NAMESPACES, Namespace};
use super::api::{
    Gateway, GatewayClass, GatewayKind, ListenerSet, ReferenceGrant, TcpRoute, TlsRoute,
};
use super::policy::object::{ConnectionPolicy, PLURAL};
use crate::objects::{Service, by_key};

/// The objects of the Gateway API, by their keys: `namespace/name`, or the name of those without a namespace.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct GatewayObjects {
    #[serde(with = "by_key")]
    pub(crate) classes: BTreeMap<String, Arc<GatewayClass>>,
    #[serde(with = "by_key")]
    pub(crate) gateways: BTreeMap<String, Arc<Gateway>>,
    #[serde(with = "by_key")]
    pub(crate) listener_sets: BTreeMap<String, Arc<ListenerSet>>,
    #[serde(with = "by_key")]
    pub(crate) tcp_routes: BTreeMap<String, Arc<TcpRoute>>,
    #[serde(with = "by_key")]
    pub(crate) tls_routes: BTreeMap<String, Arc<TlsRoute>>,
    #[serde(with = "by_key")]
    pub(crate) grants: BTreeMap<String, Arc<ReferenceGrant>>,
    #[serde(with = "by_key")]
    pub(crate) policies: BTreeMap<String, Arc<ConnectionPolicy>>,
    #[serde(with = "by_key")]
    pub(crate) namespaces: BTreeMap<String, Arc<Namespace>>,
    /// The releases that the definitions of the kinds name, by the names of the definitions.
    pub(crate) releases: BTreeMap<String, Option<String>>,
}

impl GatewayObjects {
    /// How many objects of each kind there are, by its plural name.
    pub(crate) fn counts(&self) -> [(&'static str, usize); 8] {
        [
            (GatewayClass::PLURAL, self.classes.len()),
            (Gateway::PLURAL, self.gateways.len()),
            (ListenerSet::PLURAL, self.listener_sets.len()),
            (TcpRoute::PLURAL, self.tcp_routes.len()),
            (TlsRoute::PLURAL, self.tls_routes.len()),
            (ReferenceGrant::PLURAL, self.grants.len()),
            (PLURAL, self.policies.len()),
            (NAMESPACES, self.namespaces.len()),
        ]
    }

    /// Whether there is an object of the kind `plural` with a status, by its key.
    pub(crate) fn contains(&self, plural: &str, key: &str) -> bool {
        match plural {
            GatewayClass::PLURAL => self.classes.contains_key(key),
            Gateway::PLURAL => self.gateways.contains_key(key),
            ListenerSet::PLURAL => self.listener_sets.contains_key(key),
            TcpRoute::PLURAL => self.tcp_routes.contains_key(key),
            TlsRoute::PLURAL => self.tls_routes.contains_key(key),
            PLURAL => self.policies.contains_key(key),
            _ => false,
        }
    }
}

/// All Services of the cluster, by `namespace/name`.
pub(crate) type Services = BTreeMap<String, Arc<Service>>;
