//! Models of the state that threads share, in every interleaving and with every stale value that the memory model allows.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p lb-core --release --lib loom` runs the models, `.ci/run` in a target directory
//! of its own. They run the crate's own code: `sync.rs` gives it loom's atomics, and reference counts and swaps made of
//! them.

mod health;
mod leases;
mod load_index;
mod outliers;
mod updates;
mod words;
use std::sync::Arc;
use std::time::Duration;

use loom::model::Builder;
use loom::thread::{JoinHandle, spawn};

use crate::policy::{First, Policy};
use crate::time::Timestamp;
use crate::{
    AdminState, Backend, Balancer, Pick, PickError, PickRequest, Snapshot, SplitMix64, Tried,
    Updater,
};

const NOW: Timestamp = Timestamp::from_nanos(1 << 40);

/// Runs `model` in every interleaving, or in those with at most so many `preemptions`.
fn explore(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut bounded = Builder::new();
    bounded.preemption_bound = preemptions;
    // Steps of one interleaving. An update takes some hundred.
    bounded.max_branches = 10_000;
    bounded.check(model);
}

/// Runs `f` on `shared` in a thread of the model.
fn run<S, T>(shared: &Arc<S>, f: impl FnOnce(&S) -> T + 'static) -> JoinHandle<T>
where
    S: 'static,
    T: 'static,
{
    let shared = Arc::clone(shared);
    spawn(move || f(&shared))
}

fn join<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    let joined = threads.into_iter().map(|thread| thread.join().unwrap());
    joined.collect()
}

fn backend(port: u16) -> Backend {
    Backend::new(([127, 0, 0, 1], port).into())
}

fn limited(port: u16, max_conns: u32) -> Backend {
    backend(port).max_conns(max_conns)
}

/// A second backend, which takes no connections.
fn drained() -> Backend {
    backend(9).admin(AdminState::Drain)
}

fn snapshot(backends: impl IntoIterator<Item = Backend>) -> Snapshot {
    backends.into_iter().collect()
}

fn world(
    policy: impl Policy,
    backends: impl IntoIterator<Item = Backend>,
) -> (Updater, Arc<Balancer>) {
    let (mut updater, balancer) = crate::balancer(Arc::new(policy));
    updater.apply(&snapshot(backends), NOW);
    (updater, Arc::new(balancer))
}

fn pick(balancer: &Balancer) -> Result<Pick, PickError> {
    let tried = Tried::new();
    balancer.pick(&PickRequest::new(&tried), NOW, &mut SplitMix64::new(1))
}

/// The connections in flight of the backend at `port`.
fn in_flight(balancer: &Balancer, port: u16) -> u32 {
    let set = balancer.set();
    set.find(backend(port).addr).unwrap().in_flight()
}
