//! The settings of a policy. Their names and values are those of a Service's annotations, in the case of fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::Value;

use super::object::{ConnectionPolicy, ConnectionPolicySpec};
use crate::names::qualified;
use crate::services::{self, ServiceSettings, annotations};

/// The settings of listeners, by the names of annotations.
pub(super) const OF_LISTENERS: [&str; 6] = [
    "client-rate",
    "client-sessions",
    "connect-timeout",
    "connect-tries",
    "idle-timeout",
    "port-drain",
];

/// The settings of backends, by the names of annotations.
pub(super) const OF_BACKENDS: [&str; 6] = [
    "backends",
    "drain",
    "health-check",
    "health-check-interval",
    "policy",
    "proxy-protocol",
];

/// The settings that are numbers.
pub(super) const NUMBERS: [&str; 3] = ["client-rate", "client-sessions", "connect-tries"];

/// The field for the clients that are admitted.
pub(super) const SOURCE_RANGES: &str = "sourceRanges";

/// The settings of a policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PolicySettings {
    pub(crate) settings: ServiceSettings,
    /// `None`: all clients.
    pub(crate) sources: Option<Vec<IpNet>>,
    /// The fields that apply to listeners, and those that apply to backends.
    pub(super) of_listeners: Vec<String>,
    pub(super) of_backends: Vec<String>,
}

/// A policy as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ReadPolicy {
    /// Those that apply: the last valid ones.
    pub(crate) settings: PolicySettings,
    /// What is wrong with the present ones.
    pub(crate) problem: Option<String>,
}

/// The policies as they were read, by key.
pub(crate) type ReadPolicies = BTreeMap<String, ReadPolicy>;

/// Reads policies. Of one that is invalid, the settings in `previous` apply on: those that backends were prepared for. Its source
/// ranges apply in any case, because an error elsewhere must not admit all clients.
pub(crate) fn read_policies(
    policies: &BTreeMap<String, Arc<ConnectionPolicy>>,
    previous: &ReadPolicies,
) -> ReadPolicies {
    let read = policies.iter().map(|(key, policy)| {
        let read = match read(&policy.spec) {
            Ok(settings) => ReadPolicy {
                settings,
                problem: None,
            },
            Err(problem) => {
                let known = previous.get(key).map(|known| known.settings.clone());
                let mut settings = known.unwrap_or_default();
                settings.restrict(&policy.spec.source_ranges);
                ReadPolicy {
                    settings,
                    problem: Some(problem),
                }
            }
        };
        (key.clone(), read)
    });
    read.collect()
}

impl PolicySettings {
    /// Whether it has settings of backends.
    pub(crate) const fn has_backend_settings(&self) -> bool {
        !self.of_backends.is_empty()
    }

    /// Admits these networks alone, if there are some. Returns what is wrong with entries that admit no client.
    fn restrict(&mut self, source_ranges: &[String]) -> Vec<String> {
        let (sources, invalid) = services::source_ranges(source_ranges);
        self.sources = sources;
        self.of_listeners.retain(|field| field != SOURCE_RANGES);
        if self.sources.is_some() {
            self.of_listeners.push(SOURCE_RANGES.to_owned());
        }
        invalid
    }
}

fn read(spec: &ConnectionPolicySpec) -> Result<PolicySettings, String> {
    let mut texts = BTreeMap::new();
    let mut read = PolicySettings::default();
    for (field, value) in &spec.settings {
        let name = annotation_of(field);
        match name.as_str() {
            known if OF_LISTENERS.contains(&known) => read.of_listeners.push(field.clone()),
            known if OF_BACKENDS.contains(&known) => read.of_backends.push(field.clone()),
            _ => return Err(format!("spec has no field {field:.80}")),
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(format!("{field} is neither a text nor a number")),
        };
        texts.insert(qualified(&name), text);
    }
    let (settings, problems) = annotations::read(&texts, None);
    if let Some(problem) = problems.first() {
        let name = problem.name.rsplit('/').next().unwrap_or_default();
        return Err(format!("{}: {}", field_of(name), problem.problem));
    }
    read.settings = settings;
    if let Some(problem) = read.restrict(&spec.source_ranges).first() {
        return Err(format!("{SOURCE_RANGES}: {problem}"));
    }
    Ok(read)
}

/// The field for an annotation: `connectTimeout` for `connect-timeout`.
pub(super) fn field_of(annotation: &str) -> String {
    let mut words = annotation.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |field, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        field + &initial.to_ascii_uppercase() + rest
    })
}

fn annotation_of(field: &str) -> String {
    field.chars().fold(String::new(), |mut name, letter| {
        if letter.is_ascii_uppercase() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
        name
    })
}
