//! Load-balancing policies without I/O.
//!
//! This crate decides which backend the next connection goes to, and nothing else: it opens no socket, reads no
//! clock, has no randomness of its own and needs no runtime. The caller passes time in as a [`Timestamp`], randomness
//! as an [`Rng`], and membership as a [`Snapshot`]. So the same inputs always give the same answer.
//!
//! Three types matter:
//!
//! - the [`Updater`], to which one owner passes snapshots;
//! - the [`Balancer`], from which any number of threads pick without a lock;
//! - the [`Pick`], a lease: until it is dropped, its backend has one more connection in flight.
//!
//! ```
//! use std::sync::Arc;
//! use lb_core::policy::WeightedRoundRobin;
//! use lb_core::{Backend, PickRequest, Snapshot, SplitMix64, Timestamp, Tried, Weight, balancer};
//!
//! let (mut updater, balancer) = balancer(Arc::new(WeightedRoundRobin::new()));
//! let now = Timestamp::default();
//! let snapshot = Snapshot::from_backends([
//!     Backend::new("10.0.0.1:446".parse()?).weight(Weight::new(2)),
//!     Backend::new("10.0.0.2:446".parse()?),
//! ]);
//! updater.apply(&snapshot, now);
//!
//! let mut rng = SplitMix64::new(1);
//! let tried = Tried::new();
//! let pick = balancer.pick(&PickRequest::new(&tried), now, &mut rng)?;
//! assert_eq!(pick.addr().to_string(), "10.0.0.1:446");
//! pick.connected(now); // or pick.failed(now), then insert the address into `tried` and pick again
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What survives an update
//!
//! State belongs to the backend, by address: connections in flight, failures and connect times survive every snapshot,
//! change of weight and change of policy, and so do the counters of the round robins. A backend that is removed while
//! connections are in flight and returns before they end has its state again. Only a new
//! [`Backend::instance`](field@Backend::instance) at an old address starts with new state.
//!
//! # Around the policies
//!
//! [`BalancerConfig`], set by [`Updater::set_config`] at any time, adds to any policy: outlier detection, spill between
//! priorities, a panic threshold, slow start, the preference of a zone, and a subset for each of many balancers. These are
//! off by default. [`CommonOutage`] is on: failures of all backends at once, without an answer, are forgiven at the first
//! answer. Active checks report to [`Balancer::set_health`];
//! [`BalancerConfig::initial_health`](field@BalancerConfig::initial_health) sets whether a backend waits for the first.
//! [`Balancer::explain`] explains why each backend could or could not be picked, and which one would be.
//!
//! # Cost
//!
//! A pick and its lease take no lock and allocate nothing, but for some 200 bytes at a thread's first pick; reports
//! may free a description that an update has replaced meanwhile. A lease is one reference to the backend's state, so
//! it costs two atomic additions. Protecting the membership costs two more. `benches/README.md` of the repository has
//! the figures and the commands that print them.
//!
//! A backend takes 444 bytes beside the 176 of the snapshot and its names, of which a pick reads 16 in the tier and
//! mostly one cache line of the state; policies add the bytes that `benches/README.md` lists.
//!
//! # Features
//!
//! - `serde` (off): settings, backends and policies can be read from files and written, and reports can be written. Times have
//!   units, `false` switches a setting off, and unknown fields are errors: `serde_form`.
//! - `schema` (off): JSON schemas of the settings, through schemars.
//! - `test-util` (off): the contract of a policy as a test suite, `test_util`.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings))))]

mod backend;
mod backend_extras;
#[cfg(feature = "serde")]
mod backend_form;
mod backend_text;
mod balancer;
mod config;
mod delta;
mod endpoint;
mod escaped;
mod fail_limit;
mod hash;
mod known;
mod lease;
mod load_index;
#[cfg(all(test, loom))]
mod loom_models;
mod membership;
mod pick;
pub mod policy;
#[cfg(feature = "serde")]
mod report_form;
mod rng;
#[cfg(feature = "serde")]
pub mod serde_form;
mod snapshot;
mod split;
mod state;
mod sync;
#[cfg(feature = "test-util")]
pub mod test_util;
mod tiers;
mod time;
mod updater;

pub use backend::{AdminState, Backend, Health, Priority, Weight};
pub use backend_text::BackendParseError;
pub use balancer::{Balancer, balancer};
pub use config::BalancerConfig;
pub use delta::Delta;
pub use endpoint::Endpoint;
pub use escaped::Escaped;
pub use fail_limit::{FailLimit, FailLimits};
pub use hash::stable_hash;
pub use lease::pick::{FailureEffect, Pick};
pub use lease::response_timer::ResponseTimer;
pub use membership::explain::{ExplainedBackend, Explanation};
pub use membership::set::{BackendSet, BackendStatus};
pub use membership::verdict::Verdict;
pub use pick::context::PickContext;
pub use pick::request::{PickError, PickRequest, Tried};
pub use policy::picker::{Picker, Policy};
pub use rng::{Rng, SplitMix64};
pub use snapshot::Snapshot;
pub use split::WeightedSplit;
pub use state::memory::{BackendMemory, EjectionMemory, FailureMemory};
pub use state::outage::{CommonOutage, ForgivenEjections};
pub use state::outlier::OutlierDetection;
pub use tiers::all_ejected::OnAllEjected;
pub use tiers::slow_start::SlowStart;
pub use tiers::subset::Subset;
pub use tiers::tier::{BackendIndex, Tier};
pub use tiers::zone::ZonePreference;
pub use time::{TimeOffset, Timestamp};
pub use updater::Updater;

/// The README's example has to compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
