//! Least expected time.
//!
//! nginx's `least_time` (`ngx_stream_upstream_least_time_module.c`): the backend with the least expected time *
//! (connections in flight + 1) for its weight is picked. The expected time is the decaying peak (peak EWMA) of one of three times,
//! a twentieth of every new one: to the connection, to the first byte of the backend, or to the end of the session. It is
//! halved for each `fail_timeout` and a second ([`Backend::fail_limit`](field@crate::Backend::fail_limit), nginx's ten seconds
//! where there is none) in which the backend was not picked, so that a slow backend is tried again, and raised to the
//! next multiple of 20 ms, at most 5 s. A backend without a sample is expected to take 20 ms, the least there is.
//!
//! The averages learn at the end of a session, from the [`ResponseTimer`](crate::ResponseTimer) of its pick. So while
//! sessions stay open this is least connections. With [`in_flight`](LeastTime::in_flight) the average learns
//! at the measured moment, and attempts that have not reached it count with their age: a backend that does not
//! answer is avoided before the first attempt on it has failed.
//!
//! Ties are broken by smooth weighted round robin among the tied, in nginx's order, quirk included: where weights differ, some
//! of the tied are passed over, depending on the order in which they are listed. `tests/golden/least_time.rs`
//! compares every choice with recordings of nginx 1.31.
//!
//! The 1 is divided by the weight too, so idle backends do not get shares by weight: as long as connections end
//! before the next begins, all go to the heaviest of the fastest.
//!
//! Cost: O(n) a pick; 64 bytes a backend, of which 56 stay after a change of policy.
//!
//! Not for thousands of backends at high connection rates, and not where differences below 20 ms count:
//! [`P2c::peak_ewma`](crate::policy::P2c::peak_ewma) sees them, reacts to the first slow connection instead of the
//! twentieth, and costs the same for any number of backends. Nor the time to the last byte where the client decides how
//! long a session lasts: it says nothing about the backend.

use crate::pick::context::PickContext;
use crate::policy::parts::least::{OfFirstAmount, least};
use crate::policy::{Picker, Policy};
use crate::state::expectation::{Expectation, Measure};
use crate::state::response_times::ResponseTimes;
use crate::sync::Arc;
use crate::tiers::tier::{BackendIndex, Tier};

/// Least expected time, in view of the connections in flight, for its weight.
#[doc(alias = "least_time")]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeastTime {
    expectation: Expectation,
}

impl LeastTime {
    /// Expects the time to the established connection. The same as [`connect`](Self::connect).
    pub const fn new() -> Self {
        Self::connect()
    }

    /// Expects the time to the established connection: nginx's `least_time connect`.
    #[doc(alias = "least_time connect")]
    pub const fn connect() -> Self {
        Self::of(Measure::Connect)
    }

    /// Expects the time to the first byte of the backend or the end of its stream: nginx's `least_time first_byte`.
    #[doc(alias = "least_time first_byte")]
    pub const fn first_byte() -> Self {
        Self::of(Measure::FirstByte)
    }

    /// Expects the time to the end of the session: nginx's `least_time last_byte`.
    #[doc(alias = "least_time last_byte")]
    pub const fn last_byte() -> Self {
        Self::of(Measure::LastByte)
    }

    /// Counts attempts that have not reached the measured moment with their average age, if that is more than the average
    /// of the others; at most 65535 for each backend. nginx's `inflight`. Default: off.
    #[doc(alias = "inflight")]
    #[must_use]
    pub const fn in_flight(mut self, in_flight: bool) -> Self {
        self.expectation.in_flight = in_flight;
        self
    }

    const fn of(measure: Measure) -> Self {
        Self {
            expectation: Expectation {
                measure,
                in_flight: false,
            },
        }
    }
}

impl Default for LeastTime {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy for LeastTime {
    fn name(&self) -> &'static str {
        "least_time"
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let Expectation { measure, in_flight } = self.expectation;
        let measure = match measure {
            Measure::Connect => "connect",
            Measure::FirstByte => "first_byte",
            Measure::LastByte => "last_byte",
        };
        let in_flight = in_flight.then(|| ("in_flight", "on".to_owned()));
        let measure = ("measure", measure.to_owned());
        [measure].into_iter().chain(in_flight).collect()
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(LeastTimePicker {
            times: tier.keep_response_times(self.expectation),
            expectation: self.expectation,
        })
    }
}

#[derive(Debug)]
struct LeastTimePicker {
    /// In the tier's order. With the picker, because every pick reads them all.
    times: Box<[Arc<ResponseTimes>]>,
    expectation: Expectation,
}

impl Picker for LeastTimePicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let Expectation { measure, in_flight } = self.expectation;
        let (len, now) = (self.times.len() as u32, cx.now());
        if in_flight {
            return self.pick_by_age(cx, len);
        }
        least::<OfFirstAmount>(cx, len, |cx, i| {
            let times = &self.times[i.get() as usize];
            times.expected_millis(measure, || cx.fail_timeout(i), now) * requests(cx, i)
        })
    }
}

impl LeastTimePicker {
    fn pick_by_age(&self, cx: &mut PickContext<'_>, len: u32) -> Option<BackendIndex> {
        let (now, is_noted) = (cx.now(), !cx.is_dry_run());
        if is_noted {
            for (i, times) in (0..).map(BackendIndex::new).zip(&self.times) {
                if cx.is_eligible(i) {
                    times.note_in_flight(now);
                }
            }
        }
        let measure = self.expectation.measure;
        least::<OfFirstAmount>(cx, len, |cx, i| {
            let times = &self.times[i.get() as usize];
            let expected = times.expected_millis_by_age(measure, cx.fail_timeout(i), now, is_noted);
            expected * requests(cx, i)
        })
    }
}

/// The connections in flight, with this one.
#[inline]
fn requests(cx: &PickContext<'_>, i: BackendIndex) -> u64 {
    u64::from(cx.in_flight(i)) + 1
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
        let weighted = |(port, &w): (u16, &u16)| backend(port).weight(Weight::new(w));
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

    /// The ports of `n` picks, each ended before the next.
    fn ports(balancer: &Balancer, n: usize, now: Timestamp) -> Vec<u16> {
        let pick = |_| {
            let pick = pick_but(&[], balancer, now);
            drop(pick.response_timer());
            pick.addr().port()
        };
        (0..n).map(pick).collect()
    }

    /// A session with the backend at the other port than `not`, which connects within `millis` and ends.
    fn session(not: u16, balancer: &Balancer, now: u64, millis: u64) {
        let pick = pick_but(&[not], balancer, ms(now));
        if let Some(mut timer) = pick.response_timer() {
            timer.connected(ms(now + millis));
            timer.ended(ms(now + millis));
        }
    }

    #[test]
    fn a_slow_backend_is_picked_again_after_a_rest() {
        let (mut updater, balancer) = balancer(Arc::new(LeastTime::new()));
        updater.apply(&snapshot(&[1, 1]), ms(0));
        session(1, &balancer, 0, 65); // expected: 80
        session(0, &balancer, 0, 5); // expected: 20
        assert_eq!(ports(&balancer, 4, ms(65)), [1; 4]);
        // Backend 1 is picked now and then and never rests; 65 >> 2 ties with it after 22 s, and a pick ends the rest.
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
        session(1, &balancer, 0, 65); // expected: 80
        session(0, &balancer, 0, 5); // expected: 20
        updater.set_policy(Arc::new(WeightedRoundRobin::new()));
        for second in 1..=100 {
            for (not, takes) in [(1, 65), (0, 5)] {
                session(not, &balancer, second * 1000, takes);
            }
        }
        updater.set_policy(Arc::new(LeastTime::new()));
        assert_eq!(ports(&balancer, 4, ms(100_000)), [1; 4]);
    }

    #[test]
    fn connections_in_flight_multiply_the_time() {
        let (mut updater, balancer) = balancer(Arc::new(LeastTime::new()));
        updater.apply(&snapshot(&[1, 1]), ms(0));
        session(1, &balancer, 0, 45); // expected: 60
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
