//! What the workers of one listener share: its route and its limits.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;

use lb_core::Timestamp;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::failures::{Event, Failure, Pause};
use crate::hooks::CloseReason;
use crate::limits::{Bucket, Ceiling, Excess, Gate, Limits};
use crate::listener::Route;
use crate::watch::Watch;

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

    /// The same in another building, before anybody came in.
    pub(crate) fn moved(self: &Arc<Self>, building: &Arc<Building>) -> Arc<Self> {
        self.changed(self.route.clone(), self.ceiling.limits(), building)
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

    /// Connections wait because `gate` is shut.
    pub(crate) fn note_full(&self, gate: &Gate) {
        let limit = format!("the limit is {}", gate.limit());
        self.note_pause(Pause::Sessions, Some(&limit));
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
                    Excess::Wait => {
                        self.entrance.note_full(gate);
                        gate.opened().await;
                    }
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
