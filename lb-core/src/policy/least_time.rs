//! Least expected time to connect.
//!
//! nginx's `least_time connect` (`ngx_stream_upstream_least_time_module.c`): the backend with the least
//! expected time * (connections in flight + 1) for its weight is picked, ties by smooth weighted round robin among the
//! tied. The expected time is the moving average of the backend's connect times, a twentieth of every new one, raised
//! to the next multiple of 20 ms and at most 5 s. It is halved for each `fail_timeout` and a second
//! ([`Backend::fail_limit`](crate::Backend::fail_limit), nginx's ten seconds where there is none) in which the backend
//! was not picked, so that a slow backend is tried again; the pick that follows ends this rest. A backend without a sample
//! is expected to take 20 ms, the least there is.
//!
//! The 1 is divided by the weight too, so idle backends do not get shares by weight: as long as connections end
//! before the next begins, all go to the heaviest of the fastest.
//!
//! The nginx that `tests/golden` was recorded from has no such module, so alone of nginx's algorithms this one is checked
//! against its formula and not against a recording.
//!
//! Cost: O(n) a pick, and a division for each backend that rests; no memory beyond the sequence for ties.
//!
//! Not for thousands of backends at high connection rates, and not where differences below 20 ms count:
//! [`P2c::peak_ewma`](crate::policy::P2c::peak_ewma) sees them, reacts to the first slow connection instead of the
//! twentieth, and costs the same for any number of backends.

use crate::pick::context::PickContext;
use crate::policy::parts::least::least;
use crate::policy::{Picker, Policy};
use crate::tiers::tier::{BackendIndex, Tier};

/// Least expected time to connect, in view of the connections in flight, for its weight.
#[doc(alias = "least_time connect")]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LeastTime;

impl LeastTime {
    /// The policy; it has no settings.
    pub const fn new() -> Self {
        Self
    }
}

impl Policy for LeastTime {
    fn name(&self) -> &'static str {
        "least_time"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(LeastTimePicker {
            len: tier.len().get(),
        })
    }
}

#[derive(Debug)]
struct LeastTimePicker {
    len: u32,
}

impl Picker for LeastTimePicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let picked = least(cx, self.len, |cx, i| {
            cx.expected_connect_millis(i) * (u64::from(cx.in_flight(i)) + 1)
        });
        picked.inspect(|&i| cx.end_rest(i))
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use super::*;
    use crate::policy::WeightedRoundRobin;
    use crate::{
        Backend, Balancer, Pick, PickRequest, Snapshot, SplitMix64, Timestamp, Tried, Weight,
        balancer,
    };

    fn ms(n: u64) -> Timestamp {
        Timestamp::from_nanos(n * 1_000_000)
    }

    fn backend(port: u16) -> Backend {
        Backend::new(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn snapshot(weights: &[u16]) -> Snapshot {
        let weighted = |(port, &w): (u16, &u16)| backend(port).with_weight(Weight::new(w));
        (0..).zip(weights).map(weighted).collect()
    }

    fn pick_but(not: &[u16], balancer: &Balancer, now: Timestamp) -> Pick {
        let mut tried = Tried::new();
        for &port in not {
            tried.insert(backend(port).addr);
        }
        let mut rng = SplitMix64::new(1);
        let pick = balancer.pick(&PickRequest::new(&tried), now, &mut rng);
        pick.unwrap()
    }

    fn ports(balancer: &Balancer, n: usize, now: Timestamp) -> Vec<u16> {
        let pick = |_| pick_but(&[], balancer, now).backend().addr.port();
        (0..n).map(pick).collect()
    }

    #[test]
    fn a_slow_backend_is_picked_again_after_a_rest() {
        let (mut updater, balancer) = balancer(Arc::new(LeastTime::new()));
        updater.apply(&snapshot(&[1, 1]), ms(0));
        pick_but(&[1], &balancer, ms(0)).connected(ms(65)); // expected: 80
        pick_but(&[0], &balancer, ms(0)).connected(ms(5)); // expected: 20
        assert_eq!(ports(&balancer, 4, ms(65)), [1; 4]);
        // Backend 1 is picked now and then and never rests; 80 >> 2 ties after 22 s, 80 >> 3 wins after 33 s.
        assert_eq!(ports(&balancer, 4, ms(11_500)), [1; 4]);
        assert_eq!(ports(&balancer, 4, ms(21_900)), [1; 4]);
        assert_eq!(ports(&balancer, 4, ms(33_500)), [0, 1, 1, 1]);
        // State is the backend's: it outlives changes of weight and policy.
        updater.apply(&snapshot(&[2, 1]), ms(33_500));
        updater.set_policy(Arc::new(LeastTime::new()));
        assert_eq!(ports(&balancer, 4, ms(33_500)), [1; 4]);
    }

    #[test]
    fn connections_by_another_policy_end_a_rest_too() {
        let (mut updater, balancer) = balancer(Arc::new(LeastTime::new()));
        updater.apply(&snapshot(&[1, 1]), ms(0));
        pick_but(&[1], &balancer, ms(0)).connected(ms(65)); // expected: 80
        pick_but(&[0], &balancer, ms(0)).connected(ms(5)); // expected: 20
        updater.set_policy(Arc::new(WeightedRoundRobin::new()));
        for second in 1..=100 {
            for (not, takes) in [(1, 65), (0, 5)] {
                let now = second * 1000;
                pick_but(&[not], &balancer, ms(now)).connected(ms(now + takes));
            }
        }
        updater.set_policy(Arc::new(LeastTime::new()));
        assert_eq!(ports(&balancer, 4, ms(100_000)), [1; 4]);
    }

    #[test]
    fn connections_in_flight_multiply_the_time() {
        let (mut updater, balancer) = balancer(Arc::new(LeastTime::new()));
        updater.apply(&snapshot(&[1, 1]), ms(0));
        pick_but(&[1], &balancer, ms(0)).connected(ms(45)); // expected: 60
        let held: Vec<Pick> = (0..8).map(|_| pick_but(&[], &balancer, ms(45))).collect();
        let slow = held.iter().filter(|p| p.backend().addr.port() == 0).count();
        assert_eq!(
            slow, 2,
            "60 * (2 + 1) is above 20 * (6 + 1), 60 * (1 + 1) is not"
        );
    }

    #[test]
    fn weights_divide_the_time() {
        let (mut updater, balancer) = balancer(Arc::new(LeastTime::new()));
        updater.apply(&snapshot(&[3, 1]), ms(0));
        assert_eq!(ports(&balancer, 4, ms(0)), [0; 4]);
        let held: Vec<Pick> = (0..400).map(|_| pick_but(&[], &balancer, ms(0))).collect();
        let heavy = held.iter().filter(|p| p.backend().addr.port() == 0);
        assert!((299..=301).contains(&heavy.count()));
    }
}
