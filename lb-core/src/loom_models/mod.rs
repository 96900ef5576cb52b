//! What threads share, under every interleaving and every stale value that the memory model allows.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p lb-core --release --lib loom` runs them; ARCHITECTURE.md says where. What they
//! run is the crate's own code: `sync.rs` gives it loom's atomics, and counts of references and swaps made of them.

mod words;

use std::sync::Arc;

use loom::model::Builder;
use loom::thread::{JoinHandle, spawn};

/// Runs `model` in every interleaving with at most so many `preemptions`, or in all.
fn explore(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut bounded = Builder::new();
    bounded.preemption_bound = preemptions;
    // Steps of one interleaving. An update has some hundred.
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
