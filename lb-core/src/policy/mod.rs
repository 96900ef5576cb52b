//! Which of the eligible backends to take.
//!
//! | policy | share | sees load | cost of a pick | like |
//! |---|---|---|---|---|
//! | [`WeightedRoundRobin`] | exactly by weight | no | O(1) | nginx's default |
//! | [`WeightedRandom`] | by weight on average | no | O(1) | nginx `random` |
//! | [`LeastConn`] | by free capacity | of all | O(n) | nginx `least_conn` |
//! | [`P2c`] | by weight, then by load | of two | O(1) | nginx `random two`, Envoy `LEAST_REQUEST` |
//!
//! Start with [`P2c`], the library's default: it is the cheap policy that notices a slow backend. Take
//! [`WeightedRoundRobin`] where the order or the exact share matters, [`LeastConn`] for few backends and long,
//! uneven connections, [`WeightedRandom`] where many balancers that know nothing of each other should not march
//! in step.

use std::fmt;
use std::sync::Arc;

use crate::pick::PickContext;
use crate::set::{BackendIndex, Tier};

mod kind;
mod least_conn;
mod p2c;
mod random;
mod weighted_round_robin;

pub use kind::{PolicyKind, UnknownPolicy};
pub use least_conn::LeastConn;
pub use p2c::P2c;
pub use random::WeightedRandom;
pub use weighted_round_robin::WeightedRoundRobin;

/// A way to choose: the control-plane half, which turns membership into a [`Picker`].
///
/// It may allocate and take its time; the result is used until the next update.
pub trait Policy: fmt::Debug + Send + Sync + 'static {
    /// The policy's name in configuration and metrics; never changes.
    fn name(&self) -> &'static str;

    /// Prepares picks from `tier`. Cannot fail: a tier is never empty and all its weights are above zero.
    fn compile(&self, tier: &Tier) -> Box<dyn Picker>;
}

impl<P: Policy + ?Sized> Policy for Arc<P> {
    fn name(&self) -> &'static str {
        (**self).name()
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
}
