//! Inputs that the benches share.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use lb_core::policy::PolicyKind;
use lb_core::{
    Backend, Balancer, PickError, PickRequest, Rng, Snapshot, SplitMix64, Timestamp, Tried, Weight,
    balancer,
};

/// Numbers of backends that every policy is measured with.
pub const BACKENDS: [usize; 4] = [10, 100, 1000, 10_000];

/// A snapshot of `n` backends with weights 1, 2, 3, 1, 2, 3, …
pub fn snapshot(n: usize) -> Snapshot {
    (0..n)
        .map(|i| {
            let [.., high, low] = i.to_be_bytes();
            Backend::new(SocketAddr::from(([10, 0, high, low], 446)))
                .with_weight(Weight::new(1 + u16::from(low) % 3))
        })
        .collect()
}

/// A balancer with `n` backends under `kind`.
pub fn balancer_of(kind: PolicyKind, n: usize) -> Balancer {
    let (mut updater, balancer) = balancer(kind.build());
    updater.apply(&snapshot(n), Timestamp::default());
    balancer
}

/// What is measured: one pick under a random key of eight bytes, and its lease given back. Policies that do not go by
/// key pay some nanoseconds for drawing it.
///
/// # Errors
///
/// If no backend is eligible, which the inputs above rule out.
pub fn pick_and_release(balancer: &Balancer, rng: &mut dyn Rng) -> Result<SocketAddr, PickError> {
    let tried = Tried::new();
    let key = rng.next_u64().to_le_bytes();
    let request = PickRequest::new(&tried).with_key(&key);
    let pick = balancer.pick(&request, Timestamp::default(), rng)?;
    Ok(pick.addr())
}

/// Every policy with its name, in the order of the tables.
pub fn policies() -> impl Iterator<Item = (PolicyKind, Arc<str>)> {
    PolicyKind::ALL
        .into_iter()
        .map(|kind| (kind, kind.to_string().into()))
}

/// The longest time that any of `threads` needs for `iterations` picks when all start together, each with a generator of
/// its own.
pub fn race<R>(
    threads: u64,
    iterations: u64,
    pick: impl Fn(&mut SplitMix64) -> R + Sync,
) -> Duration {
    let start = Barrier::new(threads as usize);
    let run = |seed| {
        let mut rng = SplitMix64::new(seed);
        start.wait();
        let begin = Instant::now();
        for _ in 0..iterations {
            black_box(pick(&mut rng));
        }
        begin.elapsed()
    };
    std::thread::scope(|scope| {
        let run = &run;
        let racers: Vec<_> = (0..threads)
            .map(|seed| scope.spawn(move || run(seed)))
            .collect();
        racers
            .into_iter()
            .filter_map(|racer| racer.join().ok())
            .max()
            .unwrap_or_default()
    })
}
