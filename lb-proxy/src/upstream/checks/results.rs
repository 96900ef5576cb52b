//! Applies the result of a probe: to the record of the backend, its health, the log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::{Endpoint, Health, Timestamp};
use tracing::{debug, info, warn};

use super::list::RunningCheck;
use super::record::{CheckRecord, EndedProbe};
use crate::health::CheckState;
use crate::upstream::Upstream;

/// Takes the results of one check.
#[derive(Clone, Copy)]
pub(super) struct Results<'a> {
    pub(super) upstream: &'a Upstream,
    pub(super) check: &'a RunningCheck,
}

impl Results<'_> {
    /// Stores the result, and publishes the health that follows from it. Returns the interval to the next probe.
    pub(super) fn take_result(&self, addr: SocketAddr, probe: &EndedProbe) -> Duration {
        let settings = self.check.settings();
        let mut records = self.check.records();
        let Some(record) = records.get_mut(addr) else {
            return settings.interval;
        };
        let held = record.holds_health(settings);
        let changed = record.observe(probe, settings);
        let released = held && !record.holds_health(settings);
        let interval = record.interval(settings);
        let state = record.state();
        let passed = matches!(&probe.result, Ok(report) if report.passed());
        if changed || released {
            let (reason, endpoint) = (Arc::clone(record.reason()), record.backend().endpoint());
            drop(records);
            self.publish(addr, state, &endpoint, &reason, probe.at);
        } else if state == CheckState::Down && record.log_is_due(probe.at) {
            record.set_logged(probe.at);
            let (reason, endpoint) = (Arc::clone(record.reason()), record.backend().endpoint());
            drop(records);
            self.log_still_unhealthy(&endpoint, &self.check.described.name, &reason);
        } else if passed && state == CheckState::Up {
            drop(records);
            self.readmit(addr);
        }
        interval
    }

    /// Publishes the health of a backend after a change of state.
    fn publish(
        &self,
        addr: SocketAddr,
        state: CheckState,
        endpoint: &Endpoint,
        reason: &str,
        now: Timestamp,
    ) {
        let upstream = &self.upstream;
        let (name, check) = (upstream.name(), &*self.check.described.name);
        debug!(upstream = name, backend.addr = %endpoint, check, state = state.as_str(), "Check decided");
        let list = upstream.check_list();
        let combining = list.combine();
        let health = list.health(addr);
        let changed = health.is_some_and(|health| upstream.set_health(addr, health));
        drop(combining);
        match state {
            CheckState::Down if self.take_log(addr, changed, now) => {
                if !changed {
                    return self.log_still_unhealthy(endpoint, check, reason);
                }
                warn!(upstream = name, backend.addr = %endpoint, check, reason, "Backend unhealthy");
            }
            CheckState::Down => {}
            _ if !changed => self.log_other_failure(addr, endpoint, now),
            _ => info!(upstream = name, backend.addr = %endpoint, check, "Backend healthy"),
        }
    }

    /// This check fails no longer. If its failure was logged, logs which other check keeps the backend unhealthy.
    fn log_other_failure(&self, addr: SocketAddr, endpoint: &Endpoint, now: Timestamp) {
        let records = self.check.records();
        let was_logged = records.get(addr).is_some_and(CheckRecord::was_logged);
        drop(records);
        if was_logged
            && let Some((check, reason)) = self.upstream.check_list().failure(addr)
            && self.take_log(addr, false, now)
        {
            self.log_still_unhealthy(endpoint, &check, &reason);
        }
    }

    /// Whether the reason is to be logged, which is stored: always if the health has changed.
    fn take_log(&self, addr: SocketAddr, changed: bool, now: Timestamp) -> bool {
        let mut records = self.check.records();
        let Some(record) = records.get_mut(addr) else {
            return changed;
        };
        let is_due = changed || record.log_is_due(now);
        if is_due {
            record.set_logged(now);
        }
        is_due
    }

    /// Logs that another check fails than before, or for another reason.
    fn log_still_unhealthy(&self, endpoint: &Endpoint, check: &str, reason: &str) {
        let upstream = self.upstream.name();
        warn!(upstream, backend.addr = %endpoint, check, reason, "Backend still unhealthy");
    }

    /// Ends an ejection by outlier detection: a probe has passed.
    fn readmit(&self, addr: SocketAddr) {
        let list = self.upstream.check_list();
        let _combining = list.combine();
        if list.health(addr) == Some(Health::Healthy) {
            self.upstream.set_health(addr, Health::Healthy);
        }
    }
}
