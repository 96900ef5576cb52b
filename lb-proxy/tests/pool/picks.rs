//! Pools: picks, reports, changes, the life of the task that follows the sources.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use lb_core::policy::{Maglev, P2c, WeightedRoundRobin};
use lb_core::{
    Backend, BackendIndex, FailureEffect, PickContext, PickError, Picker, Policy, Snapshot, Tier,
    Tried, Weight,
};
use lb_discovery::{DiscoveryError, Manual, SnapshotStream, Source, Static};
use lb_proxy::balancing::{HashKey, KeyPart};
use lb_proxy::errors::BuildError;
use lb_proxy::events::Connection;
use lb_proxy::health::{CheckSettings, TcpCheck};
use lb_proxy::settings::BindSource;
use lb_proxy::{Pool, Upstream};
use test_support::deadline::{eventually, ms, within};
use test_support::fuse::Fuse;
use test_support::nodes::named;
use test_support::proxy::eager;
use test_support::sockets::refusing;

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn in_flight(pool: &Pool) -> Vec<u32> {
    let status = pool.status();
    status.backends().map(|one| one.in_flight).collect()
}

#[test]
fn a_fixed_pool_needs_no_runtime() {
    let pool = Pool::fixed(["127.0.0.1:1", "127.0.0.1:2"]).unwrap();
    assert!(pool.is_ready());
    let leases = [pool.pick(b"").unwrap(), pool.pick(b"").unwrap()];
    assert_eq!(in_flight(&pool), [1, 1]);
    let other = pool.clone();
    drop(leases);
    assert_eq!(
        (in_flight(&pool), in_flight(&other)),
        (vec![0, 0], vec![0, 0])
    );
    let weighted = Backend::new(addr(3)).weight(Weight::new(2));
    assert_eq!(Pool::fixed([weighted]).unwrap().status().eligible(), 1);
    assert_eq!(
        Pool::fixed([addr(1), addr(2)]).unwrap().status().eligible(),
        2
    );
    let empty = Pool::fixed::<Backend>([]).unwrap();
    assert_eq!(empty.pick(b"").map(drop), Err(PickError::Empty));
    let error = Pool::fixed(["node1"]).unwrap_err().to_string();
    assert!(error.starts_with("\"node1\" is no backend"), "{error}");
}

#[test]
fn a_pool_that_must_be_followed_needs_a_runtime() {
    let source = Static::new(Snapshot::from_addrs([addr(1)]));
    let error = Pool::spawn(P2c::least_conn(), source).unwrap_err();
    assert!(matches!(error, BuildError::NoRuntime { .. }), "{error}");
}

#[tokio::test]
async fn a_pool_follows_its_source_and_each_handle_sees_each_change() {
    let (source, handle) = Manual::new(Snapshot::from_addrs([addr(1)]));
    let upstream = Upstream::builder("pool")
        .discovery(source)
        .discovery_config(eager())
        .policy(WeightedRoundRobin::new());
    let mut pool = upstream.build().unwrap().spawn().unwrap();
    assert_eq!(pool.pick(b"").map(drop), Err(PickError::NotReady));
    within("the first membership", pool.ready()).await;
    within("the first change", pool.changed()).await;
    let mut other = pool.clone();
    handle.add(Backend::new(addr(2)));
    within("the change", pool.changed()).await;
    within("the change", other.changed()).await;
    let picked = [0, 0].map(|_| pool.pick(b"").unwrap().addr().port());
    assert_eq!(picked, [1, 2]);
    let status = pool.status();
    assert_eq!((status.sources.len(), status.eligible()), (1, 2));
    let explained = pool.explain(b"").unwrap();
    assert_eq!(explained.chosen, Some(pool.pick(b"").unwrap().addr()));
}

#[tokio::test]
async fn keys_go_to_one_backend_and_failures_to_others() {
    let set = Snapshot::from_addrs((1..=5).map(addr));
    let pool = Pool::spawn(Maglev::new(), Static::new(set)).unwrap();
    pool.ready().await;
    let first = pool.pick(b"user-17").unwrap();
    assert_eq!(pool.pick(b"user-17").unwrap().addr(), first.addr());
    let mut tried = Tried::new();
    tried.insert(first.addr());
    assert_eq!(first.failed(), FailureEffect::Ejected);
    let second = pool.pick_untried(b"user-17", &tried).unwrap();
    assert!(!tried.contains(second.addr()));
    assert_eq!(pool.status().eligible(), 4);
    second.connected();
    assert_eq!(second.unanswered(), FailureEffect::Ejected);
    assert_eq!(in_flight(&pool), [0; 5]);
}

#[test]
fn observed_latencies_are_what_peak_ewma_weighs() {
    let fixed = Upstream::builder("pool")
        .policy(P2c::peak_ewma())
        .fixed(&Snapshot::from_addrs([addr(1), addr(2)]));
    let pool = fixed.unwrap().spawn().unwrap();
    let latencies = [ms(1), ms(200)];
    let (a, b) = (pool.pick(b"").unwrap(), pool.pick(b"").unwrap());
    for lease in [&a, &b] {
        let port = usize::from(lease.addr().port());
        lease.observe(latencies[port - 1]);
    }
    assert_ne!(a.addr(), b.addr());
    drop((a, b));
    let picked: Vec<u16> = (0..50)
        .map(|_| pool.pick(b"").unwrap().addr().port())
        .collect();
    assert_eq!(picked, [1; 50]);
}

/// A source that shows whether it is watched.
#[derive(Debug)]
struct Watched(Arc<()>);

#[async_trait]
impl Source for Watched {
    fn label(&self) -> Arc<str> {
        "watched".into()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        let held = Arc::clone(&self.0);
        let one = stream::once(async { Ok(Snapshot::from_addrs([addr(1)])) });
        let never = stream::pending();
        Ok(one
            .chain(never)
            .inspect(move |_| drop(Arc::clone(&held)))
            .boxed())
    }
}

#[tokio::test]
async fn the_last_handle_ends_the_watch_of_the_sources() {
    let watches = Arc::new(());
    let pool = Pool::spawn(P2c::least_conn(), Watched(Arc::clone(&watches))).unwrap();
    pool.ready().await;
    assert_eq!(Arc::strong_count(&watches), 3);
    let other = pool.clone();
    drop(pool);
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&watches), 3);
    assert!(other.pick(b"").is_ok());
    drop(other);
    eventually("the end", || Arc::strong_count(&watches) == 1).await;
}

#[tokio::test]
async fn a_pool_runs_the_checks_of_its_upstream() {
    let (_held, dead) = refusing();
    let set = Snapshot::from_addrs([dead, named("a").await]);
    let settings = CheckSettings::default().interval(ms(10));
    let upstream = Upstream::builder("checked")
        .discovery(Static::new(set))
        .health_check(TcpCheck::new(), settings);
    let pool = upstream.build().unwrap().spawn().unwrap();
    pool.ready().await;
    eventually("the failed check", || pool.status().eligible() == 1).await;
}

/// Panics at one pick, or at each without a fuse.
#[derive(Clone, Debug)]
struct Panics(Option<Arc<Fuse>>);

impl Policy for Panics {
    fn name(&self) -> &'static str {
        "panics"
    }

    fn compile(&self, _: &Tier) -> Box<dyn Picker> {
        Box::new(self.clone())
    }
}

impl Picker for Panics {
    fn pick(&self, _: &mut PickContext<'_>) -> Option<BackendIndex> {
        let Some(fuse) = &self.0 else {
            panic!("no idea");
        };
        fuse.burn("Picker::pick");
        Some(BackendIndex::new(0))
    }
}

#[tokio::test]
async fn a_policy_that_panics_is_an_error_of_the_pick() {
    let source = Static::new(Snapshot::from_addrs([addr(1)]));
    let pool = Pool::spawn(Panics(None), source).unwrap();
    pool.ready().await;
    for _ in 0..3 {
        assert_eq!(pool.pick(b"").map(drop), Err(PickError::Panicked));
    }
    assert_eq!(pool.explain(b"").map(drop), Err(PickError::Panicked));
    assert_eq!(pool.upstream().policy_panics(), 4);
    let error = pool.upstream().connect(b"").await.unwrap_err();
    assert!(
        error.to_string().contains("Picker::pick panicked: no idea"),
        "{error}"
    );
    assert_eq!((error.attempts, error.cause), (0, None));
    assert_eq!(in_flight(&pool), [0]);
}

/// A source address and a key that a function computes.
#[tokio::test]
async fn a_function_that_panics_is_an_error_of_its_connection_or_explanation() {
    let node = named("a").await;
    for call in [1, 2, 100] {
        let fuse = Fuse::armed("BindSource::computed", call);
        let pool = Pool::spawn(P2c::least_conn(), Static::new(Snapshot::from_addrs([node])));
        let pool = pool.unwrap();
        let source = BindSource::computed(move |_| {
            fuse.burn("BindSource::computed");
            None
        });
        for number in 1..=call + 2 {
            let connect = pool.upstream().connect(b"").bind_source(source.clone());
            match connect.await {
                Ok(_) => assert_ne!(number, call),
                Err(error) => {
                    assert_eq!(number, call, "{error}");
                    assert!(
                        error
                            .to_string()
                            .contains("BindSource::computed panicked: ")
                    );
                    assert_eq!((error.attempts, error.cause), (0, None));
                }
            }
        }
        assert_eq!(pool.upstream().policy_panics(), 0);
        assert_eq!(in_flight(&pool), [0]);

        let fuse = Fuse::armed("KeyFunction", call);
        let key = KeyPart::custom("fragile", move |_| {
            fuse.burn("KeyFunction");
            HashKey::none()
        });
        let upstream = Upstream::builder("keyed").hash_key([key]);
        let upstream = upstream.fixed(&Snapshot::from_addrs([node])).unwrap();
        let connection = Connection::new(addr(1), addr(2));
        for number in 1..=call + 2 {
            let explained = upstream.explain_connection(&connection).map(drop);
            let panicked = explained == Err(PickError::Panicked);
            assert_eq!(panicked, number == call, "{explained:?}");
        }
        assert_eq!(upstream.policy_panics(), 0);
    }
}

#[tokio::test]
async fn a_pick_that_panics_is_counted_once_and_the_next_one_works() {
    for call in [1, 2, 100] {
        let fuse = Fuse::armed("Picker::pick", call);
        let source = Static::new(Snapshot::from_addrs([addr(1)]));
        let pool = Pool::spawn(Panics(Some(fuse)), source).unwrap();
        pool.ready().await;
        let picks = (0..call + 5).map(|_| pool.pick(b"").map(drop));
        let failed: Vec<_> = picks
            .enumerate()
            .filter(|(_, pick)| pick.is_err())
            .collect();
        assert_eq!(failed, [(call - 1, Err(PickError::Panicked))]);
        assert_eq!(pool.upstream().policy_panics(), 1);
        assert_eq!(in_flight(&pool), [0]);
    }
}
