//! What operators and agent checks set of a backend above what its source reports.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::SystemTime;

use lb_core::{AdminState, Backend, Endpoint, Snapshot, Weight};

/// A setting of one backend that replaces what its source reports.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Override {
    /// Whether it takes new connections. [`AdminState::Ready`] also replaces the drain of a source or of an origin of lower
    /// precedence.
    #[doc(alias = "set server state")]
    Admin(AdminState),
    /// The most connections in flight. `None`: no limit.
    #[doc(alias = "set server maxconn")]
    MaxConns(Option<NonZeroU32>),
    /// Its share among the backends of its priority.
    #[doc(alias = "set server weight")]
    Weight(WeightOverride),
}

/// A weight, or a part of the weight that the source reports.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WeightOverride {
    /// So many percent of the source's weight, rounded up, so that only 0 % and a source's 0 are 0. At most 65535.
    Percent(u16),
    /// This weight.
    Value(Weight),
}

/// Which setting an [`Override`] replaces.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum OverrideKind {
    /// [`Override::Admin`].
    Admin,
    /// [`Override::MaxConns`].
    MaxConns,
    /// [`Override::Weight`].
    Weight,
}

/// What sets an [`Override`], in ascending precedence. Each kind of setting is taken from the highest origin that has one.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum OverrideOrigin {
    /// What a health check reads from the answer of the backend, as
    /// [`NodePortCheck`](crate::health::NodePortCheck) does. Forgotten when the backend leaves the membership.
    HealthCheck,
    /// What the backend reports of itself to a check. Forgotten when the backend leaves the membership.
    AgentCheck,
    /// A person, or a program that acts for one. Kept while the backend is absent.
    Operator,
}

/// An [`Override`] in force or of lower precedence than another one.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ActiveOverride {
    /// The backend's address, or the key of its path.
    pub addr: SocketAddr,
    /// Where sessions connect to it.
    pub endpoint: Endpoint,
    /// The setting.
    pub setting: Override,
    /// What set it.
    pub origin: OverrideOrigin,
    /// The person, program or check, as the caller named it.
    pub by: Arc<str>,
    /// When it got this value.
    pub since: SystemTime,
    /// Whether no origin of higher precedence replaces it.
    pub in_force: bool,
}

/// What a check reports of a backend: an override, or the end of one of this kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ReportedOverride {
    pub(super) addr: SocketAddr,
    pub(super) setting: Result<Override, OverrideKind>,
}

/// No backend of the upstream has this address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no backend of this upstream has the address {addr}")]
#[non_exhaustive]
pub struct UnknownBackend {
    /// The address.
    pub addr: SocketAddr,
}

impl Override {
    /// Which setting it replaces.
    pub const fn kind(self) -> OverrideKind {
        match self {
            Self::Admin(_) => OverrideKind::Admin,
            Self::MaxConns(_) => OverrideKind::MaxConns,
            Self::Weight(_) => OverrideKind::Weight,
        }
    }

    fn apply(self, backend: &mut Backend) {
        match self {
            Self::Admin(admin) => backend.admin = admin,
            Self::MaxConns(limit) => backend.max_conns = limit,
            Self::Weight(weight) => backend.weight = weight.of(backend.weight),
        }
    }
}

impl WeightOverride {
    fn of(self, source: Weight) -> Weight {
        match self {
            Self::Percent(percent) => {
                let product = u32::from(source.get()) * u32::from(percent);
                let weight = u16::try_from(product.div_ceil(100));
                Weight::new(weight.unwrap_or(u16::MAX))
            }
            Self::Value(weight) => weight,
        }
    }
}

/// As in `drain`, `ready`, `weight 5`, `weight 50%`, `max_conns 100`, `max_conns unlimited`.
impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin(AdminState::Drain) => f.write_str("drain"),
            Self::Admin(_) => f.write_str("ready"),
            Self::MaxConns(Some(limit)) => write!(f, "max_conns {limit}"),
            Self::MaxConns(None) => f.write_str("max_conns unlimited"),
            Self::Weight(WeightOverride::Percent(percent)) => write!(f, "weight {percent}%"),
            Self::Weight(WeightOverride::Value(weight)) => write!(f, "weight {}", weight.get()),
        }
    }
}

impl fmt::Display for OverrideOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HealthCheck => "health check",
            Self::AgentCheck => "agent check",
            Self::Operator => "operator",
        })
    }
}

/// The overrides of an upstream.
#[derive(Debug, Default)]
pub(super) struct Overrides(BTreeMap<SocketAddr, Overridden>);

/// The overrides of one backend.
#[derive(Debug)]
struct Overridden {
    endpoint: Endpoint,
    /// The instance that they were set for.
    instance: Option<Arc<str>>,
    /// One of each kind and origin, in this order.
    settings: BTreeMap<(OverrideKind, OverrideOrigin), Stamped>,
}

#[derive(Debug)]
struct Stamped {
    setting: Override,
    by: Arc<str>,
    since: SystemTime,
}

impl Overrides {
    /// Sets an override of a backend, which is `present` unless it has an override already. Returns whether the value is new.
    pub(super) fn set(
        &mut self,
        addr: SocketAddr,
        present: Option<&Backend>,
        origin: OverrideOrigin,
        by: Arc<str>,
        setting: Override,
    ) -> Result<bool, UnknownBackend> {
        if let Some(backend) = present {
            self.0.entry(addr).or_insert_with(|| Overridden {
                endpoint: backend.endpoint(),
                instance: backend.instance.clone(),
                settings: BTreeMap::new(),
            });
        }
        let overridden = self.0.get_mut(&addr).ok_or(UnknownBackend { addr })?;
        let key = (setting.kind(), origin);
        let old = overridden.settings.get(&key);
        if old.is_some_and(|old| old.setting == setting) {
            return Ok(false);
        }
        let since = SystemTime::now();
        let stamped = Stamped { setting, by, since };
        overridden.settings.insert(key, stamped);
        Ok(true)
    }

    /// Removes an override. Returns whether there was one.
    pub(super) fn clear(
        &mut self,
        addr: SocketAddr,
        origin: OverrideOrigin,
        kind: OverrideKind,
    ) -> bool {
        let overridden = self.0.get_mut(&addr);
        let removed = overridden.and_then(|all| all.settings.remove(&(kind, origin)));
        self.forget_unused();
        removed.is_some()
    }

    /// Forgets the overrides of former instances, and those of agent checks whose backends are gone. Returns the forgotten ones.
    pub(super) fn renew(&mut self, discovered: &Snapshot) -> Vec<ActiveOverride> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let before = self.list();
        let present: BTreeMap<_, _> = discovered.iter().map(|b| (b.addr, b)).collect();
        for (addr, overridden) in &mut self.0 {
            match present.get(addr) {
                Some(backend) => overridden.keep_instance(backend.instance.as_ref()),
                None => overridden
                    .settings
                    .retain(|(_, origin), _| *origin == OverrideOrigin::Operator),
            }
        }
        self.forget_unused();
        let is_gone = |old: &ActiveOverride| {
            let key = (old.setting.kind(), old.origin);
            let left = self.0.get(&old.addr);
            !left.is_some_and(|left| left.settings.contains_key(&key))
        };
        before.into_iter().filter(is_gone).collect()
    }

    /// The snapshot with the overrides. Without overrides it costs a reference count.
    pub(super) fn apply(&self, discovered: &Snapshot) -> Snapshot {
        if self.0.is_empty() {
            return discovered.clone();
        }
        let overridden = discovered.iter().map(|backend| {
            let mut backend = backend.clone();
            if let Some(overridden) = self.0.get(&backend.addr) {
                overridden.in_force().for_each(|s| s.apply(&mut backend));
            }
            backend
        });
        overridden.collect()
    }

    pub(super) fn list(&self) -> Vec<ActiveOverride> {
        let all = self.0.iter().flat_map(|(addr, overridden)| {
            overridden
                .settings
                .iter()
                .map(|((kind, origin), stamped)| ActiveOverride {
                    addr: *addr,
                    endpoint: overridden.endpoint.clone(),
                    setting: stamped.setting,
                    origin: *origin,
                    by: Arc::clone(&stamped.by),
                    since: stamped.since,
                    in_force: overridden.highest(*kind) == Some(*origin),
                })
        });
        all.collect()
    }

    fn forget_unused(&mut self) {
        self.0.retain(|_, all| !all.settings.is_empty());
    }
}

impl Overridden {
    /// The settings that no other replaces, one of each kind at most.
    fn in_force(&self) -> impl Iterator<Item = Override> {
        let settings = self.settings.iter();
        settings
            .filter(|((kind, origin), _)| self.highest(*kind) == Some(*origin))
            .map(|(_, stamped)| stamped.setting)
    }

    fn highest(&self, kind: OverrideKind) -> Option<OverrideOrigin> {
        let of_kind = (kind, OverrideOrigin::HealthCheck)..=(kind, OverrideOrigin::Operator);
        let ((_, origin), _) = self.settings.range(of_kind).next_back()?;
        Some(*origin)
    }

    /// Forgets all if another instance has the address now.
    fn keep_instance(&mut self, now: Option<&Arc<str>>) {
        if let (Some(before), Some(now)) = (&self.instance, now)
            && before != now
        {
            self.settings.clear();
        }
    }
}

#[cfg(test)]
mod tests;
