//! The power of two choices.
//!
//! Two distinct backends are drawn by weight and the one with the lower cost is taken. Looking at two instead of
//! one brings the fullest of n backends from about log n / log log n down to log log n (Mitzenmacher, "The Power
//! of Two Choices in Randomized Load Balancing", 2001). A stale view of the load does no harm, because not all threads
//! pick the one cheapest backend: of n equal ones it gets at most 2 / n of the connections.
//!
//! The first draw wins ties, so idle backends get shares by weight. The cost is one of two:
//!
//! - [`P2c::least_conn`]: connections in flight for the weight;
//! - [`P2c::peak_ewma`]: time to connect * (connections in flight for the weight + 1), where the time is a moving
//!   average that jumps to every peak and decays with silence (Finagle's `PeakEwma`, tower's, Linkerd's default).
//!   It notices a slow or distant backend before connections pile up on it.
//!
//! Peak EWMA of the peers differs in three points. They measure requests; how long a TCP connection lives says nothing of
//! its server, so this measures connecting. They divide the whole cost by the weight, or have no weights. Here the
//! draw is by weight already and the 1 is not divided, otherwise a light backend would get nothing until the heavy ones
//! are loaded. At weight 1 the formulas are the same. And they assume a fixed time for a backend without a sample (tower 1
//! s, Linkerd 30 ms, Envoy 10 ms): that starves a new backend where the others are faster, and favours it where they
//! are slower. Here a backend without a sample is taken to be as fast as the one that it is compared with. So
//! connections in flight decide alone, a new backend gets its fair share at once, and the connections that it gets
//! before its first answer count as load.
//!
//! Times below 1 ms count as 1 ms: in one data centre, differences below it are noise of scheduling, and without a
//! floor they would outweigh connections in flight.
//!
//! Cost: O(1) a pick, two loads read (with peak EWMA two averages too, each with one exponential function); O(n)
//! when few backends are eligible or one has nearly all the weight.
//!
//! Not where each backend must get its exact share ([`WeightedRoundRobin`](crate::policy::WeightedRoundRobin)). Peak
//! EWMA does no harm but sees no more than connections in flight where handshakes say nothing of the server: a kernel
//! answers them while its server is busy, and so does a proxy in between. A slow machine and a long route are seen.

use std::hint::select_unpredictable;
use std::time::Duration;

use crate::pick::context::PickContext;
use crate::policy::parts::alias_table::AliasTable;
use crate::policy::{Picker, Policy};
use crate::tiers::tier::{BackendIndex, Tier};

/// Shorter times to connect count as this one.
const FLOOR: Duration = Duration::from_millis(1);

/// The cheaper of two draws by weight.
#[doc(alias = "power of two choices")]
#[derive(Clone, Copy, Debug)]
pub struct P2c {
    cost: CostFunction,
}

impl P2c {
    /// Compares connections in flight for the weight.
    pub const fn least_conn() -> Self {
        Self {
            cost: CostFunction::InFlight,
        }
    }

    /// Compares the peak-sensitive average of the time to connect, times connections in flight for the weight.
    pub const fn peak_ewma() -> Self {
        Self {
            cost: CostFunction::PeakEwma,
        }
    }
}

impl Policy for P2c {
    fn name(&self) -> &'static str {
        match self.cost {
            CostFunction::InFlight => "p2c",
            CostFunction::PeakEwma => "p2c_peak_ewma",
        }
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(P2cPicker {
            cost: self.cost,
            index: AliasTable::new(tier.weights()),
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum CostFunction {
    InFlight,
    PeakEwma,
}

#[derive(Debug)]
struct P2cPicker {
    cost: CostFunction,
    index: AliasTable,
}

impl Picker for P2cPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        // Both are drawn before either is read, so that the processor fetches the two at once.
        let [first, second] = self.index.draw_two(cx);
        let first = Some(first).filter(|&first| cx.takes_turn(first));
        if let Some(first) = first
            && first != second
            && cx.takes_turn(second)
        {
            return Some(self.cheaper(cx, first, second));
        }
        self.draw_on(cx, first)
    }
}

impl P2cPicker {
    /// Draws until there are two distinct eligible backends, or one if there are no two. `first` is one of them, if given.
    #[cold]
    fn draw_on(
        &self,
        cx: &mut PickContext<'_>,
        first: Option<BackendIndex>,
    ) -> Option<BackendIndex> {
        let first = first.or_else(|| self.index.draw_other(cx, None))?;
        let second = self.index.draw_other(cx, Some(first));
        Some(second.map_or(first, |second| self.cheaper(cx, first, second)))
    }

    /// The one with the lower cost, `first` if they are equal. Costs are multiplied by both weights to stay in integers.
    fn cheaper(
        &self,
        cx: &PickContext<'_>,
        first: BackendIndex,
        second: BackendIndex,
    ) -> BackendIndex {
        let [(load_1, weight_1), (load_2, weight_2)] = [first, second].map(|i| cx.load(i));
        let in_flight = || load_2 * weight_1 < load_1 * weight_2;
        let second_is_cheaper = match self.cost {
            CostFunction::InFlight => in_flight(),
            CostFunction::PeakEwma => match (cx.connect_time(first), cx.connect_time(second)) {
                (Some(time_1), Some(time_2)) => {
                    let cost =
                        |time: Duration, load: u64| time.max(FLOOR).as_nanos() * u128::from(load);
                    cost(time_2, (load_2 + weight_2) * weight_1)
                        < cost(time_1, (load_1 + weight_1) * weight_2)
                }
                _ => in_flight(),
            },
        };
        select_unpredictable(second_is_cheaper, second, first)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use super::*;
    use crate::{
        Backend, Balancer, Pick, PickRequest, Snapshot, SplitMix64, Timestamp, Tried, Updater,
        Weight, balancer,
    };

    /// A balancer by peak EWMA over backends with ports that count from 0.
    struct Scene {
        _updater: Updater,
        balancer: Balancer,
        addrs: Vec<SocketAddr>,
        rng: SplitMix64,
    }

    fn ms(n: u64) -> Timestamp {
        Timestamp::from_nanos(n * 1_000_000)
    }

    impl Scene {
        fn new(weights: &[u16]) -> Self {
            let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
            let addrs: Vec<_> = (0..weights.len() as u16).map(addr).collect();
            let backends = addrs.iter().zip(weights);
            let snapshot: Snapshot = backends
                .map(|(&addr, &weight)| Backend::new(addr).weight(Weight::new(weight)))
                .collect();
            let (mut updater, balancer) = balancer(Arc::new(P2c::peak_ewma()));
            updater.apply(&snapshot, ms(0));
            Self {
                _updater: updater,
                balancer,
                addrs,
                rng: SplitMix64::new(1),
            }
        }

        fn pick(&mut self, tried: &Tried, now: Timestamp) -> Pick {
            let request = PickRequest::new(tried);
            self.balancer.pick(&request, now, &mut self.rng).unwrap()
        }

        /// A connection to `port` that took `millis`.
        fn sample(&mut self, port: usize, millis: u64) {
            let mut tried = Tried::new();
            for (i, &addr) in self.addrs.iter().enumerate() {
                if i != port {
                    tried.insert(addr);
                }
            }
            self.pick(&tried, ms(0)).connected(ms(millis));
        }

        fn counts(&mut self, n: usize, now: Timestamp) -> Vec<u32> {
            let mut counts = vec![0; self.addrs.len()];
            for _ in 0..n {
                let pick = self.pick(&Tried::new(), now);
                counts[usize::from(pick.backend().addr.port())] += 1;
            }
            counts
        }
    }

    #[test]
    fn the_slower_of_two_gets_nothing_until_its_sample_has_decayed() {
        let mut scene = Scene::new(&[1, 1]);
        scene.sample(0, 500);
        scene.sample(1, 5);
        assert_eq!(scene.counts(100, ms(500)), [0, 100]);
        // Decayed below the floor, both averages are equal.
        let counts = scene.counts(100, ms(120_000));
        assert!(counts[0] > 30, "{counts:?}");
    }

    #[test]
    fn connections_in_flight_outweigh_a_small_difference() {
        let mut scene = Scene::new(&[1, 1]);
        scene.sample(0, 30);
        scene.sample(1, 10);
        let held: Vec<Pick> = (0..8).map(|_| scene.pick(&Tried::new(), ms(30))).collect();
        let slow = held.iter().filter(|pick| pick.backend().addr.port() == 0);
        // 30 * (c + 1) = 10 * (d + 1) with c + d = 8.
        assert!((1..=2).contains(&slow.count()));
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes thousands of picks")]
    fn a_new_backend_is_neither_starved_nor_favoured() {
        let mut scene = Scene::new(&[1; 10]);
        for port in 0..9 {
            scene.sample(port, 100);
        }
        let counts = scene.counts(10_000, ms(100));
        assert!((800..1_200).contains(&counts[9]), "{counts:?}");
        // Its connections count as load before its first answer.
        let held: Vec<Pick> = (0..40)
            .map(|_| scene.pick(&Tried::new(), ms(100)))
            .collect();
        let new = held.iter().filter(|pick| pick.backend().addr.port() == 9);
        assert!(new.count() <= 6);
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes thousands of picks")]
    fn equally_fast_backends_get_shares_by_weight() {
        let mut scene = Scene::new(&[3, 1]);
        scene.sample(0, 20);
        scene.sample(1, 20);
        let counts = scene.counts(10_000, ms(20));
        assert!((7_200..7_800).contains(&counts[0]), "{counts:?}");
        let held: Vec<Pick> = (0..400)
            .map(|_| scene.pick(&Tried::new(), ms(20)))
            .collect();
        let heavy = held.iter().filter(|pick| pick.backend().addr.port() == 0);
        assert!((295..=305).contains(&heavy.count()));
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes thousands of picks")]
    fn differences_below_the_floor_do_not_count() {
        let mut scene = Scene::new(&[1, 1]);
        scene.sample(0, 0);
        scene.sample(1, 1);
        let counts = scene.counts(1_000, ms(1));
        assert!((400..600).contains(&counts[0]), "{counts:?}");
    }
}
