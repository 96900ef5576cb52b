//! The content of a file.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lb_core::{AdminState, Backend, FailLimit, Priority, Snapshot, Weight};
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_saphyr::UserMessageFormatter;

use crate::sources::file::format::FileFormat;

/// Parses `bytes` into a set of backends from the source `label`. Fails with the problem and its line.
pub(crate) fn parse(
    bytes: &[u8],
    format: FileFormat,
    label: &Arc<str>,
) -> Result<Snapshot, Box<str>> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = &bytes[..error.valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        format!("not valid UTF-8 at line {line}")
    })?;
    let document: Document = match format {
        FileFormat::Json => serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let message = error.to_string();
            let place = format!(" at line {line} column {column}");
            let message = message.strip_suffix(&place).unwrap_or(&message);
            format!("{message} at line {line}, column {column}")
        }),
        FileFormat::Yaml => serde_saphyr::from_str(text).map_err(|error| {
            let error = error.without_snippet();
            error.render_with_formatter(&UserMessageFormatter)
        }),
    }?;
    let backends = document.backends.0.into_iter();
    Ok(backends.map(|entry| entry.backend(label)).collect())
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    backends: BackendEntries,
}

/// The list of backends. Addresses are unique.
#[derive(Debug)]
struct BackendEntries(Vec<BackendEntry>);

impl<'de> Deserialize<'de> for BackendEntries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;
        impl<'de> Visitor<'de> for ListVisitor {
            type Value = BackendEntries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of backends")
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut entries: A,
            ) -> Result<BackendEntries, A::Error> {
                let mut seen = BTreeMap::new();
                let mut read: Vec<BackendEntry> = Vec::new();
                while let Some(entry) = entries.next_element::<BackendEntry>()? {
                    let (addr, number) = (entry.addr, read.len() + 1);
                    if let Some(first) = seen.insert(addr, number) {
                        let problem = format!("backends {first} and {number} are both {addr}");
                        return Err(A::Error::custom(problem));
                    }
                    read.push(entry);
                }
                Ok(BackendEntries(read))
            }
        }
        deserializer.deserialize_seq(ListVisitor)
    }
}

/// One backend.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a backend with its fields")]
struct BackendEntry {
    #[serde(deserialize_with = "addr")]
    addr: SocketAddr,
    name: Option<String>,
    #[serde(default = "one")]
    weight: u16,
    #[serde(default)]
    state: EntryState,
    #[serde(default)]
    priority: u8,
    #[serde(default)]
    max_conns: u32,
    max_fails: Option<u32>,
    #[serde(default, deserialize_with = "duration")]
    fail_timeout: Option<Duration>,
    zone: Option<String>,
    instance: Option<String>,
    source: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EntryState {
    Drain,
    #[default]
    Ready,
}

impl BackendEntry {
    fn backend(self, label: &Arc<str>) -> Backend {
        let default = FailLimit::default();
        let max_fails = self
            .max_fails
            .map_or(Some(default.max_fails), NonZeroU32::new);
        let fail_timeout = self.fail_timeout.unwrap_or(default.fail_timeout);
        let mut backend = Backend::new(self.addr)
            .weight(Weight::new(self.weight))
            .priority(Priority::new(self.priority))
            .max_conns(NonZeroU32::new(self.max_conns))
            .fail_limit(max_fails.map(|max| FailLimit::new(max, fail_timeout)))
            .source(self.source.map_or_else(|| Arc::clone(label), Arc::from))
            .admin(match self.state {
                EntryState::Drain => AdminState::Drain,
                EntryState::Ready => AdminState::Ready,
            });
        backend.name = self.name.map(Arc::from);
        backend.zone = self.zone.map(Arc::from);
        backend.instance = self.instance.map(Arc::from);
        backend
    }
}

fn one() -> u16 {
    1
}

fn addr<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    let addr: Option<SocketAddr> = text.parse().ok();
    let usable = |addr: &SocketAddr| addr.port() != 0 && !addr.ip().is_unspecified();
    addr.filter(usable).ok_or_else(|| {
        D::Error::custom(format!(
            "{text:?} is no IP address with a port, such as 10.0.0.1:446 or [2001:db8::1]:446"
        ))
    })
}

/// Parses a number and its unit: `500ms`, `10s`, `5m` or `1h`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let millis = scale.and_then(|scale| number.parse::<u64>().ok()?.checked_mul(scale));
    let duration = millis.map(Duration::from_millis);
    duration.map(Some).ok_or_else(|| {
        let unexpected = de::Unexpected::Str(&text);
        D::Error::invalid_value(
            unexpected,
            &"a time with its unit, such as 500ms, 10s, 5m or 1h",
        )
    })
}

#[cfg(test)]
mod tests;
