//! The cost of a pick in other libraries, on the inputs of `policies`: `cargo bench -p benches --features peers peers`.
//!
//! - `peers/<name>/<backends>`: next to `policies/<policy>/<backends>`;
//! - `peers_contended/<name>/<threads>`: next to `policies_contended/<policy>/<threads>`.
//!
//! No other library does all that lb-core does. A pick is:
//!
//! - `pingora_*`: `LoadBalancer::select` with the key and 256 iterations, as in pingora's documentation. It checks
//!   health, clones the backend and counts no connection.
//! - `tower_p2c`: `poll_ready` and `call` of `Balance` over services with `PendingRequests`, and the response. It has
//!   no weights and needs `&mut`, so threads cannot share it.
//! - `hashring`: a bare look-up, with as many points for each backend as lb-core's ring hash has.
//! - `maglev`: a bare look-up in a table of lb-core's size, without weights. While it builds it keeps the permutations of all
//!   backends, 0.5 GB for 1000, so 10000 backends are not measured.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hash::Hash;
use std::hint::black_box;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use benches::{BACKENDS, Caller, race, snapshot};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use hashring::HashRing;
use lb_core::policy::Maglev;
use maglev::ConsistentHasher;
use pingora_load_balancing::discovery::Static;
use pingora_load_balancing::selection::{
    BackendIter, BackendSelection, Consistent, Random, RoundRobin,
};
use pingora_load_balancing::{Backend, Backends, LoadBalancer};
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, PendingRequests};

/// The bound that pingora's documentation gives `select`.
const MAX_ITERATIONS: usize = 256;

fn pingora(c: &mut Criterion) {
    selection::<RoundRobin>(c, "pingora_round_robin");
    selection::<Random>(c, "pingora_random");
    selection::<Consistent>(c, "pingora_ketama");
}

fn selection<S>(c: &mut Criterion, name: &str)
where
    S: BackendSelection<Iter: BackendIter, Config: Send + Sync> + Send + Sync + 'static,
{
    measure(c, name, &BACKENDS, |n| {
        let balancer = pingora_balancer::<S>(n);
        move |caller: &mut Caller| {
            let backend = balancer.select(&caller.key(), MAX_ITERATIONS);
            black_box(backend).is_some()
        }
    });
}

fn pingora_balancer<S>(n: usize) -> LoadBalancer<S>
where
    S: BackendSelection<Iter: BackendIter, Config: Send + Sync> + Send + Sync + 'static,
{
    let backends: BTreeSet<Backend> = snapshot(n)
        .iter()
        .map(|backend| {
            Backend::new_with_weight(&backend.addr.to_string(), backend.weight.get().into())
                .expect("an address of ours")
        })
        .collect();
    let balancer = LoadBalancer::from_backends(Backends::new(Static::new(backends)));
    match poll_once(balancer.update()) {
        Poll::Ready(Ok(())) => balancer,
        other => panic!("a fixed list is known at once: {other:?}"),
    }
}

fn hashring(c: &mut Criterion) {
    #[derive(Hash)]
    struct Point(SocketAddr, usize);

    measure(c, "hashring", &BACKENDS, |n| {
        let snapshot = snapshot(n);
        let weights = snapshot.iter().map(|b| usize::from(b.weight.get()));
        let points_of_a_unit = 1024_usize.div_ceil(weights.sum());
        let mut ring = HashRing::new();
        ring.batch_add(
            snapshot
                .iter()
                .flat_map(|b| {
                    let points = points_of_a_unit * usize::from(b.weight.get());
                    (0..points).map(|i| Point(b.addr, i))
                })
                .collect(),
        );
        move |caller: &mut Caller| black_box(ring.get(&caller.key()).map(|point| point.0)).is_some()
    });
}

fn maglev(c: &mut Criterion) {
    measure(c, "maglev", &BACKENDS[..3], |n| {
        let addrs: Vec<SocketAddr> = snapshot(n).iter().map(|b| b.addr).collect();
        let table = maglev::Maglev::with_capacity(addrs, Maglev::DEFAULT_TABLE_SIZE as usize);
        move |caller: &mut Caller| black_box(table.get(&caller.key()).copied()).is_some()
    });
}

fn tower(c: &mut Criterion) {
    let mut group = c.benchmark_group("peers");
    for n in BACKENDS {
        let services: Vec<_> = snapshot(n)
            .iter()
            .map(|b| PendingRequests::new(Answer(b.addr), CompleteOnResponse::default()))
            .collect();
        let mut balance = Balance::new(ServiceList::new(services));
        group.bench_function(BenchmarkId::new("tower_p2c", n), |b| {
            b.iter(|| {
                let mut cx = Context::from_waker(Waker::noop());
                match balance.poll_ready(&mut cx) {
                    Poll::Ready(Ok(())) => poll_once(balance.call(())),
                    other => panic!("every service is ready: {other:?}"),
                }
            });
        });
    }
}

/// A service that is always ready and answers with its address.
#[derive(Debug)]
struct Answer(SocketAddr);

impl Service<()> for Answer {
    type Response = SocketAddr;
    type Error = Infallible;
    type Future = Ready<Result<SocketAddr, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(self.0))
    }
}

/// Measures what `make` returns for each number of backends, from one thread, and for 100 from several.
fn measure<P: Fn(&mut Caller) -> bool + Sync>(
    c: &mut Criterion,
    name: &str,
    sizes: &[usize],
    make: impl Fn(usize) -> P,
) {
    let mut group = c.benchmark_group("peers");
    for &n in sizes {
        let pick = make(n);
        let mut caller = Caller::new(1);
        assert!(pick(&mut caller), "{name} picks none of {n}");
        group.bench_function(BenchmarkId::new(name, n), |b| b.iter(|| pick(&mut caller)));
    }
    group.finish();
    let mut group = c.benchmark_group("peers_contended");
    let pick = make(100);
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::new(name, threads), |b| {
            b.iter_custom(|iterations| race(threads, iterations, || &pick));
        });
    }
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

criterion_group!(peers, pingora, tower, hashring, maglev);
criterion_main!(peers);
