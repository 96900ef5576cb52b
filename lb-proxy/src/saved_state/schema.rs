//! The schema of the JSON document. A field that is added needs no new version; one that is removed or changes its meaning does.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lb_core::{
    AdminState, Backend, BackendMemory, EjectionMemory, FailLimit, FailureMemory, Health, Priority,
    TimeOffset, Weight,
};
use lb_discovery::LastSet;
use serde::{Deserialize, Serialize};

use super::{SavedState, SavedUpstream};

pub(super) const VERSION: u64 = 1;

/// What every version has.
#[derive(Deserialize)]
pub(super) struct DocumentHead {
    pub(super) version: u64,
}

#[derive(Deserialize, Serialize)]
pub(super) struct StateDocument {
    version: u64,
    /// Milliseconds since 1970.
    saved_ms: u64,
    upstreams: Vec<UpstreamEntry>,
}

#[derive(Deserialize, Serialize)]
struct UpstreamEntry {
    name: Text,
    sources: Vec<SetEntry>,
    backends: Vec<MemoryEntry>,
}

/// The last good set of a source.
#[derive(Deserialize, Serialize)]
struct SetEntry {
    label: Text,
    /// The hash of its identity, 16 hexadecimal digits.
    identity: HexNumber,
    age_ms: u64,
    backends: Vec<MemberEntry>,
}

/// A text that its backends share.
#[derive(Clone, Deserialize, Serialize)]
#[serde(from = "String", into = "String")]
struct Text(Arc<str>);

/// A number that JSON's numbers may not hold.
#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
struct HexNumber(u64);

/// A backend as its source reported it.
#[derive(Deserialize, Serialize)]
struct MemberEntry {
    addr: SocketAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unix: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<Text>,
    weight: u16,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    drain: bool,
    priority: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_conns: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_fails: Option<NonZeroU32>,
    #[serde(default)]
    fail_timeout_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<Text>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    for_zones: Vec<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<Text>,
}

/// What is remembered of a backend. Offsets are from `saved_ms`, negative for earlier moments.
#[derive(Deserialize, Serialize)]
struct MemoryEntry {
    addr: SocketAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    health: Option<HealthName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failures: Option<FailuresEntry>,
    #[serde(default)]
    failures_in_row: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ejections: Option<EjectionsEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warm_since_ms: Option<i64>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum HealthName {
    Healthy,
    Unhealthy,
}

#[derive(Deserialize, Serialize)]
struct FailuresEntry {
    count: u32,
    since_ms: i64,
    renewed: bool,
}

#[derive(Deserialize, Serialize)]
struct EjectionsEntry {
    count: u16,
    until_ms: i64,
    over: bool,
}

impl StateDocument {
    pub(super) fn of(state: &SavedState) -> Self {
        let saved = state.saved.duration_since(SystemTime::UNIX_EPOCH);
        Self {
            version: VERSION,
            saved_ms: millis(saved.unwrap_or_default()),
            upstreams: state.upstreams.iter().map(UpstreamEntry::of).collect(),
        }
    }
}

impl From<StateDocument> for SavedState {
    fn from(document: StateDocument) -> Self {
        let saved = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(document.saved_ms));
        Self {
            saved: saved.unwrap_or(SystemTime::UNIX_EPOCH),
            upstreams: document.upstreams.into_iter().map(Into::into).collect(),
        }
    }
}

impl UpstreamEntry {
    fn of(upstream: &SavedUpstream) -> Self {
        Self {
            name: Text(Arc::clone(&upstream.name)),
            sources: upstream.sets.iter().filter_map(SetEntry::of).collect(),
            backends: upstream.memories.iter().map(MemoryEntry::of).collect(),
        }
    }
}

impl From<UpstreamEntry> for SavedUpstream {
    fn from(entry: UpstreamEntry) -> Self {
        Self {
            name: entry.name.0,
            sets: entry.sources.into_iter().map(Into::into).collect(),
            memories: entry.backends.into_iter().map(Into::into).collect(),
        }
    }
}

impl SetEntry {
    /// `None` for a path that is no text.
    fn of(set: &LastSet) -> Option<Self> {
        let members: Option<_> = set.backends.iter().map(MemberEntry::of).collect();
        Some(Self {
            label: Text(Arc::clone(&set.label)),
            identity: HexNumber(set.identity),
            age_ms: millis(set.age),
            backends: members?,
        })
    }
}

impl From<SetEntry> for LastSet {
    fn from(entry: SetEntry) -> Self {
        let backends = entry.backends.into_iter().map(Backend::from).collect();
        let age = Duration::from_millis(entry.age_ms);
        Self::new(entry.label.0, entry.identity.0, backends, age)
    }
}

impl MemberEntry {
    fn of(backend: &Backend) -> Option<Self> {
        let unix = backend.unix_path().map(|path| path.to_path_buf());
        if unix.as_ref().is_some_and(|path| path.to_str().is_none()) {
            return None;
        }
        let limit = backend.fail_limit;
        Some(Self {
            addr: backend.addr,
            unix,
            name: backend.name.clone().map(Text),
            source: backend.source.clone().map(Text),
            weight: backend.weight.get(),
            drain: backend.admin == AdminState::Drain,
            priority: backend.priority.get(),
            max_conns: backend.max_conns,
            max_fails: limit.map(|limit| limit.max_fails),
            fail_timeout_ms: limit.map_or(0, |limit| millis(limit.fail_timeout)),
            zone: backend.zone.clone().map(Text),
            for_zones: backend.for_zones.iter().cloned().map(Text).collect(),
            node: backend.node.clone().map(Text),
            instance: backend.instance.clone().map(Text),
        })
    }
}

impl From<MemberEntry> for Backend {
    fn from(entry: MemberEntry) -> Self {
        let mut backend = match entry.unix {
            Some(path) => Self::unix(path),
            None => Self::new(entry.addr),
        };
        let timeout = Duration::from_millis(entry.fail_timeout_ms);
        backend.name = entry.name.map(Text::into_shared);
        backend.source = entry.source.map(Text::into_shared);
        backend.weight = Weight::new(entry.weight);
        backend.admin = match entry.drain {
            true => AdminState::Drain,
            false => AdminState::Ready,
        };
        backend.priority = Priority::new(entry.priority);
        backend.max_conns = entry.max_conns;
        backend.fail_limit = entry.max_fails.map(|max| FailLimit::new(max, timeout));
        backend.zone = entry.zone.map(Text::into_shared);
        let for_zones = entry.for_zones.into_iter().map(Text::into_shared);
        backend.for_zones = for_zones.collect();
        backend.node = entry.node.map(Text::into_shared);
        backend.instance = entry.instance.map(Text::into_shared);
        backend
    }
}

impl MemoryEntry {
    fn of(memory: &BackendMemory) -> Self {
        Self {
            addr: memory.addr,
            instance: memory.instance.clone().map(Text),
            health: match memory.health {
                Some(Health::Healthy) => Some(HealthName::Healthy),
                Some(Health::Unhealthy) => Some(HealthName::Unhealthy),
                _ => None,
            },
            failures: memory.failures.map(|failures| FailuresEntry {
                count: failures.count,
                since_ms: offset_millis(failures.since),
                renewed: failures.renewed,
            }),
            failures_in_row: memory.failures_in_row,
            ejections: memory.ejections.map(|ejections| EjectionsEntry {
                count: ejections.count,
                until_ms: offset_millis(ejections.until),
                over: ejections.over,
            }),
            warm_since_ms: memory.warm_since.map(offset_millis),
        }
    }
}

impl From<MemoryEntry> for BackendMemory {
    fn from(entry: MemoryEntry) -> Self {
        let failures = entry.failures.map(|failures| {
            FailureMemory::new(failures.count, offset(failures.since_ms), failures.renewed)
        });
        let ejections = entry.ejections.map(|ejections| {
            EjectionMemory::new(ejections.count, offset(ejections.until_ms), ejections.over)
        });
        Self::new(entry.addr)
            .instance(entry.instance.map(Text::into_shared))
            .health(entry.health.map(|health| match health {
                HealthName::Healthy => Health::Healthy,
                HealthName::Unhealthy => Health::Unhealthy,
            }))
            .failures(failures)
            .failures_in_row(entry.failures_in_row)
            .ejections(ejections)
            .warm_since(entry.warm_since_ms.map(offset))
    }
}

impl Text {
    fn into_shared(self) -> Arc<str> {
        self.0
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        (*text.0).to_owned()
    }
}

impl TryFrom<String> for HexNumber {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(Self)
    }
}

impl From<HexNumber> for String {
    fn from(number: HexNumber) -> Self {
        format!("{:016x}", number.0)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const NANOS_PER_MILLI: i64 = 1_000_000;

const fn offset_millis(offset: TimeOffset) -> i64 {
    offset.as_nanos() / NANOS_PER_MILLI
}

const fn offset(millis: i64) -> TimeOffset {
    TimeOffset::from_nanos(millis.saturating_mul(NANOS_PER_MILLI))
}
