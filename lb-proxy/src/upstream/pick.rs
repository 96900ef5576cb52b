//! Picks of an upstream, and why they pick what they pick.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use lb_core::{Explanation, Pick, PickError, PickRequest, Priority, Rng, SplitMix64, Tried};

use super::Upstream;
use super::attempt_times::AttemptTimes;
use super::hash_key::HashKey;
use super::lease::{Held, Lease, RunningTimes, TimedPick};
use crate::connection::Connection;

thread_local! {
    /// Seeded by the operating system. Not for secrets.
    static WORKER_RNG: RefCell<SplitMix64> =
        RefCell::new(SplitMix64::new(RandomState::new().hash_one(0_u64)));
}

impl Upstream {
    /// Picks for a connection with `key`, unless other connections wait already.
    pub(crate) fn pick(&self, key: &HashKey, tried: &Tried) -> Result<Lease, PickError> {
        if self.queued() > 0 {
            return Err(PickError::Exhausted);
        }
        self.pick_now(key, tried).map(|pick| self.lease(pick))
    }

    pub(super) fn pick_now(&self, key: &HashKey, tried: &Tried) -> Result<Pick, PickError> {
        let request = PickRequest::new(tried).with_key(key.as_bytes());
        with_rng(|rng| self.shared().balancer.pick(&request, self.now(), rng))
    }

    pub(super) fn lease(&self, pick: Pick) -> Lease {
        let held = match pick.response_timer() {
            None => Held::Pick(pick),
            Some(timer) => {
                let times = AttemptTimes::new(timer, self.shared().clock);
                let times = RunningTimes(Arc::new(times));
                Held::Timed(Box::new(TimedPick { times, pick }))
            }
        };
        Lease {
            held,
            queue: self.shared().wait_queue.is_used().then(|| self.clone()),
        }
    }

    /// Explains which backend a connection with the hash key `key`, empty for none, would get now, and why each backend
    /// could or could not be picked. For status pages: O(n) and allocates.
    ///
    /// # Errors
    ///
    /// [`PickError::NotReady`] before the first membership is known.
    pub fn explain(&self, key: &[u8]) -> Result<Explanation, PickError> {
        let tried = Tried::new();
        let request = PickRequest::new(&tried).with_key(key);
        with_rng(|rng| self.shared().balancer.explain(&request, self.now(), rng))
    }

    /// Explains which backend a session of `connection` would get now: [`explain`](Self::explain) with the key that its
    /// [parts](crate::UpstreamBuilder::hash_key) have of the connection. Also returns the key.
    ///
    /// A [connection](Connection::new) that is made for the question has a server name if
    /// [`with_server_name`](Connection::with_server_name) gives it one.
    ///
    /// # Errors
    ///
    /// Those of [`explain`](Self::explain).
    pub fn explain_connection(
        &self,
        connection: &Connection,
    ) -> Result<(Explanation, HashKey), PickError> {
        let key = self.hash_key().key(connection.client, Some(connection));
        Ok((self.explain(key.as_bytes())?, key))
    }

    /// The policy's digest of each tier that has one; see [`Balancer::digests`](lb_core::Balancer::digests).
    pub fn digests(&self) -> Vec<(Priority, u64)> {
        self.shared().balancer.digests()
    }
}

fn with_rng<T>(draw: impl FnOnce(&mut dyn Rng) -> T) -> T {
    WORKER_RNG.with_borrow_mut(|rng: &mut SplitMix64| draw(rng))
}
