//! The one place that decides whether a server is ready.

use std::time::Duration;

use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::phase::Phase;
use super::server_state::ServerState;
use crate::or_never::or_never;
use crate::readiness::{Readiness, ReadinessCheck};
use crate::server::Handle;
use crate::upstream::Upstream;

/// Every condition of readiness, met or not. O(upstreams), and O(backends) for each essential upstream.
pub(super) fn readiness(server: &ServerState) -> Readiness {
    let mut readiness = Readiness::new();
    let phase = *server.phase.borrow();
    let leaving = phase > Phase::Serving || server.context.signals.leave.is_cancelled();
    let shutdown = match leaving {
        true => "the server shuts down",
        false => "not shutting down",
    };
    readiness.add(ReadinessCheck::Shutdown, !leaving, shutdown);
    let (listeners, accepting, upstreams) = {
        let active = server.active();
        (
            active.addrs().len(),
            active.is_accepting(),
            active.upstreams(),
        )
    };
    let bound = (Phase::Serving..Phase::Draining).contains(&phase) && accepting;
    let detail = match bound {
        true => format!("{listeners} bound"),
        false => "no connections are accepted".to_owned(),
    };
    readiness.add(ReadinessCheck::Listeners, bound, detail);
    membership(&mut readiness, &upstreams);
    backends(&mut readiness, &upstreams);
    control_loop(&mut readiness, server);
    if let Some(problem) = server.program_problem() {
        readiness.add(ReadinessCheck::Program, false, problem);
    }
    policies(&mut readiness, &upstreams);
    if let Some(problem) = server.publication() {
        readiness.add(ReadinessCheck::Publication, false, problem);
    }
    readiness
}

fn membership(readiness: &mut Readiness, upstreams: &[Upstream]) {
    let mut known = true;
    for upstream in upstreams.iter().filter(|upstream| !upstream.is_ready()) {
        known = false;
        let name = upstream.name();
        let detail = match upstream.policy_problem() {
            Some(problem) => format!("upstream \"{name}\" has no membership: {problem}"),
            None => format!("no source of upstream \"{name}\" has answered yet"),
        };
        readiness.add(ReadinessCheck::Membership, false, detail);
    }
    if known {
        let detail = format!("first membership of {} upstreams known", upstreams.len());
        readiness.add(ReadinessCheck::Membership, true, detail);
    }
}

fn backends(readiness: &mut Readiness, upstreams: &[Upstream]) {
    let essential = upstreams.iter().filter(|upstream| upstream.is_essential());
    let mut count = 0;
    let mut usable = true;
    for upstream in essential {
        count += 1;
        if upstream.has_usable_backend() {
            continue;
        }
        usable = false;
        let detail = format!("upstream \"{}\" has no usable backend", upstream.name());
        readiness.add(ReadinessCheck::Backends, false, detail);
        if let Some(at) = upstream.next_return() {
            readiness.look_again_at(at);
        }
    }
    if usable && count > 0 {
        let detail = format!("{count} essential upstreams have a usable backend");
        readiness.add(ReadinessCheck::Backends, true, detail);
    }
}

fn policies(readiness: &mut Readiness, upstreams: &[Upstream]) {
    for upstream in upstreams.iter().filter(|upstream| upstream.is_ready()) {
        if let Some(problem) = upstream.policy_problem() {
            let name = upstream.name();
            let detail = format!("upstream \"{name}\" keeps its last membership: {problem}");
            readiness.add(ReadinessCheck::Policies, false, detail);
        }
    }
}

fn control_loop(readiness: &mut Readiness, server: &ServerState) {
    let Some(until) = server.alive_until() else {
        return;
    };
    let alive = Instant::now() < until;
    let detail = match alive {
        true => "the control loop reports",
        false => "the control loop has not reported in time",
    };
    readiness.add(ReadinessCheck::ControlLoop, alive, detail);
    if alive {
        readiness.look_again_at(until);
    }
}

/// The shortest time between two computations of the readiness: with many backends, health checks change something all the time.
const GAP: Duration = Duration::from_millis(5);

/// How long a late report of the control loop is waited for: when a process was stopped, every report is late at first.
const LATE_REPORT: Duration = Duration::from_millis(500);

/// Watches the readiness of a server. See [`Handle::watch_readiness`].
#[derive(Debug)]
pub struct ReadinessWatch {
    handle: Handle,
    signal: watch::Receiver<()>,
    phase: watch::Receiver<Phase>,
    last: Option<Readiness>,
    /// Not before then is the readiness computed again.
    next: Option<Instant>,
    late: LateReport,
}

impl ReadinessWatch {
    pub(super) fn new(handle: Handle, server: &ServerState) -> Self {
        Self {
            handle,
            signal: server.context.trackers.readiness.subscribe(),
            phase: server.phase.subscribe(),
            last: None,
            next: None,
            late: LateReport::default(),
        }
    }

    /// The readiness at the first call, then each time that it differs from what the last call returned. Changes that
    /// follow each other before the call are returned as one.
    ///
    /// Nothing is polled: what changes readiness wakes the task, which computes it at once, but at most once in 5 ms. If all that
    /// is missing is the [report](Handle::heartbeat) of the control loop, it has 500 ms more to come: a process that
    /// was stopped and continues is late without being dead. Needs a Tokio runtime with time enabled.
    ///
    /// Cancel-safe.
    pub async fn changed(&mut self) -> Readiness {
        loop {
            if let Some(next) = self.next {
                sleep_until(next).await;
            }
            // Before the look, so that a change after it wakes the task again.
            self.signal.mark_unchanged();
            self.phase.mark_unchanged();
            let now = self.handle.readiness();
            let at = Instant::now();
            self.next = Some(at + GAP);
            let was_ready = self.last.as_ref().is_some_and(Readiness::is_ready);
            let late_until = self.late.wait_until(was_ready, &now, at);
            if late_until.is_none() && self.last.as_ref() != Some(&now) {
                self.last = Some(now.clone());
                return now;
            }
            let leave = self.handle.leave_token();
            select! {
                // The senders live as long as the handle.
                _ = self.signal.changed() => {}
                _ = self.phase.changed() => {}
                () = leave.cancelled(), if !now.is_leaving() => {}
                () = or_never(late_until.or(now.look_again).map(sleep_until)) => {}
            }
        }
    }
}

/// The wait for a report of the control loop that is late.
#[derive(Debug, Default)]
struct LateReport {
    until: Option<Instant>,
}

impl LateReport {
    /// Until when the readiness `found` at the moment `at` is not reported, because the control loop may only be late.
    fn wait_until(&mut self, was_ready: bool, found: &Readiness, at: Instant) -> Option<Instant> {
        if !(was_ready && found.lacks_control_loop_alone()) {
            self.until = None;
            return None;
        }
        let until = *self.until.get_or_insert(at + LATE_REPORT);
        Some(until).filter(|until| at < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_report_of_the_control_loop_is_waited_for_and_not_for_long() {
        let mut late = Readiness::new();
        late.add(ReadinessCheck::ControlLoop, false, "late");
        let mut other = late.clone();
        other.add(ReadinessCheck::Backends, false, "none");
        let ready = Readiness::new();
        let start = Instant::now();
        let end = start + LATE_REPORT;
        let half = start + LATE_REPORT / 2;
        let mut wait = LateReport::default();
        assert_eq!(wait.wait_until(true, &late, start), Some(end));
        assert_eq!(wait.wait_until(true, &late, half), Some(end));
        assert_eq!(wait.wait_until(true, &late, end), None);
        assert_eq!(wait.wait_until(false, &late, end), None);
        assert_eq!(wait.wait_until(true, &other, start), None);
        assert_eq!(wait.wait_until(true, &late, half), Some(half + LATE_REPORT));
        assert_eq!(wait.wait_until(true, &ready, half), None);
    }
}
