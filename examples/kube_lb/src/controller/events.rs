//! Events about what has changed.

use lb_discovery::kubernetes::controller::ApiRequest;
use serde_json::json;

use super::requests::{Target, create_event};
use super::time::{now_micros, since_boot};
use crate::names::DOMAIN;
use crate::objects::{Condition, ConditionStatus, Service};

/// The Events about the conditions of `new` that the Service did not have: problems, and what has ended a problem.
pub(super) fn about(service: &Service, new: &[Condition]) -> Vec<ApiRequest> {
    let target = Target::service(&service.metadata);
    let news = new.iter().filter(|condition| {
        let mut known = service.status.conditions.iter();
        let known = known.find(|known| known.kind == condition.kind);
        match known {
            Some(known) => !known.says_what(condition),
            // What was never wrong needs no Event, apart from the address.
            None => {
                condition.status == ConditionStatus::False
                    || condition.kind.ends_with("AddressAssigned")
            }
        }
    });
    let news = news.enumerate();
    news.map(|(i, condition)| event(&target, condition, i))
        .collect()
}

fn event(target: &Target, condition: &Condition, number: usize) -> ApiRequest {
    let owner = &target.owner;
    let is_problem = condition.status == ConditionStatus::False;
    // Unique among the Events of the object: the time since the machine started, as client-go takes the time of day.
    let unique = since_boot().as_nanos();
    let name: String = owner.name.chars().take(200).collect();
    let event = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": format!("{name}.{unique:x}{number}"), "namespace": owner.namespace},
        "eventTime": now_micros(),
        "reportingController": DOMAIN,
        "reportingInstance": reporting_instance(),
        "action": condition.kind.rsplit('/').next(),
        "reason": condition.reason,
        "type": if is_problem { "Warning" } else { "Normal" },
        "note": condition.message,
        "regarding": {
            "apiVersion": "v1",
            "kind": "Service",
            "namespace": owner.namespace,
            "name": owner.name,
            "uid": target.uid,
            "resourceVersion": target.version,
        },
    });
    create_event(&owner.namespace, &event)
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
