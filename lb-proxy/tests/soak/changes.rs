//! The proxy, its backends, and what changes while clients connect.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use lb_core::policy::PolicyKind;
use lb_core::{Backend, FailLimit, SplitMix64, Weight};
use lb_discovery::{Manual, ManualHandle};
use lb_proxy::access::{Excess, Rate};
use lb_proxy::balancing::{OnBackendLoss, Queue};
use lb_proxy::{
    Hooks, Limits, Listener, Metrics, Proxy, ProxyBuilder, Timeouts, Upstream, Workers,
};
use test_support::proxy::{RunningProxy, eager, reload, round_robin};
use test_support::sockets::{BlackHole, loopback};
use tokio::time::sleep;

use super::clients::{below, chance};
use super::node::{MOODS, Mood, Node};

const NODES: usize = 6;

pub(crate) struct Field {
    pub(crate) proxy: RunningProxy,
    pub(crate) addr: SocketAddr,
    pub(crate) calm_addr: SocketAddr,
    pub(crate) upstream: Upstream,
    pub(crate) calm: Upstream,
    workers: Workers,
    hooks: Arc<dyn Hooks>,
    members: ManualHandle,
    nodes: Vec<Node>,
    /// An address that never answers.
    hole: BlackHole,
    _calm_node: Node,
}

/// What a reload may change.
#[derive(Default)]
struct Settings {
    limits: Limits,
    idle: Option<Duration>,
    extra_listeners: u64,
}

impl Field {
    pub(crate) async fn start(
        rng: &mut SplitMix64,
        workers: Workers,
        hooks: Arc<dyn Hooks>,
    ) -> Self {
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            nodes.push(Node::start().await);
        }
        let calm_node = Node::start().await;
        let (manual, members) =
            Manual::new(nodes.iter().map(|node| Backend::new(node.addr)).collect());
        let limit = FailLimit::new(NonZeroU32::new(3).unwrap(), Duration::from_millis(100));
        let policies = [
            PolicyKind::WeightedRoundRobin,
            PolicyKind::P2c,
            PolicyKind::LeastConn,
        ];
        let upstream = Upstream::builder("changing")
            .discovery(manual)
            .discovery_config(eager())
            .policy(policies[below(rng, 3) as usize].build())
            .fail_limit(Some(limit))
            .queue(Some(Queue::new(NonZeroUsize::new(16).unwrap())))
            .on_removed(OnBackendLoss::Close {
                spread: Duration::from_millis(20),
            })
            .build()
            .unwrap();
        let calm = round_robin("calm", calm_node.addr);
        let build = |addr, calm_addr| {
            describe(
                &upstream,
                &calm,
                (addr, calm_addr),
                workers,
                &hooks,
                &Settings::default(),
            )
        };
        let proxy = RunningProxy::run(build(loopback(), loopback())).await;
        let [addr, calm_addr] = proxy.handle.local_addrs()[..] else {
            panic!("two listeners");
        };
        Self {
            proxy,
            addr,
            calm_addr,
            upstream,
            calm,
            workers,
            hooks,
            members,
            nodes,
            hole: BlackHole::open(),
            _calm_node: calm_node,
        }
    }

    /// Makes one change, and waits a moment.
    pub(crate) async fn change(&mut self, rng: &mut SplitMix64) {
        let index = below(rng, NODES as u64) as usize;
        let node = &mut self.nodes[index];
        let addr = node.addr;
        match below(rng, 12) {
            0 | 1 => node.kill(),
            2..=4 => node.revive().await,
            5 | 6 => node.set_mood(MOODS[below(rng, 4) as usize]),
            7 => _ = self.members.remove(addr),
            8 => self
                .members
                .add(Backend::new(addr).max_conns(NonZeroU32::new(1 + below(rng, 8) as u32))),
            9 => {
                _ = self
                    .members
                    .set_weight(addr, Weight::new(1 + below(rng, 4) as u16))
            }
            10 if chance(rng, 30) => self.members.add(Backend::new(self.hole.addr)),
            _ => self.reload(&some_settings(rng)).await,
        }
        sleep(Duration::from_millis(5 + below(rng, 60))).await;
    }

    /// Undoes every change.
    pub(crate) async fn restore(&mut self) {
        for node in &mut self.nodes {
            node.set_mood(Mood::Echo);
            node.revive().await;
        }
        let all = self.nodes.iter().map(|node| Backend::new(node.addr));
        self.members.set(all.collect());
        self.reload(&Settings::default()).await;
    }

    pub(crate) async fn end(self) -> Metrics {
        let handle = self.proxy.handle.clone();
        self.proxy.end().await;
        handle.metrics()
    }

    async fn reload(&self, settings: &Settings) {
        let addrs = (self.addr, self.calm_addr);
        let to = describe(
            &self.upstream,
            &self.calm,
            addrs,
            self.workers,
            &self.hooks,
            settings,
        );
        reload(&self.proxy, to).await.unwrap();
    }
}

fn some_settings(rng: &mut SplitMix64) -> Settings {
    let per_second = NonZeroU32::new(200).unwrap();
    let excess = if chance(rng, 50) {
        Excess::Refuse
    } else {
        Excess::Wait
    };
    let limits = Limits::default()
        .sessions(chance(rng, 50).then(|| NonZeroUsize::new(70).unwrap()))
        .rate(chance(rng, 20).then(|| Rate::per_second(per_second)))
        .excess(excess);
    Settings {
        limits,
        idle: chance(rng, 50).then_some(Duration::from_millis(300)),
        extra_listeners: below(rng, 3),
    }
}

fn describe(
    upstream: &Upstream,
    calm: &Upstream,
    (addr, calm_addr): (SocketAddr, SocketAddr),
    workers: Workers,
    hooks: &Arc<dyn Hooks>,
    settings: &Settings,
) -> ProxyBuilder {
    let idle = settings.idle.unwrap_or(Duration::from_secs(2));
    let timeouts = Timeouts::default()
        .connect(Duration::from_millis(100))
        .idle(Some(idle))
        .half_closed(Some(Duration::from_secs(1)));
    let listener = Listener::new(addr, upstream)
        .timeouts(timeouts)
        .limits(settings.limits)
        .hooks(Arc::clone(hooks));
    let mut proxy = Proxy::builder()
        .workers(workers)
        .track_sessions(true)
        .detailed_metrics(true)
        .drain_timeout(None)
        .listener(listener)
        .listener(Listener::new(calm_addr, calm).hooks(Arc::clone(hooks)));
    for _ in 0..settings.extra_listeners {
        proxy = proxy.listen(loopback(), upstream);
    }
    proxy
}
