//! Policies: which of the eligible backends gets a connection.
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
//! and long, uneven connections, [`WeightedRandom`] where many independent balancers should not pick in the same order,
//! [`First`] where backends that are not needed should stay idle. [`LeastTime`] and [`RandomTwo`] are for users of
//! nginx's methods.
//!
//! The hashing policies send equal keys ([`PickRequest::with_key`](crate::PickRequest::with_key)) to one backend while it
//! is eligible, and all replicas agree on which. Start with [`Maglev`]. [`Rendezvous`] has the best spread for few
//! backends. [`Ketama`] and [`NginxHash`] are for use beside an nginx. Connections without a key are spread by weighted
//! round robin. With a [`BalanceFactor`] a key leaves its backend while that has too much more than its share.
//!
//! # Figures
//!
//! One pick and its release in ns, among backends of the weights 1, 2, 3, 1, …; and the bytes that the policy adds to
//! the 428 of each of 10000 backends
//! (`cargo test --release -p lb-core --test allocations -- --ignored --nocapture memory`; Maglev's table alone is 131 kB
//! whatever the number). `least_time` and `rendezvous` read all backends and are left out.
//!
//! | policy | 10 | 100 | 1000 | 10000 | bytes |
//! |---|---|---|---|---|---|
//! | `first` | 23 | 22 | 22 | 22 | – |
//! | `weighted_round_robin` | 28 | 28 | 31 | 44 | 4 |
//! | `random` | 27 | 27 | 33 | 55 | 8 |
//! | `p2c` | 36 | 33 | 39 | 65 | 8 |
//! | `p2c_peak_ewma` | 36 | 34 | 40 | 72 | 8 |
//! | `random_two` | 41 | 39 | 49 | 79 | 20 |
//! | `least_conn` | 96 | 172 | 236 | 452 | 80 |
//! | `maglev` | 31 | 33 | 40 | 65 | 33 |
//! | `ring_hash` | 34 | 36 | 43 | 86 | 41 |
//! | `nginx_hash` | 42 | 50 | 66 | 117 | 12 |
//! | `ketama` | 37 | 50 | 81 | 381 | 944 |
//!
//! Other libraries on the same inputs in the same run, and how many times this one is faster. They do less: pingora
//! counts no connections, tower has no weights, hashring and maglev only look up.
//!
//! | library | next to | 10 | 100 | 1000 | 10000 |
//! |---|---|---|---|---|---|
//! | pingora_round_robin | `weighted_round_robin` | 188 (6.6) | 188 (6.7) | 191 (6.2) | 204 (4.7) |
//! | pingora_random | `random` | 191 (7.1) | 192 (7.1) | 205 (6.1) | 250 (4.5) |
//! | pingora_ketama | `ketama` | 257 (7.0) | 295 (5.9) | 742 (9.2) | 2276 (6.0) |
//! | tower_p2c | `p2c` | 217 (6.0) | 233 (7.0) | 226 (5.7) | 318 (4.9) |
//! | hashring | `ring_hash` | 60 (1.8) | 61 (1.7) | 63 (1.5) | 114 (1.3) |
//! | maglev | `maglev` | 40 (1.3) | 40 (1.2) | 40 (1.0) | – |
//!
//! Each figure is the lowest of the medians of five runs, taken in turns, of
//!
//! ```sh
//! cargo bench -p benches --features peers --bench policies --bench peers -- \
//!     --warm-up-time 0.02 --measurement-time 0.08 --sample-size 10 '^(policies|peers)/'
//! ```
//!
//! on a virtual machine with two cores of an AMD EPYC of the third generation. Other load on its host makes the same bench
//! up to three times slower from one minute to the next, so compare figures of one run only, and ignore differences of a
//! few nanoseconds. The memory that picks touch of ten thousand backends does not fit into the half megabyte of cache that
//! a core has of its own: most of the extra time there is waiting for memory.
//!
//! `cargo bench policies` has more. A pick of 100 backends from two threads took 1.4 to 2.4 times as long as from one, that
//! of [`LeastConn`] 2.2 to 2.7 times; that of [`First`], whose connections all go to one backend, up to 3.5 times. An update
//! of 10000 backends of which one has changed took 1 to 1.5 ms, with [`LeastConn`] and [`RingHash`] 2 to 3, [`Maglev`] 4 to
//! 4.5 and [`Ketama`], whose ring has two million points then, 66 to 85; an equal snapshot 0.1.

mod first;
mod ketama;
mod kind;
mod least_conn;
mod least_time;
mod maglev;
mod nginx_hash;
mod p2c;
pub(crate) mod parts;
mod picker;
mod random;
mod random_two;
mod rendezvous;
mod ring_hash;
mod weighted_round_robin;

pub use crate::load_index::tracking::Tracking;
pub use first::First;
pub use ketama::Ketama;
pub use kind::{PolicyKind, UnknownPolicy};
pub use least_conn::LeastConn;
pub use least_time::LeastTime;
pub use maglev::{Maglev, TableSizeError};
pub use nginx_hash::NginxHash;
pub use p2c::P2c;
pub use parts::bound::BalanceFactor;
pub use picker::{Picker, Policy};
pub use random::WeightedRandom;
pub use random_two::RandomTwo;
pub use rendezvous::Rendezvous;
pub use ring_hash::{RingHash, RingSizeError};
pub use weighted_round_robin::WeightedRoundRobin;
