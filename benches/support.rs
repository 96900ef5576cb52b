//! Inputs shared by the benches.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use lb_core::policy::PolicyKind;
use lb_core::{
    Backend, Balancer, Pick, PickError, PickRequest, Rng, Snapshot, SplitMix64, Timestamp, Tried,
    Weight, balancer,
};

/// The numbers of backends for every policy.
pub const BACKENDS: [usize; 4] = [10, 100, 1000, 10_000];

/// A snapshot of `n` backends with weights 1, 2, 3, 1, 2, 3, …
pub fn snapshot(n: usize) -> Snapshot {
    (0..n)
        .map(|i| {
            let [.., high, low] = i.to_be_bytes();
            Backend::new(SocketAddr::from(([10, 0, high, low], 446)))
                .weight(Weight::new(1 + u16::from(low) % 3))
        })
        .collect()
}

/// A balancer with `n` backends under `kind`.
pub fn balancer_of(kind: PolicyKind, n: usize) -> Balancer {
    let (mut updater, balancer) = balancer(kind.build());
    updater.apply(&snapshot(n), Timestamp::default());
    balancer
}

/// A thread that picks, with a generator and keys of its own.
#[derive(Debug)]
pub struct Caller {
    rng: SplitMix64,
    connections: u64,
}

impl Caller {
    /// The caller number `number`.
    pub fn new(number: u64) -> Self {
        Self {
            rng: SplitMix64::new(number),
            connections: number << 48,
        }
    }

    /// A new key for each connection: its number, in eight bytes.
    pub fn key(&mut self) -> [u8; 8] {
        self.connections += 1;
        self.connections.to_le_bytes()
    }

    /// The measured work: one pick under a new key, and the end of its lease.
    ///
    /// # Errors
    ///
    /// If no backend is eligible. With the inputs of this module one always is.
    #[inline]
    pub fn pick_and_release(
        &mut self,
        pick: impl FnOnce(&PickRequest<'_>, &mut dyn Rng) -> Result<Pick, PickError>,
    ) -> Result<(), PickError> {
        let tried = Tried::new();
        let key = self.key();
        let request = PickRequest::new(&tried).key(&key);
        black_box(pick(&request, &mut self.rng)?.addr());
        Ok(())
    }
}

/// Every policy with its name, in the order of the tables.
pub fn policies() -> impl Iterator<Item = (PolicyKind, Arc<str>)> {
    PolicyKind::ALL
        .into_iter()
        .map(|kind| (kind, kind.to_string().into()))
}

/// Runs `iterations` picks in each of `threads` threads that start together, and returns the longest time of a thread.
/// Each thread has its own [`Caller`] and picks with the closure that `make` returns.
pub fn race<P, R>(threads: u64, iterations: u64, make: impl Fn() -> P + Sync) -> Duration
where
    P: FnMut(&mut Caller) -> R,
{
    let start = Barrier::new(threads as usize);
    let run = |number| {
        let mut caller = Caller::new(number);
        let mut pick = make();
        start.wait();
        let begin = Instant::now();
        for _ in 0..iterations {
            black_box(pick(&mut caller));
        }
        begin.elapsed()
    };
    std::thread::scope(|scope| {
        let run = &run;
        let racers: Vec<_> = (0..threads)
            .map(|number| scope.spawn(move || run(number)))
            .collect();
        racers
            .into_iter()
            .filter_map(|racer| racer.join().ok())
            .max()
            .unwrap_or_default()
    })
}
