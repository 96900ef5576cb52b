//! The cost of a pick: `cargo bench policies`.
//!
//! - `policies/<policy>/<backends>`: one pick and release by a `Balancer`, one thread;
//! - `policies_contended/<policy>/<backends>x<threads>`: all threads at once by one `Balancer`; the time is that of one
//!   pick of one thread;
//! - `policies_apply/<policy>/<backends>`: a snapshot that differs from the last in one weight;
//! - `policies_apply_equal/<backends>`: a snapshot that equals the last one but is another value.

use std::hint::black_box;

use benches::{BACKENDS, Caller, balancer_of, policies, race, snapshot};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lb_core::policy::PolicyKind;
use lb_core::{Balancer, Snapshot, Timestamp, Weight, balancer};

const NOW: Timestamp = Timestamp::from_nanos(0);

/// Picks and releases.
fn picks(balancer: &Balancer) -> impl FnMut(&mut Caller) -> bool + use<> {
    let balancer = balancer.clone();
    move |caller| {
        let picked = caller.pick_and_release(|request, rng| balancer.pick(request, NOW, rng));
        picked.is_ok()
    }
}

fn uncontended(c: &mut Criterion) {
    let mut group = c.benchmark_group("policies");
    for (kind, name) in policies() {
        for n in BACKENDS {
            let (mut pick, mut caller) = (picks(&balancer_of(kind, n)), Caller::new(1));
            group.bench_function(BenchmarkId::new(&*name, n), |b| {
                b.iter(|| pick(&mut caller));
            });
        }
    }
}

fn contended(c: &mut Criterion) {
    let mut group = c.benchmark_group("policies_contended");
    for (kind, name) in policies() {
        for (n, threads) in crowds() {
            let balancer = balancer_of(kind, n);
            group.bench_function(BenchmarkId::new(&*name, format!("{n}x{threads}")), |b| {
                b.iter_custom(|iterations| race(threads, iterations, || picks(&balancer)));
            });
        }
    }
}

/// Numbers of backends, each with numbers of threads.
fn crowds() -> impl Iterator<Item = (usize, u64)> {
    BACKENDS.into_iter().flat_map(|n| [(n, 1), (n, 2)])
}

fn apply(c: &mut Criterion) {
    let mut group = c.benchmark_group("policies_apply");
    group.sample_size(10);
    for (kind, name) in policies() {
        for n in BACKENDS {
            group.bench_function(BenchmarkId::new(&*name, n), |b| {
                let [one, other] = [1, 2].map(|weight| with_first_weight(n, weight));
                let (mut updater, _balancer) = balancer(kind.build());
                updater.apply(&one, NOW);
                let mut turn = true;
                b.iter(|| {
                    turn = !turn;
                    let next = if turn { &one } else { &other };
                    black_box(updater.apply(next, NOW))
                });
            });
        }
    }
    group.finish();
    let mut group = c.benchmark_group("policies_apply_equal");
    for n in BACKENDS {
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            let (mut updater, _balancer) = balancer(PolicyKind::default().build());
            updater.apply(&snapshot(n), NOW);
            let equal = snapshot(n);
            b.iter(|| black_box(updater.apply(&equal, NOW)));
        });
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
