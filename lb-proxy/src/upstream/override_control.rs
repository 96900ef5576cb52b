//! Overrides of single backends: set and cleared by operators, reported by checks.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use lb_core::{Backend, Escaped, Snapshot};
use tracing::{debug, info};

use super::checks::list::DescribedCheck;
use super::membership::Membership;
use super::{Upstream, lock};
use crate::audit::AUDIT_TARGET;
use crate::backend_override::{
    ActiveOverride, Override, OverrideKind, OverrideOrigin, OverrideWithoutEffect,
    ReportedOverride, UnknownBackend,
};

impl Upstream {
    /// Replaces a setting of the backend at `addr` at once, whatever its sources report now or later. `by` is logged and
    /// listed. Returns whether the value is new for this origin.
    ///
    /// An override belongs to the address. It survives updates and reloads, it ends with the process, with another
    /// [instance](field@lb_core::Backend::instance) at the address, or by [`clear_override`](Self::clear_override). Costs what an
    /// update of the membership costs.
    ///
    /// # Errors
    ///
    /// [`UnknownBackend`] if no source reports the address, unless the backend has an override from before.
    pub fn set_override(
        &self,
        addr: SocketAddr,
        origin: OverrideOrigin,
        by: impl Into<Arc<str>>,
        setting: Override,
    ) -> Result<bool, UnknownBackend> {
        let by = by.into();
        let mut membership = lock(&self.shared().membership);
        let Membership {
            discovered,
            overrides,
            ..
        } = &mut *membership;
        let present = discovered.as_ref().and_then(|all| all.find(addr));
        let changed = overrides.set(addr, present, origin, Arc::clone(&by), setting)?;
        if changed {
            self.log_set(addr, origin, &by, setting);
            self.publish(membership);
        }
        Ok(changed)
    }

    /// Removes an override, so that the setting is that of the next lower origin or of the source. `by` is logged. Returns
    /// whether there was one.
    pub fn clear_override(
        &self,
        addr: SocketAddr,
        origin: OverrideOrigin,
        by: &str,
        kind: OverrideKind,
    ) -> bool {
        let mut membership = lock(&self.shared().membership);
        let cleared = membership.overrides.clear(addr, origin, kind);
        if cleared {
            self.log_cleared(addr, origin, by, kind);
            self.publish(membership);
        }
        cleared
    }

    /// Applies the overrides that `check` read from the answers of backends, by one update of the membership. Drops those of
    /// backends that are gone, and all if the check runs no longer. Returns an override without effect, if there is one.
    pub(super) fn report_overrides(
        &self,
        check: &DescribedCheck,
        reported: &[ReportedOverride],
    ) -> Option<OverrideWithoutEffect> {
        let mut without_effect = None;
        let (origin, by) = (check.check.override_origin(), &check.name);
        let mut membership = lock(&self.shared().membership);
        // Under the lock: `end_reports` comes later.
        if !self.shared().checks.runs(&check.identity) {
            return None;
        }
        let Membership {
            discovered,
            overrides,
            ..
        } = &mut *membership;
        let about: HashSet<SocketAddr> = reported.iter().map(|report| report.addr).collect();
        let present = discovered.iter().flat_map(Snapshot::iter);
        let present = present.filter(|backend| about.contains(&backend.addr));
        let present: HashMap<_, _> = present.map(|backend| (backend.addr, backend)).collect();
        let mut changed = false;
        for &ReportedOverride { addr, setting } in reported {
            let Some(backend) = present.get(&addr).copied() else {
                continue;
            };
            let changed_now = match setting {
                Ok(setting) => {
                    let useless = OverrideWithoutEffect::of(backend, setting);
                    without_effect = without_effect.or(useless);
                    overrides.report(backend, origin, by, &check.identity, setting)
                }
                Err(kind) => overrides.clear(addr, origin, kind),
            };
            if changed_now {
                self.log_reported(backend, origin, by, setting);
                changed = true;
            }
        }
        if changed {
            self.publish(membership);
        }
        without_effect
    }

    fn log_set(&self, addr: SocketAddr, origin: OverrideOrigin, by: &str, setting: Override) {
        let (upstream, by) = (self.name(), Escaped(by));
        if origin == OverrideOrigin::Operator {
            info!(target: AUDIT_TARGET, upstream, backend.addr = %addr, %origin, %by, %setting, "Override set");
        } else {
            info!(upstream, backend.addr = %addr, %origin, %by, %setting, "Override set");
        }
    }

    fn log_cleared(&self, addr: SocketAddr, origin: OverrideOrigin, by: &str, kind: OverrideKind) {
        let (upstream, by) = (self.name(), Escaped(by));
        if origin == OverrideOrigin::Operator {
            info!(target: AUDIT_TARGET, upstream, backend.addr = %addr, %origin, %by, setting = %kind, "Override cleared");
        } else {
            info!(upstream, backend.addr = %addr, %origin, %by, setting = %kind, "Override cleared");
        }
    }

    /// Logs a drain at the level `info`, weights and limits at `debug`: these may change with every answer.
    fn log_reported(
        &self,
        backend: &Backend,
        origin: OverrideOrigin,
        by: &Arc<str>,
        setting: Result<Override, OverrideKind>,
    ) {
        let (upstream, endpoint, by) = (self.name(), backend.endpoint(), Escaped(by));
        match setting {
            Ok(setting @ Override::Admin(_)) => {
                info!(upstream, backend.addr = %endpoint, %origin, %by, %setting, "Override set");
            }
            Ok(setting) => {
                debug!(upstream, backend.addr = %endpoint, %origin, %by, %setting, "Override set");
            }
            Err(kind @ OverrideKind::Admin) => {
                info!(upstream, backend.addr = %endpoint, %origin, %by, setting = %kind, "Override cleared");
            }
            Err(kind) => {
                debug!(upstream, backend.addr = %endpoint, %origin, %by, setting = %kind, "Override cleared");
            }
        }
    }

    /// Removes all overrides of `check`, which runs no longer. The other checks report again what it had replaced.
    pub(super) fn end_reports(&self, check: &DescribedCheck) {
        let mut membership = lock(&self.shared().membership);
        if membership.overrides.end_reports(&check.identity) {
            debug!(upstream = self.name(), check = %check.name, "Overrides ended with their check");
            self.shared().checks.forget_reports();
            self.publish(membership);
        }
    }

    /// All overrides, in the order of the addresses, those of absent backends included.
    pub fn overrides(&self) -> Vec<ActiveOverride> {
        lock(&self.shared().membership).overrides.list()
    }
}

#[cfg(test)]
mod tests;
