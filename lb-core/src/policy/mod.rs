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
//!
//! # Figures
//!
//! One pick and its release in ns by a [`Balancer`](crate::Balancer) / by a [`LocalBalancer`](crate::LocalBalancer),
//! among backends of the weights 1, 2, 3, 1, …; and the bytes that the policy adds to the 476 of each of 10000 backends
//! (`cargo test --release -p lb-core --test allocations -- --ignored --nocapture memory`; Maglev's table alone is 131 kB
//! whatever the number). `least_time` and `rendezvous` look at all backends and are left out.
//!
//! | policy | 10 | 100 | 1000 | 10000 | bytes |
//! |---|---|---|---|---|---|
//! | `first` | 40 / 16 | 32 / 16 | 25 / 15 | 25 / 16 | – |
//! | `weighted_round_robin` | 35 / 28 | 35 / 28 | 45 / 32 | 110 / 61 | 4 |
//! | `random` | 32 / 20 | 31 / 21 | 41 / 26 | 72 / 41 | 8 |
//! | `p2c` | 51 / 32 | 52 / 30 | 45 / 34 | 74 / 56 | 8 |
//! | `p2c_peak_ewma` | 47 / 33 | 41 / 32 | 65 / 36 | 88 / 60 | 8 |
//! | `random_two` | 64 / 38 | 47 / 37 | 56 / 45 | 100 / 109 | 20 |
//! | `least_conn` | 140 / 94 | 172 / 154 | 234 / 215 | 830 / 471 | 80 |
//! | `maglev` | 35 / 27 | 37 / 28 | 42 / 36 | 73 / 66 | 33 |
//! | `ring_hash` | 35 / 31 | 38 / 30 | 44 / 37 | 90 / 75 | 37 |
//! | `nginx_hash` | 50 / 33 | 53 / 40 | 77 / 60 | 138 / 112 | 12 |
//! | `ketama` | 40 / 33 | 95 / 52 | 282 / 108 | 641 / 489 | 1780 |
//!
//! Other libraries on the same inputs in the same run, and how many times ours is faster by the one handle and by the
//! other. They do less: pingora counts no connections, tower knows no weights, hashring and maglev only look up.
//!
//! | library | next to | 10 | 100 | 1000 | 10000 |
//! |---|---|---|---|---|---|
//! | pingora_round_robin | `weighted_round_robin` | 201 (5.8, 7.2) | 186 (5.3, 6.8) | 214 (4.7, 6.7) | 238 (2.2, 3.9) |
//! | pingora_random | `random` | 271 (8.6, 13.3) | 251 (8.0, 12.2) | 199 (4.9, 7.7) | 442 (6.1, 10.8) |
//! | pingora_ketama | `ketama` | 268 (6.6, 8.1) | 352 (3.7, 6.7) | 694 (2.5, 6.4) | 2225 (3.5, 4.6) |
//! | tower_p2c | `p2c` | 277 (5.5, 8.7) | 245 (4.7, 8.1) | 235 (5.2, 6.9) | 324 (4.4, 5.8) |
//! | hashring | `ring_hash` | 60 | 62 | 64 | 113 |
//! | maglev | `maglev` | 42 | 44 | 41 | – |
//!
//! Each figure is the lowest of the medians of five runs, taken in turns, of
//!
//! ```sh
//! cargo bench -p benches --features peers --bench policies --bench peers -- \
//!     --warm-up-time 0.02 --measurement-time 0.08 --sample-size 10 '^(policies|policies_local|peers)/'
//! ```
//!
//! on a virtual machine with two cores of an AMD EPYC of the third generation. What else runs on its host makes the same
//! bench up to three times slower from one minute to the next, so compare figures of one run only, and differences of a
//! few nanoseconds not at all.
//!
//! `cargo bench policies` has more. In one run a pick of 100 backends from two threads took 1.1 to 3.6 times as long as from one
//! (the most for [`First`], where all meet at one backend). An update of 10000 backends of which one has changed took 1
//! to 2 ms, with ring hash 3, Maglev 5, [`LeastConn`] 6 and [`Ketama`] 106; an equal snapshot 0.1.

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
