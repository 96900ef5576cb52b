//! Events about what has changed.

use lb_discovery::kubernetes::controller::{ApiRequest, Metadata};
use serde_json::json;

use super::requests::create_event;
use super::time::{now_micros, since_boot};
use crate::gateway::StatusPatch;
use crate::names::DOMAIN;
use crate::objects::{Condition, Service};

/// The longest note in bytes that the API server accepts.
const LONGEST_NOTE: usize = 1024;

/// The namespace of Events about objects of the whole cluster.
const CLUSTER: &str = "default";

/// The object that an Event is about.
struct Regarding<'a> {
    api_version: String,
    kind: &'static str,
    namespace: &'a str,
    name: &'a str,
    uid: Option<&'a str>,
    version: Option<&'a str>,
}

/// The Events about the conditions of `new` that the Service did not have: problems, and what has ended a problem.
pub(super) fn about(service: &Service, new: &[Condition]) -> Vec<ApiRequest> {
    let Metadata {
        namespace,
        name,
        uid,
        resource_version,
        ..
    } = &service.metadata;
    let regarding = Regarding {
        api_version: "v1".to_owned(),
        kind: "Service",
        namespace: namespace.as_deref().unwrap_or_default(),
        name,
        uid: uid.as_deref(),
        version: resource_version.as_deref(),
    };
    let news = new.iter().filter(|condition| {
        let mut known = service.status.conditions.iter();
        let known = known.find(|known| known.kind == condition.kind);
        match known {
            Some(known) => !known.says_what(condition),
            // What was never wrong needs no Event, apart from the address.
            None => condition.is_problem() || condition.kind.ends_with("AddressAssigned"),
        }
    });
    let news = news.enumerate();
    news.map(|(i, condition)| regarding.event("", condition, i))
        .collect()
}

/// The Events about a status of the Gateway API: problems, and what has ended a problem.
pub(super) fn about_status(patch: &StatusPatch) -> Vec<ApiRequest> {
    let regarding = Regarding {
        api_version: patch.api_version().to_owned(),
        kind: patch.kind,
        namespace: &patch.object.namespace,
        name: &patch.object.name,
        uid: patch.uid.as_deref(),
        version: patch.body["metadata"]["resourceVersion"].as_str(),
    };
    let news = patch.news.iter().enumerate();
    news.map(|(i, (part, condition))| regarding.event(part, condition, i))
        .collect()
}

impl Regarding<'_> {
    /// An Event about a condition of a part of the object. `number`: unique among those of one change.
    fn event(&self, part: &str, condition: &Condition, number: usize) -> ApiRequest {
        let Self {
            api_version,
            kind,
            namespace,
            name,
            uid,
            version,
        } = self;
        let mut regarding = json!({"apiVersion": api_version, "kind": kind, "name": name});
        if !namespace.is_empty() {
            regarding["namespace"] = json!(namespace);
        }
        regarding["uid"] = json!(uid);
        regarding["resourceVersion"] = json!(version);
        let namespace = match namespace.is_empty() {
            true => CLUSTER,
            false => namespace,
        };
        let gap = if part.is_empty() { "" } else { ": " };
        let message = match condition.message.is_empty() {
            true => format!("{} is {:?}", condition.kind, condition.status),
            false => condition.message.clone(),
        };
        // Unique among the Events of the object: the time since the machine started, as client-go takes the time of day.
        let unique = since_boot().as_nanos();
        let short: String = name.chars().take(200).collect();
        let event = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": format!("{short}.{unique:x}{number}"), "namespace": namespace},
            "eventTime": now_micros(),
            "reportingController": DOMAIN,
            "reportingInstance": reporting_instance(),
            "action": condition.kind.rsplit('/').next(),
            "reason": condition.reason,
            "type": if condition.is_problem() { "Warning" } else { "Normal" },
            "note": note(&format!("{part}{gap}{message}")),
            "regarding": regarding,
        });
        create_event(namespace, &event)
    }
}

fn note(text: &str) -> &str {
    let boundaries = 0..=LONGEST_NOTE.min(text.len());
    let end = boundaries.rev().find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or_default()]
}

/// The machine.
fn reporting_instance() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    match name.is_empty() {
        true => "kube-lb".to_owned(),
        false => name.chars().take(128).collect(),
    }
}
