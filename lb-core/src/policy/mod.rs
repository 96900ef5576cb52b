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
//! | [`LeastTime`] | by free capacity and time to respond | of all | O(n) | nginx `least_time` |
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
//! The hashing policies send equal keys ([`PickRequest::key`](crate::PickRequest::key)) to one backend while it
//! is eligible, and all replicas agree on which. Start with [`Maglev`]. [`Rendezvous`] has the best spread for few
//! backends. [`Ketama`] and [`NginxHash`] are for use beside an nginx. Connections without a key are spread by weighted
//! round robin. With a [`BalanceFactor`] a key leaves its backend while that has too much more than its share.
//!
//! # Figures
//!
//! `benches/README.md` of the repository has the time of a pick by each policy, the bytes of a backend, the time of an update,
//! other libraries on the same inputs, and the commands that print them.

mod first;
mod ketama;
mod kind;
mod least_conn;
mod least_time;
mod maglev;
mod nginx_hash;
mod p2c;
pub(crate) mod parts;
pub(crate) mod picker;
mod policy_settings;
mod random;
mod random_two;
mod rendezvous;
mod ring_hash;
mod size_error;
mod weighted_round_robin;

pub use crate::load_index::tracking::Tracking;
pub use first::First;
pub use ketama::Ketama;
pub use kind::{PolicyKind, UnknownPolicy};
pub use least_conn::LeastConn;
pub use least_time::LeastTime;
pub use maglev::Maglev;
pub use nginx_hash::NginxHash;
pub use p2c::P2c;
pub use parts::bound::BalanceFactor;
pub(crate) use picker::{Picker, Policy};
pub use policy_settings::PolicySettings;
pub use random::WeightedRandom;
pub use random_two::RandomTwo;
pub use rendezvous::Rendezvous;
pub use ring_hash::RingHash;
pub use size_error::SizeError;
pub use weighted_round_robin::WeightedRoundRobin;
