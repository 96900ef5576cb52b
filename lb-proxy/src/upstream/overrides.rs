//! The overrides that an upstream has, by backend, kind and origin.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use lb_core::{Backend, Endpoint, Snapshot};

use crate::backend_override::{
    ActiveOverride, Override, OverrideKind, OverrideOrigin, UnknownBackend,
};

/// The overrides of an upstream.
#[derive(Debug, Default)]
pub(crate) struct Overrides(BTreeMap<SocketAddr, Overridden>);

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
    /// The identity of the check that reported it.
    check: Option<Arc<str>>,
    since: SystemTime,
}

impl Overrides {
    /// Sets an override of a backend, which is `present` unless it has an override already. Returns whether the value is new.
    pub(crate) fn set(
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
        let stamped = Stamped {
            setting,
            by,
            check: None,
            since,
        };
        overridden.settings.insert(key, stamped);
        Ok(true)
    }

    /// Sets an override of a present backend that the check with the identity `check` reports. Returns whether the value is
    /// new.
    pub(crate) fn report(
        &mut self,
        backend: &Backend,
        origin: OverrideOrigin,
        by: &Arc<str>,
        check: &Arc<str>,
        setting: Override,
    ) -> bool {
        let set = self.set(backend.addr, Some(backend), origin, Arc::clone(by), setting);
        let overridden = self.0.get_mut(&backend.addr);
        let key = (setting.kind(), origin);
        if let Some(stamped) = overridden.and_then(|all| all.settings.get_mut(&key)) {
            // An equal value is that of the check that reported it last.
            stamped.by = Arc::clone(by);
            stamped.check = Some(Arc::clone(check));
        }
        set == Ok(true)
    }

    /// Removes what the check with this identity reported. Returns whether there was something.
    pub(crate) fn end_reports(&mut self, check: &Arc<str>) -> bool {
        let mut ended = false;
        for overridden in self.0.values_mut() {
            overridden.settings.retain(|_, stamped| {
                let is_of_check = stamped.check.as_ref() == Some(check);
                ended |= is_of_check;
                !is_of_check
            });
        }
        self.forget_unused();
        ended
    }

    /// Removes an override. Returns whether there was one.
    pub(crate) fn clear(
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
    pub(crate) fn renew(&mut self, discovered: &Snapshot) -> Vec<ActiveOverride> {
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
    pub(crate) fn apply(&self, discovered: &Snapshot) -> Snapshot {
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

    pub(crate) fn list(&self) -> Vec<ActiveOverride> {
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
