//! What the result of a probe changes: the record of the backend, its health, the log.

use std::net::SocketAddr;
use std::time::Duration;

use lb_core::{Endpoint, Health};
use tracing::{debug, info, warn};

use super::list::RunningCheck;
use super::record::EndedProbe;
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
            let (text, endpoint) = (record.last_text(), record.backend().endpoint());
            drop(records);
            self.publish(addr, state, &endpoint, &text.unwrap_or_default());
        } else if passed && state == CheckState::Up {
            drop(records);
            self.readmit(addr);
        }
        interval
    }

    /// Publishes the health of a backend after a change of state.
    fn publish(&self, addr: SocketAddr, state: CheckState, endpoint: &Endpoint, reason: &str) {
        let upstream = &self.upstream;
        let (name, check) = (upstream.name(), &*self.check.described.name);
        debug!(upstream = name, backend.addr = %endpoint, check, state = state.as_str(), "Check decided");
        let list = upstream.check_list();
        let combining = list.combine();
        let health = list.health(addr);
        let changed = health.is_some_and(|health| upstream.set_health(addr, health));
        drop(combining);
        if !changed {
            return;
        }
        match state {
            CheckState::Down => {
                warn!(upstream = name, backend.addr = %endpoint, check, reason, "Backend unhealthy");
            }
            _ => info!(upstream = name, backend.addr = %endpoint, check, "Backend healthy"),
        }
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
