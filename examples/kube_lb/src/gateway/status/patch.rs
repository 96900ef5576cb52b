//! A status to write.

use std::borrow::Cow;

use lb_discovery::kubernetes::controller::Metadata;
use serde::Serialize;
use serde_json::{Value, json};

use crate::gateway::api::kind::{API, GatewayKind};
use crate::gateway::policy::object::{ConnectionPolicy, PLURAL};
use crate::objects::ObjectName;

/// A change of a status, as a merge patch that holds for one version of the object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StatusPatch {
    /// The path of the group and its version.
    api: Cow<'static, str>,
    pub(crate) plural: &'static str,
    pub(crate) object: ObjectName,
    pub(crate) body: Value,
}

impl StatusPatch {
    /// The change of the object from `old` to `new`. `None` if there is none.
    pub(super) fn of<K: GatewayKind, S: PartialEq + Serialize>(
        metadata: &Metadata,
        old: &S,
        new: &S,
    ) -> Option<Self> {
        Self::new(API.into(), K::PLURAL, metadata, old, new)
    }

    /// The change of a policy.
    pub(super) fn of_policy<S: PartialEq + Serialize>(
        metadata: &Metadata,
        old: &S,
        new: &S,
    ) -> Option<Self> {
        Self::new(ConnectionPolicy::api().into(), PLURAL, metadata, old, new)
    }

    fn new<S: PartialEq + Serialize>(
        api: Cow<'static, str>,
        plural: &'static str,
        metadata: &Metadata,
        old: &S,
        new: &S,
    ) -> Option<Self> {
        let status = serde_json::to_value(new).ok().filter(|_| old != new)?;
        let of_version = json!({"resourceVersion": metadata.resource_version});
        Some(Self {
            api,
            plural,
            object: ObjectName::of(metadata),
            body: json!({"metadata": of_version, "status": status}),
        })
    }

    /// The key of the object: its namespace and name, or its name.
    pub(crate) fn key(&self) -> String {
        match self.object.namespace.is_empty() {
            true => self.object.name.clone(),
            false => self.object.to_string(),
        }
    }

    /// The path of the status in the API.
    pub(crate) fn path(&self) -> String {
        let Self { api, plural, .. } = self;
        let ObjectName { namespace, name } = &self.object;
        match namespace.is_empty() {
            true => format!("{api}/{plural}/{name}/status"),
            false => format!("{api}/namespaces/{namespace}/{plural}/{name}/status"),
        }
    }
}
