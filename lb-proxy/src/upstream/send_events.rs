//! Sends the events of an upstream to its subscribers.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::{Backend, Delta, Health, Timestamp};

use super::Upstream;
use super::after_ejection::{AfterEjection, Interest};
use super::event_sink::Subscribers;
use super::events::{UpstreamEvent, UpstreamEvents};

impl Upstream {
    /// Subscribes to what happens to the backends from now on, for programs that alert, log or adapt. Each subscriber gets all
    /// events. Reloads keep the subscription.
    ///
    /// Without a subscriber an event costs a load. Picks and sessions are not touched by subscribers, except that while a
    /// backend is ejected, each new connection of the upstream takes a lock to see whether it recovers.
    ///
    /// ```
    /// use lb_proxy::Pool;
    /// use lb_proxy::events::UpstreamEvent;
    ///
    /// let pool = Pool::fixed(["10.0.0.1:446", "10.0.0.2:446"])?;
    /// let mut events = pool.upstream().events();
    /// pool.pick(b"")?.failed();
    /// match events.try_next() {
    ///     Some(UpstreamEvent::Ejected { backend, period }) => {
    ///         println!("{} for {period:?}", backend.endpoint());
    ///     }
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "watch", alias = "subscribe")]
    pub fn events(&self) -> UpstreamEvents {
        UpstreamEvents::new(self.shared().events.subscribe())
    }
}

impl Upstream {
    /// What is due at the next connection, because a backend was ejected.
    pub(super) fn after_ejection(&self) -> &AfterEjection {
        &self.shared().after_ejection
    }

    pub(super) fn send_reloaded(&self) {
        if let Some(subscribers) = self.shared().events.live() {
            subscribers.send(&UpstreamEvent::Reloaded);
        }
    }

    pub(super) fn send_health(&self, addr: SocketAddr, health: Health) {
        if let Some(subscribers) = self.shared().events.live()
            && let Some(backend) = self.described(addr)
        {
            subscribers.send(&UpstreamEvent::Health { backend, health });
        }
    }

    /// Called after the publication.
    pub(super) fn send_membership(&self, delta: Delta, backends: usize) {
        let Some(mut subscribers) = self.shared().events.live() else {
            return;
        };
        if !delta.removed.is_empty() {
            let removed: HashSet<_> = delta.removed.iter().collect();
            subscribers.ejected.retain(|addr| !removed.contains(addr));
        }
        let delta = Arc::new(delta);
        subscribers.send(&UpstreamEvent::Membership { delta, backends });
    }

    pub(super) fn send_ejected(&self, addr: SocketAddr) {
        let Some(mut subscribers) = self.shared().events.live() else {
            return;
        };
        let now = self.now();
        let Some((backend, until)) = self.ejection(addr, now) else {
            return;
        };
        let period = until.map_or(Duration::ZERO, |until| until.saturating_since(now));
        subscribers.send(&UpstreamEvent::Ejected { backend, period });
        subscribers.ejected.insert(addr);
        self.after_ejection().set(Interest::Events);
    }

    /// A connection with the backend at `addr` was established, while some are known as ejected.
    pub(super) fn send_recovered(&self, addr: SocketAddr) {
        let Some(mut subscribers) = self.shared().events.live() else {
            self.after_ejection().clear(Interest::Events);
            return;
        };
        if subscribers.ejected.contains(&addr) {
            self.recover(&mut subscribers, addr);
        }
        self.forget_ejections(&subscribers);
    }

    /// Ejections were forgiven.
    pub(super) fn send_forgiven(&self, backends: u32) {
        let Some(mut subscribers) = self.shared().events.live() else {
            return;
        };
        for addr in Vec::from_iter(subscribers.ejected.iter().copied()) {
            self.recover(&mut subscribers, addr);
        }
        self.forget_ejections(&subscribers);
        subscribers.send(&UpstreamEvent::Forgiven { backends });
    }

    /// Reports that the backend at `addr` is no longer ejected, if it is not.
    fn recover(&self, subscribers: &mut Subscribers, addr: SocketAddr) {
        match self.ejection(addr, self.now()) {
            Some((_, Some(_))) => {}
            Some((backend, None)) => {
                subscribers.ejected.remove(&addr);
                subscribers.send(&UpstreamEvent::Recovered { backend });
            }
            None => {
                subscribers.ejected.remove(&addr);
            }
        }
    }

    fn forget_ejections(&self, subscribers: &Subscribers) {
        if subscribers.ejected.is_empty() {
            self.after_ejection().clear(Interest::Events);
        }
    }

    /// The backend at `addr`, and when its ejection ends. `None` if it has left.
    fn ejection(
        &self,
        addr: SocketAddr,
        now: Timestamp,
    ) -> Option<(Arc<Backend>, Option<Timestamp>)> {
        let set = self.backends();
        let status = set.status_of(addr, now)?;
        Some((Arc::new(status.backend.clone()), status.ejected_until))
    }

    fn described(&self, addr: SocketAddr) -> Option<Arc<Backend>> {
        Some(Arc::new(self.backends().backend(addr)?.clone()))
    }
}
