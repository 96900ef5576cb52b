//! What the API server refuses in a status or an Event that is written: the rules of the definitions of Gateway API 1.6.1 for statuses,
//! those of Services and Events, and no others.

use serde_json::Value;

/// The longest lists of a status.
const LISTS: [(&str, usize); 5] = [
    ("addresses", 16),
    ("ancestors", 16),
    ("listeners", 64),
    ("parents", 32),
    ("supportedFeatures", 64),
];

/// The fields that the entries of such lists must have.
const REQUIRED: [(&str, &[&str]); 3] = [
    (
        "ancestors",
        &["ancestorRef", "conditions", "controllerName"],
    ),
    ("listeners", &["attachedRoutes", "conditions", "name"]),
    ("parents", &["conditions", "controllerName", "parentRef"]),
];

/// Why `object` is refused, whose status was written.
pub(super) fn refused_status(resource: &str, object: &Value) -> Option<String> {
    let status = &object["status"];
    match resource {
        "services" => refused_ingress(status).or_else(|| refused_conditions(status, usize::MAX)),
        _ => refused_lists(status).or_else(|| refused_conditions(status, 8)),
    }
}

/// Why an Event is refused.
pub(super) fn refused_event(event: &Value) -> Option<String> {
    let text = |field: &str| event[field].as_str().unwrap_or_default();
    let is_name = |name: &str| name.len() <= 253 && name.split('.').all(is_label);
    let rules = [
        ("note", text("note").len() <= 1024),
        ("reason", (1..=128).contains(&text("reason").len())),
        ("action", (1..=128).contains(&text("action").len())),
        (
            "reportingController",
            is_qualified(text("reportingController")),
        ),
        (
            "reportingInstance",
            (1..=128).contains(&text("reportingInstance").len()),
        ),
        ("type", ["Normal", "Warning"].contains(&text("type"))),
        ("eventTime", !text("eventTime").is_empty()),
        (
            "metadata.name",
            is_name(event["metadata"]["name"].as_str().unwrap_or_default()),
        ),
    ];
    let broken = rules.into_iter().find(|(_, holds)| !holds)?;
    Some(format!("{}: {event}", broken.0))
}

fn refused_lists(status: &Value) -> Option<String> {
    let too_long = LISTS.into_iter().find_map(|(field, most)| {
        let entries = status[field].as_array()?;
        (entries.len() > most).then(|| format!("{field} has more than {most} entries"))
    });
    too_long.or_else(|| {
        REQUIRED.into_iter().find_map(|(field, required)| {
            let entries = status[field].as_array()?;
            let lacking = |entry: &Value| {
                required
                    .iter()
                    .find(|name| entry[**name].is_null())
                    .copied()
            };
            let lacking = entries.iter().find_map(lacking)?;
            Some(format!("{field} without {lacking}"))
        })
    })
}

fn refused_ingress(status: &Value) -> Option<String> {
    let ingress = status["loadBalancer"]["ingress"].as_array()?;
    ingress.iter().find_map(|ingress| {
        let (ip, mode) = (ingress["ip"].as_str(), ingress["ipMode"].as_str());
        let ports = ingress["ports"].as_array();
        let mut ports = ports.into_iter().flatten();
        let is_wrong = |port: &Value| {
            let error = port["error"].as_str();
            !port["port"].is_number()
                || !port["protocol"].is_string()
                || !error.is_none_or(is_qualified)
        };
        let is_refused = ip.is_some_and(|ip| ip.parse::<std::net::IpAddr>().is_err())
            || !mode.is_none_or(|mode| ip.is_some() && ["Proxy", "VIP"].contains(&mode))
            || ports.any(is_wrong);
        is_refused.then(|| format!("ingress {ingress}"))
    })
}

/// Looks at all lists of conditions in `part`.
fn refused_conditions(part: &Value, most: usize) -> Option<String> {
    match part {
        Value::Object(fields) => fields.iter().find_map(|(field, value)| match value {
            Value::Array(conditions) if field == "conditions" => match conditions.len() > most {
                true => Some(format!("more than {most} conditions")),
                false => conditions.iter().find_map(refused_condition),
            },
            value => refused_conditions(value, most),
        }),
        Value::Array(values) => values
            .iter()
            .find_map(|value| refused_conditions(value, most)),
        _ => None,
    }
}

fn refused_condition(condition: &Value) -> Option<String> {
    let text = |field: &str| condition[field].as_str();
    let is_reason = |reason: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_,:".contains(&byte);
        let is_end = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        reason.len() <= 1024
            && reason.bytes().all(inner)
            && reason
                .bytes()
                .next()
                .is_some_and(|first| first.is_ascii_alphabetic())
            && reason.as_bytes().last().is_some_and(is_end)
    };
    let is_time = |time: &str| time.len() == 20 && time.ends_with('Z');
    let holds = text("type").is_some_and(is_qualified)
        && text("status").is_some_and(|status| ["False", "True", "Unknown"].contains(&status))
        && text("reason").is_some_and(is_reason)
        && text("message").is_some_and(|message| message.len() <= 32768)
        && text("lastTransitionTime").is_some_and(is_time);
    (!holds).then(|| format!("condition {condition}"))
}

/// Whether `text` is a name with an optional domain in front.
fn is_qualified(text: &str) -> bool {
    let (domain, name) = text.split_once('/').unwrap_or(("a", text));
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let ends = [name.bytes().next(), name.bytes().last()];
    let is_end = |end: &Option<u8>| end.is_some_and(|end| end.is_ascii_alphanumeric());
    text.len() <= 316
        && domain.split('.').all(is_label)
        && name.bytes().all(is_inner)
        && ends.iter().all(is_end)
}

fn is_label(label: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !label.is_empty()
        && label.bytes().all(is_inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}
