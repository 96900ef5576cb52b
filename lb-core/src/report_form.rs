//! Reports as data: they can be written, and not be read.

use serde::ser::{Serialize, Serializer};

use crate::backend::Backend;
use crate::endpoint::Endpoint;
use crate::membership::explain::{ExplainedBackend, Explanation};
use crate::membership::set::BackendStatus;
use crate::membership::verdict::Verdict;
use crate::serde_form::optional_seconds;
use crate::time::Timestamp;

/// The nanoseconds of the caller's clock.
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.as_nanos())
    }
}

/// As [`Verdict::as_str`].
impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[derive(serde::Serialize)]
struct ExplanationForm<'a> {
    chosen: Option<Endpoint>,
    backends: &'a [ExplainedBackend],
}

/// The chosen backend by its address or path, and every backend with its verdict.
impl Serialize for Explanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let endpoint = |addr| {
            let mut backends = self.backends.iter();
            let chosen = backends.find(|explained| explained.backend.addr == addr);
            chosen.map_or(Endpoint::Tcp(addr), |chosen| chosen.backend.endpoint())
        };
        let chosen = self.chosen.map(endpoint);
        let backends = &self.backends;
        ExplanationForm { chosen, backends }.serialize(serializer)
    }
}

#[derive(serde::Serialize)]
struct ExplainedForm<'a> {
    backend: &'a Backend,
    verdict: Verdict,
    ejected_until: Option<Timestamp>,
    in_flight: u32,
    tier_percent: u8,
    panic: bool,
    slow_start_percent: Option<u8>,
}

/// Its fields, and the end of an ejection beside the verdict.
impl Serialize for ExplainedBackend {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let form = ExplainedForm {
            backend: &self.backend,
            verdict: self.verdict,
            ejected_until: match self.verdict {
                Verdict::Ejected { until } => Some(until),
                _ => None,
            },
            in_flight: self.in_flight,
            tier_percent: self.tier_percent,
            panic: self.panic,
            slow_start_percent: self.slow_start_percent,
        };
        form.serialize(serializer)
    }
}

#[derive(serde::Serialize)]
struct StatusForm<'a> {
    backend: &'a Backend,
    in_flight: u32,
    fails: u32,
    #[serde(serialize_with = "optional_seconds")]
    connect_time: Option<std::time::Duration>,
    health: crate::Health,
    ejected_until: Option<Timestamp>,
    joined_at: Timestamp,
}

/// Its fields. Times of the caller's clock are nanoseconds, the time to connect is in seconds.
impl Serialize for BackendStatus<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let form = StatusForm {
            backend: self.backend,
            in_flight: self.in_flight,
            fails: self.fails,
            connect_time: self.connect_time,
            health: self.health,
            ejected_until: self.ejected_until,
            joined_at: self.joined_at,
        };
        form.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use crate::policy::PolicyKind;
    use crate::{Backend, PickRequest, Snapshot, SplitMix64, Timestamp, Tried, balancer};

    #[test]
    fn explanations_and_states_are_written() {
        let (mut updater, balancer) = balancer(PolicyKind::First.build());
        let addr = SocketAddr::from(([10, 0, 0, 1], 446));
        let backends = [
            Backend::unix(std::path::Path::new("/run/echo.sock")),
            Backend::new(addr).weight(0.into()),
        ];
        let now = Timestamp::from_nanos(5);
        updater.apply(&Snapshot::from_backends(backends), now);
        let tried = Tried::new();
        let request = PickRequest::new(&tried);
        let explanation = balancer
            .explain(&request, now, &mut SplitMix64::new(1))
            .unwrap();
        let written = serde_json::to_value(explanation).unwrap();
        let expected = serde_json::json!({
            "chosen": "unix:/run/echo.sock",
            "backends": [
                {
                    "backend": { "addr": "unix:/run/echo.sock" }, "verdict": "eligible", "ejected_until": null,
                    "in_flight": 0, "tier_percent": 100, "panic": false, "slow_start_percent": null,
                },
                {
                    "backend": { "addr": "10.0.0.1:446", "weight": 0 }, "verdict": "zero_weight", "ejected_until": null,
                    "in_flight": 0, "tier_percent": 0, "panic": false, "slow_start_percent": null,
                },
            ],
        });
        assert_eq!(written, expected);
        let set = balancer.set();
        let states: Vec<_> = set.status(now).collect();
        let written = serde_json::to_value(&states[0]).unwrap();
        let expected = serde_json::json!({
            "backend": { "addr": "unix:/run/echo.sock" }, "in_flight": 0, "fails": 0, "connect_time": null,
            "health": "healthy", "ejected_until": null, "joined_at": 5,
        });
        assert_eq!(written, expected);
    }
}
