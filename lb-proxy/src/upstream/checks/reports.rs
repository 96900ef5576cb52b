//! Overrides that checks read from the answers of backends: weights, limits and drains, gathered so that many need one update.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use lb_core::AdminState;
use tokio::time::Instant;

use crate::backend_override::{Override, OverrideKind, ReportedOverride, WeightOverride};
use crate::health::{CheckReport, ReportedAdmin};

/// How long reports are gathered: an update of the membership costs time for each backend of the upstream.
const GATHERED: Duration = Duration::from_millis(100);

/// What one backend asked for last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    weight: Option<WeightOverride>,
    max_conns: Option<Option<NonZeroU32>>,
    admin: Option<ReportedAdmin>,
}

/// Reports that are not published yet.
#[derive(Debug, Default)]
pub(super) struct PendingReports {
    reports: Vec<ReportedOverride>,
    due: Option<Instant>,
}

impl PendingReports {
    /// Adds what `report` asks for and `asked` did not.
    pub(super) fn add(&mut self, addr: SocketAddr, report: &CheckReport, asked: &mut Asked) {
        let settings = [
            changed(&mut asked.weight, report.weight).map(|weight| match weight {
                // What the source reports.
                WeightOverride::Percent(100) => Err(OverrideKind::Weight),
                weight => Ok(Override::Weight(weight)),
            }),
            changed(&mut asked.max_conns, report.max_conns)
                .map(|limit| Ok(Override::MaxConns(limit))),
            changed(&mut asked.admin, report.admin).map(|admin| match admin {
                ReportedAdmin::Drain | ReportedAdmin::Maintenance => {
                    Ok(Override::Admin(AdminState::Drain))
                }
                ReportedAdmin::Ready => Err(OverrideKind::Admin),
            }),
        ];
        for setting in settings.into_iter().flatten() {
            self.reports.push(ReportedOverride { addr, setting });
            self.due.get_or_insert_with(|| Instant::now() + GATHERED);
        }
    }

    /// Drops the reports of a backend that is gone.
    pub(super) fn forget(&mut self, addr: SocketAddr) {
        self.reports.retain(|report| report.addr != addr);
    }

    /// When they are to be published.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The reports, if they are to be published at `now`.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Vec<ReportedOverride>> {
        self.due.take_if(|due| *due <= now)?;
        Some(std::mem::take(&mut self.reports))
    }
}

/// What `reported` says that `last` did not.
fn changed<T: Copy + PartialEq>(last: &mut Option<T>, reported: Option<T>) -> Option<T> {
    let new = reported.filter(|reported| *last != Some(*reported));
    *last = new.or(*last);
    new
}
