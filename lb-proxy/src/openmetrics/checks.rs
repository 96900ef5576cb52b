//! The metrics of active checks.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::encoding::EncodeGaugeValue;

use super::families as f;
use super::view::UpstreamView;
use super::writer::{Family, FamilyWriter};
use crate::health::{CheckState, CheckStatus};

/// The checks by upstream, backend and name, which is unique in the upstream.
type Checks<'a> = BTreeMap<(&'a str, String, &'a str), &'a CheckStatus>;

pub(super) fn write(to: &mut FamilyWriter<'_>, views: &[UpstreamView]) -> fmt::Result {
    let mut all = Checks::new();
    for view in views {
        for status in &view.checks {
            let backend = status.backend.endpoint().to_string();
            all.entry((&view.name, backend, &status.check))
                .or_insert(status);
        }
    }
    gauge(to, &f::CHECK_UP, &all, |status| match status.state {
        CheckState::Up => Some(1),
        CheckState::Down => Some(0),
        CheckState::Unchecked => None,
    })?;
    let probes = all.iter().flat_map(|(key, status)| {
        let undecided = status.failures + status.inconclusive;
        let passed = status.probes.saturating_sub(undecided);
        let outcomes = [
            ("failed", status.failures),
            ("inconclusive", status.inconclusive),
            ("passed", passed),
        ];
        outcomes.map(|(outcome, n)| {
            let [upstream, backend, check] = labels(key);
            ([upstream, backend, check, ("outcome", outcome)], n)
        })
    });
    to.counters(&f::CHECK_PROBES, probes)?;
    let transitions = all.iter();
    to.counters(
        &f::CHECK_TRANSITIONS,
        transitions.map(|(key, status)| (labels(key), status.transitions)),
    )?;
    gauge(to, &f::CHECK_DURATION, &all, |status| {
        Some(status.last.as_ref()?.duration.as_secs_f64())
    })
}

fn labels<'k>(
    (upstream, backend, check): &'k (&str, String, &str),
) -> [(&'static str, &'k str); 3] {
    [
        ("upstream", upstream),
        ("backend", backend),
        ("check", check),
    ]
}

/// Writes a gauge of the checks that have a value.
fn gauge<V: EncodeGaugeValue>(
    to: &mut FamilyWriter<'_>,
    family: &Family,
    all: &Checks<'_>,
    value: impl Fn(&CheckStatus) -> Option<V>,
) -> fmt::Result {
    let samples = all.iter();
    to.gauges(
        family,
        samples.filter_map(|(key, status)| Some((labels(key), value(status)?))),
    )
}
