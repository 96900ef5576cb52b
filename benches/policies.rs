//! What a pick costs: `cargo bench policies`.
//!
//! - `policies/<policy>/<backends>`: one pick and release, one thread;
//! - `policies_contended/<policy>/<threads>`: the same on 100 backends, every thread at once; the time is that of
//!   one pick of one thread;
//! - `policies_apply/<policy>/<backends>`: a snapshot that differs from the last in one weight.

use std::hint::black_box;

use benches::{BACKENDS, balancer_of, pick_and_release, policies, race, snapshot};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lb_core::{Snapshot, SplitMix64, Timestamp, Weight, balancer};

fn uncontended(c: &mut Criterion) {
    let mut group = c.benchmark_group("policies");
    for (kind, name) in policies() {
        for n in BACKENDS {
            let balancer = balancer_of(kind, n);
            let mut rng = SplitMix64::new(1);
            group.bench_function(BenchmarkId::new(&*name, n), |b| {
                b.iter(|| black_box(pick_and_release(&balancer, &mut rng)));
            });
        }
    }
}

fn contended(c: &mut Criterion) {
    let mut group = c.benchmark_group("policies_contended");
    for (kind, name) in policies() {
        for threads in [1, 2] {
            let balancer = balancer_of(kind, 100);
            let pick = |rng: &mut SplitMix64| pick_and_release(&balancer, rng);
            group.bench_function(BenchmarkId::new(&*name, threads), |b| {
                b.iter_custom(|iterations| race(threads, iterations, pick));
            });
        }
    }
}

fn apply(c: &mut Criterion) {
    let mut group = c.benchmark_group("policies_apply");
    group.sample_size(10);
    for (kind, name) in policies() {
        for n in BACKENDS {
            let [one, other] = [1, 2].map(|weight| with_first_weight(n, weight));
            let (mut updater, _balancer) = balancer(kind.build());
            let mut turn = false;
            group.bench_function(BenchmarkId::new(&*name, n), |b| {
                b.iter(|| {
                    turn = !turn;
                    let next = if turn { &one } else { &other };
                    black_box(updater.apply(next, Timestamp::default()))
                });
            });
        }
    }
}

fn with_first_weight(n: usize, weight: u16) -> Snapshot {
    let mut backends = snapshot(n).iter().cloned().collect::<Vec<_>>();
    if let Some(first) = backends.first_mut() {
        first.weight = Weight::new(weight);
    }
    Snapshot::from_backends(backends)
}

criterion_group!(benches, uncontended, contended, apply);
criterion_main!(benches);
