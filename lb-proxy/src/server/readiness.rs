//! The one place that decides whether a server is ready.

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
    readiness
}

fn membership(readiness: &mut Readiness, upstreams: &[Upstream]) {
    let mut known = true;
    for upstream in upstreams.iter().filter(|upstream| !upstream.is_ready()) {
        known = false;
        let name = upstream.name();
        let detail = format!("no source of upstream \"{name}\" has answered yet");
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

/// Watches the readiness of a server. See [`Handle::watch_readiness`].
#[derive(Debug)]
pub struct ReadinessWatch {
    handle: Handle,
    signal: watch::Receiver<()>,
    phase: watch::Receiver<Phase>,
    last: Option<Readiness>,
}

impl ReadinessWatch {
    pub(super) fn new(handle: Handle, server: &ServerState) -> Self {
        Self {
            handle,
            signal: server.context.trackers.readiness.subscribe(),
            phase: server.phase.subscribe(),
            last: None,
        }
    }

    /// The readiness at the first call, then each time that it differs from what the last call returned. Changes that
    /// follow each other before the call are returned as one.
    ///
    /// Nothing is polled: what changes readiness wakes the task. Needs a Tokio runtime with time enabled.
    ///
    /// Cancel-safe.
    pub async fn changed(&mut self) -> Readiness {
        loop {
            // Before the look, so that a change after it wakes the task again.
            self.signal.mark_unchanged();
            self.phase.mark_unchanged();
            let now = self.handle.readiness();
            if self.last.as_ref() != Some(&now) {
                self.last = Some(now.clone());
                return now;
            }
            let leave = self.handle.leave_token();
            select! {
                // The senders live as long as the handle.
                _ = self.signal.changed() => {}
                _ = self.phase.changed() => {}
                () = leave.cancelled(), if !now.is_leaving() => {}
                () = or_never(now.look_again.map(sleep_until)) => {}
            }
        }
    }
}
