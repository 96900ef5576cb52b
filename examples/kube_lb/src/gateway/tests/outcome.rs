//! Decisions of the controller about a cluster.

use std::collections::BTreeMap;

use serde_json::Value;

use super::world::object_name;
use crate::gateway::status::StatusPatch;
use crate::objects::ObjectName;

/// What the controller makes of the objects.
pub(super) struct Outcome {
    /// The plan as text.
    pub(super) plan: String,
    pub(super) patches: Vec<StatusPatch>,
    /// The statuses that the patches write.
    statuses: BTreeMap<String, Value>,
}

impl Outcome {
    pub(super) fn new(plan: String, patches: Vec<StatusPatch>) -> Self {
        let statuses = patches.iter().map(|patch| {
            let key = format!("{}/{}", patch.plural, patch.object);
            (key, patch.body["status"].clone())
        });
        Self {
            plan,
            statuses: statuses.collect(),
            patches,
        }
    }

    /// The status that is written of an object: its plural and its name.
    pub(super) fn status(&self, plural: &str, name: &str) -> &Value {
        let name = match plural {
            "gatewayclasses" => ObjectName::new("", name),
            _ => object_name(name),
        };
        let status = self.statuses.get(&format!("{plural}/{name}"));
        status.unwrap_or_else(|| panic!("no status of {plural} {name}"))
    }

    pub(super) fn is_written(&self, plural: &str, name: &str) -> bool {
        self.statuses
            .contains_key(&format!("{plural}/{}", object_name(name)))
    }

    pub(super) fn gateway(&self, name: &str, condition: &str) -> String {
        said(self.status("gateways", name), condition)
    }

    pub(super) fn set(&self, name: &str, condition: &str) -> String {
        said(self.status("listenersets", name), condition)
    }

    /// A condition of the listener of a Gateway or, with the plural in front, a ListenerSet.
    pub(super) fn listener(&self, gateway: &str, listener: &str, condition: &str) -> String {
        said(self.listener_status(gateway, listener), condition)
    }

    pub(super) fn attached(&self, gateway: &str, listener: &str) -> i64 {
        self.listener_status(gateway, listener)["attachedRoutes"]
            .as_i64()
            .unwrap()
    }

    pub(super) fn kinds(&self, gateway: &str, listener: &str) -> Vec<String> {
        let kinds = &self.listener_status(gateway, listener)["supportedKinds"];
        let kinds = kinds.as_array().unwrap().iter();
        kinds
            .map(|kind| kind["kind"].as_str().unwrap().to_owned())
            .collect()
    }

    fn listener_status(&self, object: &str, listener: &str) -> &Value {
        let (plural, name) = match object.strip_prefix("listenersets ") {
            Some(name) => ("listenersets", name),
            None => ("gateways", object),
        };
        let listeners = self.status(plural, name)["listeners"].as_array().unwrap();
        let mut listeners = listeners.iter();
        let status = listeners.find(|status| status["name"] == listener);
        status.unwrap_or_else(|| panic!("no listener {listener} of {object}"))
    }

    /// A condition of the first parent of a TCPRoute.
    pub(super) fn tcp(&self, name: &str, condition: &str) -> String {
        said(&self.status("tcproutes", name)["parents"][0], condition)
    }

    /// A condition of the first parent of a TLSRoute.
    pub(super) fn tls(&self, name: &str, condition: &str) -> String {
        said(&self.status("tlsroutes", name)["parents"][0], condition)
    }

    /// The part of the plan about an address and port, without its owner.
    pub(super) fn listens(&self, addr: &str) -> Option<&str> {
        let begin = format!("listen {addr} ");
        let mut lines = self.plan.lines();
        let line = lines.find(|line| line.starts_with(&begin))?;
        line.split_once(": ").map(|(_, routing)| routing)
    }
}

/// The status and reason of a condition, `-` if there is none. The message follows a reason that is not the usual one.
pub(super) fn said(status: &Value, condition: &str) -> String {
    let mut conditions = status["conditions"].as_array().unwrap().iter();
    let Some(found) = conditions.find(|one| one["type"] == condition) else {
        return "-".to_owned();
    };
    let text = |field: &str| found[field].as_str().unwrap();
    format!("{} {}", text("status"), text("reason"))
}

/// The message of a condition.
pub(super) fn message(status: &Value, condition: &str) -> String {
    let mut conditions = status["conditions"].as_array().unwrap().iter();
    let found = conditions.find(|one| one["type"] == condition).unwrap();
    found["message"].as_str().unwrap().to_owned()
}
