//! Which of the eligible backends to take.
//!
//! | policy | share | sees load | cost of a pick | like |
//! |---|---|---|---|---|
//! | [`WeightedRoundRobin`] | exactly by weight | no | O(1) | nginx's default |
//! | [`WeightedRandom`] | by weight on average | no | O(1) | nginx `random` |
//! | [`Ketama`] | by key, roughly by weight | no | O(1) | nginx `hash … consistent` |
//! | [`Maglev`] | by key, closely by weight | no | O(1) | Maglev, Envoy `MAGLEV` |
//! | [`NginxHash`] | by key, by weight | no | O(log n) | nginx `hash` |
//! | [`Rendezvous`] | by key, exactly by weight | no | O(n) | HRW |
//! | [`RingHash`] | by key, roughly by weight | no | O(1) | Envoy `RING_HASH` |
//! | [`LeastConn`] | by free capacity | of all | O(log n) | nginx `least_conn` |
//! | [`LeastTime`] | by free capacity and time to connect | of all | O(n) | nginx `least_time connect` |
//! | [`P2c::least_conn`] | by weight, then by load | of two | O(1) | Envoy `LEAST_REQUEST` |
//! | [`P2c::peak_ewma`] | by weight, then by load and time to connect | of two | O(1) | Finagle, tower, Linkerd |
//! | [`RandomTwo`] | by load, not by weight when idle | of two | O(1) | nginx `random two least_conn` |
//! | [`First`] | all to the first with room | `max_conns` | O(n) at worst | HAProxy `first` |
//!
//! Start with [`P2c::least_conn`], the library's default: it is the cheap policy that notices a slow backend. Take
//! [`P2c::peak_ewma`] where backends are at different distances or slow ones should be noticed before connections
//! pile up on them, [`WeightedRoundRobin`] where the order or the exact share matters, [`LeastConn`] for few backends
//! and long, uneven connections, [`WeightedRandom`] where many balancers that know nothing of each other should not
//! march in step, [`First`] where what is not needed should stay idle. [`LeastTime`] and [`RandomTwo`] are for those
//! who know them from nginx.
//!
//! The policies that go by key send equal keys ([`PickRequest::with_key`](crate::PickRequest::with_key)) to one
//! backend while it is eligible, and every replica agrees on which. [`Maglev`] is the one to start with;
//! [`Rendezvous`] has the best spread for few backends, [`Ketama`] and [`NginxHash`] are for standing beside an
//! nginx. A connection without a key goes by weighted round robin. With a [`BalanceFactor`] a key leaves its backend while
//! that has too much more than its share.

use std::fmt;
use std::sync::Arc;

use crate::context::PickContext;
use crate::tier::{BackendIndex, Tier};

mod first;
mod ketama;
mod kind;
mod least_conn;
mod least_time;
mod maglev;
mod nginx_hash;
mod p2c;
mod random;
mod random_two;
mod rendezvous;
mod ring_hash;
mod weighted_round_robin;

pub use crate::bound::BalanceFactor;
pub use first::First;
pub use ketama::Ketama;
pub use kind::{PolicyKind, UnknownPolicy};
pub use least_conn::LeastConn;
pub use least_time::LeastTime;
pub use maglev::{Maglev, TableSizeError};
pub use nginx_hash::NginxHash;
pub use p2c::P2c;
pub use random::WeightedRandom;
pub use random_two::RandomTwo;
pub use rendezvous::Rendezvous;
pub use ring_hash::{RingHash, RingSizeError};
pub use weighted_round_robin::WeightedRoundRobin;

/// A way to choose: the control-plane half, which turns membership into a [`Picker`].
///
/// It may allocate and take its time; the result is used until the next update.
pub trait Policy: fmt::Debug + Send + Sync + 'static {
    /// The policy's name in configuration and metrics; never changes.
    fn name(&self) -> &'static str;

    /// What its pickers must know of the loads of `tier` beyond those they ask for. Default: nothing.
    fn tracking(&self, tier: &Tier) -> Tracking {
        let _ = tier;
        Tracking::Nothing
    }

    /// Prepares picks from `tier`. Cannot fail: a tier is never empty and all its weights are above zero.
    fn compile(&self, tier: &Tier) -> Box<dyn Picker>;
}

/// Which loads are kept ready for a policy. Where some are, each lease notes its beginning and its end, which costs some
/// ten nanoseconds, and all threads write to the same place.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Tracking {
    /// The least loaded of all backends.
    Least,
    /// None: a pick looks at the backends it asks about.
    #[default]
    Nothing,
    /// The connections in flight of the tier, and the weight of its backends in good standing.
    Total,
}

impl<P: Policy + ?Sized> Policy for Arc<P> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn tracking(&self, tier: &Tier) -> Tracking {
        (**self).tracking(tier)
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        (**self).compile(tier)
    }
}

/// The data-plane half: a policy compiled for one tier.
///
/// The contract, which `test_util::contract` (feature `test-util`) checks for every policy here and for yours:
///
/// 1. only eligible backends are returned;
/// 2. if a backend stays eligible during the call, one is returned;
/// 3. no lock, no allocation, and work bounded by what was compiled;
/// 4. the same tier, state, counter, time, draws and key give the same answer;
/// 5. it never panics.
pub trait Picker: fmt::Debug + Send + Sync + 'static {
    /// The backend for one connection, or `None` if none is eligible.
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex>;

    /// A number that is equal where this policy sends every key to the same backend, and almost certainly differs
    /// elsewhere. `None`, the default, for policies that have no such number. May cost as much as compiling.
    fn digest(&self) -> Option<u64> {
        None
    }
}
