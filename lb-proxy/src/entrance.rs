//! What the workers of one listener share: its route and its limits.

use std::net::SocketAddr;
use std::sync::Arc;

use lb_core::Timestamp;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::hooks::CloseReason;
use crate::limits::{Bucket, Ceiling, Excess, Gate, Limits};
use crate::listener::Route;

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
}

impl Building {
    pub(crate) fn new(sessions: usize, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            descriptors: Arc::new(Gate::new(sessions)),
            ceiling: Ceiling::new(limits),
            clock: Clock::start(),
        })
    }

    /// The same with other limits.
    pub(crate) fn changed(&self, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            descriptors: Arc::clone(&self.descriptors),
            ceiling: self.ceiling.changed(limits),
            clock: self.clock,
        })
    }
}

impl Building {
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
                    Excess::Wait => gate.opened().await,
                }
            }
            self.passed += 1;
        }
        for (bucket, excess) in self.entrance.buckets() {
            while let Err(wait) = bucket.take(self.entrance.now()) {
                match excess {
                    Excess::Refuse => return Err(CloseReason::Rate),
                    Excess::Wait => sleep(wait).await,
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
