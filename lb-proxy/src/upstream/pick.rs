//! Picks of an upstream, and why they pick what they pick.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use lb_core::{
    Explanation, Pick, PickError, PickRequest, Rng, SplitMix64, Timestamp, Tried, Verdict,
};

use super::Upstream;
use super::hash_key::HashKey;
use super::lease::{Lease, LeaseState, RunningTimes, TimedPick};
use crate::attempt_times::AttemptTimes;
use crate::connection::Connection;
use crate::embedder_code::{PICKER, named};

thread_local! {
    /// Seeded by the operating system. Not for secrets.
    static WORKER_RNG: RefCell<SplitMix64> =
        RefCell::new(SplitMix64::new(RandomState::new().hash_one(0_u64)));
}

impl Upstream {
    /// Picks for a connection with `key`, unless other connections wait already. `now` is the time.
    pub(crate) fn pick(
        &self,
        key: &HashKey,
        tried: &Tried,
        now: Timestamp,
    ) -> Result<Lease, PickError> {
        if self.queued() > 0 {
            return Err(PickError::Exhausted);
        }
        self.pick_now(key, tried, now).map(|pick| self.lease(pick))
    }

    /// A panic of the policy unwinds to the caller, under the name [`PICKER`].
    pub(super) fn pick_now(
        &self,
        key: &HashKey,
        tried: &Tried,
        now: Timestamp,
    ) -> Result<Pick, PickError> {
        let request = PickRequest::new(tried).key(key.as_bytes());
        let pick = with_rng(|rng| {
            let balancer = &self.shared().balancer;
            named(PICKER, || balancer.pick(&request, now, rng))
        })?;
        // A policy that breaks its contract must not make a session connect to one backend again and again.
        if !tried.is_empty() && tried.contains(pick.addr()) {
            self.note_repeated_pick();
            return Err(PickError::Exhausted);
        }
        Ok(pick)
    }

    pub(super) fn lease(&self, pick: Pick) -> Lease {
        let state = match pick.response_timer() {
            None => LeaseState::Pick(pick),
            Some(timer) => {
                let times = AttemptTimes::new(timer, self.shared().clock);
                let times = RunningTimes(Arc::new(times));
                LeaseState::Timed(Box::new(TimedPick { times, pick }))
            }
        };
        Lease {
            state,
            queue: self.shared().wait_queue.is_used().then(|| self.clone()),
        }
    }

    /// The verdict that all backends share which take connections, if they do. O(n).
    pub(crate) fn shared_verdict(&self, key: &HashKey, tried: &Tried) -> Option<Verdict> {
        let request = PickRequest::new(tried).key(key.as_bytes());
        self.shared().balancer.shared_verdict(&request, self.now())
    }

    /// Explains which backend a connection with the hash key `key`, empty for none, would get now, and why each backend
    /// could or could not be picked. For status pages: O(n) and allocates.
    ///
    /// # Errors
    ///
    /// [`PickError::NotReady`] before the first membership is known, [`PickError::Panicked`] if the policy panics.
    pub fn explain(&self, key: &[u8]) -> Result<Explanation, PickError> {
        let tried = Tried::new();
        let request = PickRequest::new(&tried).key(key);
        let balancer = &self.shared().balancer;
        self.catch_pick(|| with_rng(|rng| balancer.explain(&request, self.now(), rng)))
    }

    /// Explains which backend a session of `connection` would get now: [`explain`](Self::explain) with the key that its
    /// [parts](crate::UpstreamBuilder::hash_key) have of the connection. Also returns the key.
    ///
    /// A [connection](Connection::new) that is made for the question has a server name if
    /// [`with_server_name`](Connection::with_server_name) gives it one.
    ///
    /// # Errors
    ///
    /// Those of [`explain`](Self::explain). [`PickError::Panicked`] also if a [key function](crate::balancing::KeyFunction) panics.
    pub fn explain_connection(
        &self,
        connection: &Connection,
    ) -> Result<(Explanation, HashKey), PickError> {
        let key =
            self.catch_pick(|| Ok(self.hash_key().key(connection.client, Some(connection))))?;
        Ok((self.explain(key.as_bytes())?, key))
    }
}

/// Draws from the generator of the calling thread.
pub(super) fn with_rng<T>(draw: impl FnOnce(&mut dyn Rng) -> T) -> T {
    WORKER_RNG.with_borrow_mut(|rng: &mut SplitMix64| draw(rng))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::SocketAddr;

    use lb_core::policy::PolicyKind;
    use lb_core::{AdminState, Backend, Snapshot, Weight};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::test_runner::{TestCaseError, TestRunner};

    use super::*;
    use crate::balancing::{KeyPart, Override, OverrideOrigin, WeightOverride};

    fn backend(port: u16) -> Backend {
        let backend = Backend::new(([127, 0, 0, 1], port).into());
        backend.max_conns(3)
    }

    fn upstream(policy: PolicyKind, sni: bool, backends: u16) -> Upstream {
        let key = if sni {
            KeyPart::ServerName
        } else {
            KeyPart::ClientIpText
        };
        let backends: Snapshot = (1..=backends).map(backend).collect();
        let builder = Upstream::builder("pool").hash_key([key, KeyPart::LocalPort]);
        builder.policy(policy.build()).fixed(&backends).unwrap()
    }

    /// Policies whose picks do not depend on draws.
    fn policies() -> impl Strategy<Value = PolicyKind> {
        proptest::sample::select(vec![
            PolicyKind::WeightedRoundRobin,
            PolicyKind::Ketama,
            PolicyKind::NginxHash,
            PolicyKind::Rendezvous,
        ])
    }

    #[derive(Clone, Debug)]
    enum PoolChange {
        Weight(u16, u16),
        Drain(u16, bool),
        End(usize),
    }

    fn step() -> impl Strategy<Value = PoolChange> {
        prop_oneof![
            (1..6_u16, 0..4_u16).prop_map(|(port, weight)| PoolChange::Weight(port, weight)),
            (1..6_u16, any::<bool>()).prop_map(|(port, drain)| PoolChange::Drain(port, drain)),
            any::<usize>().prop_map(PoolChange::End),
        ]
    }

    type PlannedStep = (PoolChange, [u8; 4], String);

    #[test]
    fn what_is_explained_of_a_client_is_its_next_pick_in_ten_thousand_states() {
        let states = Cell::new(0);
        let steps = vec((step(), any::<[u8; 4]>(), "[a-z]{0,8}"), 20..41);
        let plans = (policies(), any::<bool>(), 1..6_u16, steps);
        // Of 30 states on average.
        let mut runner = TestRunner::new(ProptestConfig::with_cases(360));
        let outcome = runner.run(&plans, |(policy, sni, backends, steps)| {
            states.set(states.get() + steps.len());
            explained_and_picked(upstream(policy, sni, backends), steps)
        });
        outcome.unwrap_or_else(|error| panic!("{error}"));
        assert!(states.get() >= 10_000, "{} states", states.get());
    }

    fn explained_and_picked(
        upstream: Upstream,
        steps: Vec<PlannedStep>,
    ) -> Result<(), TestCaseError> {
        let mut held = Vec::new();
        for (step, ip, name) in steps {
            let of = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
            let set = |port, setting| {
                // Unknown for a port above the number of backends.
                let _ = upstream.set_override(of(port), OverrideOrigin::Operator, "test", setting);
            };
            match step {
                PoolChange::Weight(port, weight) => {
                    let weight = WeightOverride::Value(Weight::new(weight));
                    set(port, Override::Weight(weight));
                }
                PoolChange::Drain(port, true) => set(port, Override::Admin(AdminState::Drain)),
                PoolChange::Drain(port, false) => set(port, Override::Admin(AdminState::Ready)),
                PoolChange::End(i) if !held.is_empty() => drop(held.swap_remove(i % held.len())),
                PoolChange::End(_) => {}
            }
            let client = (ip, 1234).into();
            let local = ([10, 0, 0, 1], 446).into();
            let connection = Connection::new(client, local).with_server_name(name.as_bytes());
            let (explained, key) = upstream.explain_connection(&connection).unwrap();
            let picked = upstream.pick(&key, &Tried::new(), upstream.now()).ok();
            prop_assert_eq!(
                explained.chosen,
                picked.as_ref().map(Lease::addr),
                "{}",
                explained
            );
            held.extend(picked);
        }
        Ok(())
    }
}
