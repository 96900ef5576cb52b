//! The picking end of a balancer.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::backend::{Health, Priority};
use crate::lease::pick::Pick;
use crate::membership::compiled_tier::CompiledTier;
use crate::membership::explain::Explanation;
use crate::membership::published::Published;
use crate::membership::set::BackendSet;
use crate::membership::verdict::{Verdict, shared_verdict};
use crate::pick::request::{PickError, PickRequest};
use crate::policy::Policy;
use crate::rng::Rng;
use crate::state::outage::ForgivenEjections;
use crate::time::Timestamp;
use crate::updater::Updater;

/// Makes the two ends of one balancer: the [`Updater`] takes snapshots, the [`Balancer`] picks.
pub fn balancer(policy: Arc<dyn Policy>) -> (Updater, Balancer) {
    let published = Arc::new(Published::new());
    let updater = Updater::new(policy, Arc::clone(&published));
    (updater, Balancer { published })
}

/// The picking end of a balancer, for any number of threads. Cloning costs one reference count.
#[doc(
    alias = "load balancer",
    alias = "cluster",
    alias = "pool",
    alias = "upstream"
)]
#[derive(Clone, Debug)]
pub struct Balancer {
    pub(crate) published: Arc<Published>,
}

impl Balancer {
    /// Picks a backend and takes a lease of it, without a lock and, after a thread's first pick, without allocating.
    ///
    /// Tiers are tried in the order of their priority, unless [`BalancerConfig`](crate::BalancerConfig) says otherwise. If
    /// two threads race for the last connection of a backend, or for the trial of an ejected one, the slower thread picks
    /// again. A thread that loses as many races as the tier has backends gets the first backend that is free.
    ///
    /// # Errors
    ///
    /// See [`PickError`]: it means that no backend was eligible at `now`. While failures have ejected all backends, a pick gets
    /// one nevertheless, as [`OnAllEjected`](crate::OnAllEjected) says; during a [`CommonOutage`](crate::CommonOutage) one pick in
    /// each `trial_interval`.
    ///
    /// # Panics
    ///
    /// If the policy or `rng` panics, which leaves the balancer and its counts as they were. A policy never panics that keeps to its
    /// [contract](crate::Picker). A clock cannot: the caller reads it before.
    #[inline]
    pub fn pick(
        &self,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Result<Pick, PickError> {
        let membership = self.published.current();
        let generation = self.published.generation();
        membership
            .pick(generation, request, now, rng)
            .or_else(|refusal| {
                let outage = self.published.outage();
                let ejected = membership.pick_ejected(outage, generation, request, now, rng);
                ejected.ok_or(refusal)
            })
    }

    /// Explains why each backend could or could not be picked, and which one would be, without picking it: with the same
    /// request, time and draws, [`pick`](Self::pick) would return the same. For status pages: O(n), and allocates.
    ///
    /// # Errors
    ///
    /// [`PickError::NotReady`] before the first snapshot.
    ///
    /// # Panics
    ///
    /// As [`pick`](Self::pick).
    pub fn explain(
        &self,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Result<Explanation, PickError> {
        let membership = self.published.current();
        if !membership.is_ready() {
            return Err(PickError::NotReady);
        }
        let generation = self.published.generation();
        Ok(Explanation::new(
            &membership,
            self.published.outage(),
            generation,
            request,
            now,
            rng,
        ))
    }

    /// The verdict that all backends share which take connections, if they do: why a pick for this connection was
    /// [exhausted](PickError::Exhausted). Of an ejection it has the first end. `None` if the verdicts differ or no backend takes
    /// connections. For metrics and logs of refused connections: O(n), without allocating.
    ///
    /// It looks at the backends again. [`Verdict::Eligible`] means that they have changed since the refusal.
    pub fn shared_verdict(&self, request: &PickRequest<'_>, now: Timestamp) -> Option<Verdict> {
        let membership = self.published.current();
        shared_verdict(&membership, self.published.generation(), request, now)
    }

    /// Whether a tier ignores health and ejection now, because so few of its backends are healthy; see
    /// [`panic_threshold`](field@crate::BalancerConfig::panic_threshold). For metrics: O(1) for each tier, O(n) after a change.
    pub fn is_in_panic(&self, now: Timestamp) -> bool {
        let membership = self.published.current();
        membership.is_in_panic(self.published.generation(), now)
    }

    /// Whether some backend could be picked for this connection if it has room: whether a connection that was refused
    /// may get a backend by waiting until another connection ends. O(n).
    ///
    /// True as well if a backend has room already, because a connection has ended since the refusal.
    pub fn has_candidate(&self, request: &PickRequest<'_>, now: Timestamp) -> bool {
        let membership = self.published.current();
        membership.has_candidate(self.published.generation(), request, now)
    }

    /// Stores what an active check found of the backend at `addr`; true if its health was different before. An unhealthy
    /// backend gets no new connections. One that recovers is no longer ejected as an outlier, and starts slowly if that is
    /// configured. False for an unknown address. O(log n) after the first call for a membership.
    pub fn set_health(&self, addr: SocketAddr, health: Health, now: Timestamp) -> bool {
        let membership = self.published.current();
        let member = membership.set().find(addr);
        member.is_some_and(|member| member.state().set_health(health, now))
    }

    /// Ends the ejections whose failures all had no answer, as the embedder knows that the path to the backends has returned:
    /// a link is up, an address or a route is back. Failures without an answer of connections that were picked before do not
    /// count any more. Does nothing without [`common_outage`](field@crate::BalancerConfig::common_outage). O(n).
    pub fn forgive_unanswered(&self, now: Timestamp) {
        self.forgive_unanswered_since(Timestamp::default(), now);
    }

    /// Ends the ejections as [`forgive_unanswered`](Self::forgive_unanswered) does, but only those that began at `since` or
    /// later, such as the moment at which the link was lost. O(n).
    pub fn forgive_unanswered_since(&self, since: Timestamp, now: Timestamp) {
        if self.published.current().forgives_outages() {
            let outage = self.published.outage().since();
            self.published.forgive(since, outage, now);
        }
    }

    /// What was forgiven since the last call, by a report of a [`Pick`], by [`set_health`](Self::set_health),
    /// [`forgive_unanswered`](Self::forgive_unanswered) or
    /// [`forgive_unanswered_since`](Self::forgive_unanswered_since): for logs. One load if nothing was.
    pub fn take_forgiven(&self) -> Option<ForgivenEjections> {
        self.published.outage().take_forgiven()
    }

    /// The policy's [digest](crate::Picker::digest) of each tier that has one, in the order of priority.
    ///
    /// Replicas with equal digests send every key to the same backend, so a lasting difference means that their sources
    /// disagree. The first call after an update may cost as much as compiling: for a
    /// status page, not for every pick.
    ///
    /// # Panics
    ///
    /// If the policy panics. The next call asks it again.
    pub fn digests(&self) -> Vec<(Priority, u64)> {
        let membership = self.published.current();
        let digest = |tier: &CompiledTier| Some((tier.tier.priority(), tier.digest()?));
        membership.tiers().iter().filter_map(digest).collect()
    }

    /// The current membership with its state. Empty before the first snapshot.
    pub fn set(&self) -> Arc<BackendSet> {
        Arc::clone(self.published.current().set())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::WeightedRoundRobin;
    use crate::{Backend, Snapshot, SplitMix64, Tried};

    const NOW: Timestamp = Timestamp::from_nanos(0);

    fn snapshot(ports: impl IntoIterator<Item = u16>) -> Snapshot {
        let addrs = ports.into_iter().map(|port| ([127, 0, 0, 1], port).into());
        addrs.map(Backend::new).collect()
    }

    /// For Miri and the sanitizers, which look for races; `tests/around/threads.rs` runs longer.
    #[test]
    fn threads_pick_while_memberships_come_and_go() {
        let (mut updater, balancer) = balancer(Arc::new(WeightedRoundRobin::new()));
        updater.apply(&snapshot([1, 2]), NOW);
        let pick = |balancer: &Balancer| {
            let (tried, mut rng) = (Tried::new(), SplitMix64::new(1));
            for _ in 0..20 {
                let request = PickRequest::new(&tried);
                let one = balancer.pick(&request, NOW, &mut rng).unwrap();
                let other = balancer.pick(&request, NOW, &mut rng).unwrap();
                one.connected(NOW);
                drop(other);
            }
        };
        std::thread::scope(|scope| {
            let threads = [0, 1].map(|_| scope.spawn(|| pick(&balancer)));
            for n in 3..9 {
                updater.apply(&snapshot([1, 2, n]), NOW);
            }
            for thread in threads {
                thread.join().unwrap();
            }
        });
        let set = balancer.set();
        assert!(set.status(NOW).all(|status| status.in_flight == 0));
    }
}
