//! A status to write.

use std::borrow::Cow;

use lb_discovery::kubernetes::controller::Metadata;
use serde::Serialize;
use serde_json::{Value, json};

use super::lists::ConditionLists;
use crate::gateway::api::kind::{API, GatewayKind};
use crate::gateway::policy::object::{ConnectionPolicy, KIND, PLURAL};
use crate::objects::{Condition, ObjectName};

/// A change of a status, as a merge patch that holds for one version of the object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StatusPatch {
    /// The path of the group and its version.
    api: Cow<'static, str>,
    pub(crate) plural: &'static str,
    /// The name of the kind.
    pub(crate) kind: &'static str,
    pub(crate) object: ObjectName,
    pub(crate) body: Value,
    /// The problems that are new, and the conditions that were one and are none any more, each with the part of the object.
    pub(crate) news: Vec<(String, Condition)>,
    /// The UID of the object.
    pub(crate) uid: Option<String>,
}

/// The most Events about one change of a status.
const MOST_NEWS: usize = 16;

impl StatusPatch {
    /// The change of the object from `old` to `new`. `None` if there is none.
    pub(super) fn of<K: GatewayKind, S: ConditionLists + PartialEq + Serialize>(
        metadata: &Metadata,
        old: &S,
        new: &S,
    ) -> Option<Self> {
        Self::new(API.into(), (K::PLURAL, K::KIND), metadata, old, new)
    }

    /// The change of a policy.
    pub(super) fn of_policy<S: ConditionLists + PartialEq + Serialize>(
        metadata: &Metadata,
        old: &S,
        new: &S,
    ) -> Option<Self> {
        let api = ConnectionPolicy::api().into();
        Self::new(api, (PLURAL, KIND), metadata, old, new)
    }

    fn new<S: ConditionLists + PartialEq + Serialize>(
        api: Cow<'static, str>,
        (plural, kind): (&'static str, &'static str),
        metadata: &Metadata,
        old: &S,
        new: &S,
    ) -> Option<Self> {
        if old == new {
            return None;
        }
        let status = serde_json::to_value(new).ok()?;
        let of_version = json!({"resourceVersion": metadata.resource_version});
        Some(Self {
            api,
            plural,
            kind,
            object: ObjectName::of(metadata),
            body: json!({"metadata": of_version, "status": status}),
            news: news(old, new),
            uid: metadata.uid.clone(),
        })
    }

    /// The key of the object: its namespace and name, or its name.
    pub(crate) fn key(&self) -> String {
        match self.object.namespace.is_empty() {
            true => self.object.name.clone(),
            false => self.object.to_string(),
        }
    }

    /// The group and version of the object.
    pub(crate) fn api_version(&self) -> &str {
        self.api.strip_prefix("/apis/").unwrap_or(&self.api)
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

/// What is worth an Event in the change from `old` to `new`.
fn news<S: ConditionLists>(old: &S, new: &S) -> Vec<(String, Condition)> {
    let before = old.lists();
    let mut news = Vec::new();
    for (part, conditions) in new.lists() {
        let known = before.iter().find(|(of, _)| *of == part);
        let known = known.map_or(&[][..], |(_, conditions)| conditions);
        let is_new = |condition: &&Condition| {
            let known = known.iter().find(|known| known.kind == condition.kind);
            match known {
                Some(known) if known.is_problem() || condition.is_problem() => {
                    (known.status, &known.reason, &known.message)
                        != (condition.status, &condition.reason, &condition.message)
                }
                Some(_) => false,
                None => condition.is_problem(),
            }
        };
        let worth = conditions.iter().filter(is_new);
        news.extend(worth.map(|condition| (part.clone(), condition.clone())));
    }
    news.truncate(MOST_NEWS);
    news
}
