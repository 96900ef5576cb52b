//! Selects the first sessions of an order while a query visits all of them.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use super::entry::LiveSession;
use super::filter::{SessionFilter, SessionOrder};
use super::phase::SessionPhase;
use super::report::{SessionList, SessionReport};

/// The sessions that a filter has selected so far. Takes memory for twice the filter's limit.
#[derive(Debug)]
pub(crate) struct Selection<'a> {
    filter: &'a SessionFilter,
    /// Whether sessions that are about to end are left out.
    skips_closing: bool,
    matched: usize,
    chosen: Vec<(SessionReport, Arc<LiveSession>)>,
}

impl<'a> Selection<'a> {
    pub(crate) const fn new(filter: &'a SessionFilter) -> Self {
        Self {
            filter,
            skips_closing: false,
            matched: 0,
            chosen: Vec::new(),
        }
    }

    /// Leaves sessions out that are about to end.
    pub(crate) const fn without_closing(mut self) -> Self {
        self.skips_closing = true;
        self
    }

    /// Adds the session if it matches. Amortized constant time.
    pub(crate) fn offer(&mut self, session: &Arc<LiveSession>) {
        let report = session.report();
        let is_skipped = self.skips_closing && report.phase == SessionPhase::Closing;
        if is_skipped || !self.filter.matches(&report) {
            return;
        }
        self.matched += 1;
        let limit = self.filter.limit.unwrap_or(usize::MAX);
        if limit == 0 {
            return;
        }
        self.chosen.push((report, Arc::clone(session)));
        if self.chosen.len() >= limit.saturating_mul(2) {
            let order = self.filter.order;
            let compare = |a: &Chosen, b: &Chosen| compare(order, &a.0, &b.0);
            self.chosen.select_nth_unstable_by(limit - 1, compare);
            self.chosen.truncate(limit);
        }
    }

    /// The selected sessions, in the order of the filter.
    pub(crate) fn into_sessions(mut self) -> impl Iterator<Item = Arc<LiveSession>> {
        self.sort();
        self.chosen.into_iter().map(|(_, session)| session)
    }

    /// The reports of the selected sessions, in the order of the filter.
    pub(crate) fn into_list(mut self) -> SessionList {
        self.sort();
        SessionList {
            matched: self.matched,
            sessions: self.chosen.into_iter().map(with_socket).collect(),
        }
    }

    fn sort(&mut self) {
        let order = self.filter.order;
        self.chosen
            .sort_unstable_by(|a, b| compare(order, &a.0, &b.0));
        self.chosen
            .truncate(self.filter.limit.unwrap_or(usize::MAX));
    }
}

type Chosen = (SessionReport, Arc<LiveSession>);

/// The report of a chosen session, with its socket.
fn with_socket((mut report, session): Chosen) -> SessionReport {
    report.socket = session.socket();
    report
}

/// Equal sessions are in the order of their numbers.
fn compare(order: SessionOrder, a: &SessionReport, b: &SessionReport) -> Ordering {
    let by_order = match order {
        SessionOrder::Oldest => Reverse(a.age).cmp(&Reverse(b.age)),
        SessionOrder::Youngest => a.age.cmp(&b.age),
        SessionOrder::MostBytes => Reverse(a.bytes()).cmp(&Reverse(b.bytes())),
    };
    by_order.then_with(|| a.id.cmp(&b.id))
}

#[cfg(test)]
mod tests;
