//! What the workers of one listener share: its route and its limits.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::Timestamp;
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::failures::{Event, Failure, Pause};
use crate::hooks::CloseReason;
use crate::limits::{Bucket, Ceiling, Excess, Gate, Limits};
use crate::listener::Route;
use crate::state::watch::Watch;

/// A gate that stays shut is reported this often.
const STILL_SHUT: Duration = Duration::from_secs(60);

/// The way into the proxy by one listener.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) addr: SocketAddr,
    pub(crate) route: Route,
    building: Arc<Building>,
    ceiling: Ceiling,
}

/// What all listeners of a proxy share.
#[derive(Debug)]
pub(crate) struct Building {
    descriptors: Arc<Gate>,
    ceiling: Ceiling,
    clock: Clock,
    watch: Arc<Watch>,
}

impl Building {
    pub(crate) fn new(sessions: usize, limits: Limits, watch: &Arc<Watch>) -> Arc<Self> {
        Arc::new(Self {
            descriptors: Arc::new(Gate::new(sessions)),
            ceiling: Ceiling::new(limits),
            clock: Clock::start(),
            watch: Arc::clone(watch),
        })
    }

    /// The same with other limits.
    pub(crate) fn changed(&self, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            descriptors: Arc::clone(&self.descriptors),
            ceiling: self.ceiling.changed(limits),
            clock: self.clock,
            watch: Arc::clone(&self.watch),
        })
    }

    /// Has descriptors for so many sessions from now on. Those that are open stay open.
    pub(crate) fn admit(&self, sessions: usize) {
        self.descriptors.adjust(&Gate::new(sessions));
    }
}

impl Entrance {
    pub(crate) fn new(
        addr: SocketAddr,
        route: Route,
        limits: Limits,
        building: &Arc<Building>,
    ) -> Arc<Self> {
        Arc::new(Self {
            addr,
            route,
            building: Arc::clone(building),
            ceiling: Ceiling::new(limits),
        })
    }

    /// The same with another route and other limits.
    pub(crate) fn changed(
        &self,
        route: Route,
        limits: Limits,
        building: &Arc<Building>,
    ) -> Arc<Self> {
        Arc::new(Self {
            addr: self.addr,
            route,
            building: Arc::clone(building),
            ceiling: self.ceiling.changed(limits),
        })
    }

    /// The gates that a session goes through, in their order.
    pub(crate) fn gates(&self) -> impl Iterator<Item = (&Gate, Excess)> {
        let descriptors = (&*self.building.descriptors, Excess::Wait);
        let limits = self.ceilings().into_iter().filter_map(|ceiling| {
            let gate = ceiling.sessions.as_deref()?;
            Some((gate, ceiling.excess))
        });
        std::iter::once(descriptors).chain(limits)
    }

    /// The rates that new connections keep to.
    fn buckets(&self) -> impl Iterator<Item = (&Bucket, Excess)> {
        self.ceilings().into_iter().filter_map(|ceiling| {
            let bucket = ceiling.rate.as_deref()?;
            Some((bucket, ceiling.excess))
        })
    }

    fn ceilings(&self) -> [&Ceiling; 2] {
        [&self.building.ceiling, &self.ceiling]
    }

    /// What the whole proxy keeps an eye on.
    pub(crate) fn watch(&self) -> &Watch {
        &self.building.watch
    }

    /// Completes when `gate` is not shut. Until then it reports again and again that connections may be waiting.
    pub(crate) async fn opened(&self, gate: &Gate) {
        while gate.is_shut() {
            let limit = format!("the limit is {}", gate.limit());
            self.note_pause(Pause::Sessions, Some(&limit));
            // Over: it is reported again. Not over: the gate is looked at again.
            let _ = timeout(STILL_SHUT, gate.opened()).await;
        }
    }

    /// Connections wait to be accepted.
    pub(crate) fn note_pause(&self, pause: Pause, error: Option<&dyn Display>) {
        let event = Event {
            listener: Some(self.addr),
            error,
            ..Event::default()
        };
        self.watch().failures.note(Failure::Accept(pause), &event);
    }

    fn now(&self) -> Timestamp {
        self.building.clock.now()
    }
}

/// A place behind the gates of an entrance, given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) entrance: Arc<Entrance>,
    /// How many of the gates were passed.
    passed: usize,
}

impl Slot {
    /// Outside all gates.
    pub(crate) const fn outside(entrance: Arc<Entrance>) -> Self {
        Self {
            entrance,
            passed: 0,
        }
    }

    /// Passes all gates and keeps to all rates, waiting where a limit makes its excess wait.
    ///
    /// Cancel-safe: called again it goes on at the gate where it waited.
    pub(crate) async fn enter(&mut self) -> Result<(), CloseReason> {
        for (gate, excess) in self.entrance.gates().skip(self.passed) {
            while !gate.enter() {
                match excess {
                    Excess::Refuse => return Err(CloseReason::Sessions),
                    Excess::Wait => self.entrance.opened(gate).await,
                }
            }
            self.passed += 1;
        }
        for (bucket, excess) in self.entrance.buckets() {
            while let Err(wait) = bucket.take(self.entrance.now()) {
                match excess {
                    Excess::Refuse => return Err(CloseReason::Rate),
                    Excess::Wait => {
                        self.entrance.note_pause(Pause::Rate, None);
                        sleep(wait).await;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let passed = self.entrance.gates().take(self.passed);
        passed.for_each(|(gate, _)| gate.leave());
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use lb_core::Snapshot;
    use lb_discovery::Static;

    use super::*;
    use crate::{Listener, Upstream};
    use test_support::log::Capture;

    #[tokio::test(start_paused = true)]
    async fn a_gate_that_stays_shut_is_reported_every_minute() {
        let source = Static::new(Snapshot::default());
        let upstream = Upstream::builder("test").discovery(source).build().unwrap();
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 446));
        let (limits, route) = Listener::new(addr, &upstream).into_parts();
        let building = Building::new(1, limits, &Arc::new(Watch::new()));
        let entrance = Entrance::new(addr, route, limits, &building);
        let gate = Gate::exact(1);
        let log = Capture::install();
        entrance.opened(&gate).await;
        assert_eq!(log.take().len(), 0);

        assert!(gate.enter());
        let waited = timeout(Duration::from_secs(150), entrance.opened(&gate)).await;
        assert!(waited.is_err());
        let lines = log.take();
        assert_eq!(lines.len(), 3, "{lines:?}");
        for line in lines {
            let parts = [
                "WARN",
                "Accepting paused",
                "listener=127.0.0.1:446",
                "limit is 1",
            ];
            assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        }
        gate.leave();
        entrance.opened(&gate).await;
    }
}
