//! The metrics of each source of backends.

use std::collections::BTreeMap;
use std::fmt;

use lb_discovery::SourceStatus;
use prometheus_client::encoding::EncodeGaugeValue;

use super::families as f;
use super::view::UpstreamView;
use super::writer::{Family, FamilyWriter};

/// The sources by upstream and label. Of several sources of an upstream with one label the first is shown.
type Sources<'a> = BTreeMap<(&'a str, &'a str), &'a SourceStatus>;

pub(super) fn write(to: &mut FamilyWriter<'_>, views: &[UpstreamView]) -> fmt::Result {
    let mut all = Sources::new();
    for view in views {
        for source in &view.discovery.sources {
            all.entry((&view.name, &source.label)).or_insert(source);
        }
    }
    gauge(to, &f::SOURCE_BACKENDS, &all, |source| {
        Some(source.backends)
    })?;
    counter(to, &f::SOURCE_UPDATES, &all, |source| source.updates)?;
    counter(to, &f::SOURCE_FAILURES, &all, |source| source.failures)?;
    counter(to, &f::SOURCE_PANICS, &all, |source| source.panics)?;
    gauge(to, &f::SOURCE_AGE, &all, |source| {
        source.last_success.map(|age| age.as_secs_f64())
    })?;
    gauge(to, &f::SOURCE_STALE, &all, |source| {
        Some(source.stale_for.unwrap_or_default().as_secs_f64())
    })?;
    gauge(to, &f::SOURCE_RESTORED, &all, |source| {
        Some(u32::from(source.is_restored))
    })?;
    gauge(to, &f::SOURCE_NEXT_ATTEMPT, &all, |source| {
        source.next_attempt.map(|left| left.as_secs_f64())
    })?;
    gauge(to, &f::SOURCE_EXPIRED, &all, |source| {
        Some(u32::from(source.expired))
    })
}

const fn labels<'a>((upstream, source): (&'a str, &'a str)) -> [(&'static str, &'a str); 2] {
    [("upstream", upstream), ("source", source)]
}

fn counter(
    to: &mut FamilyWriter<'_>,
    family: &Family,
    all: &Sources<'_>,
    value: impl Fn(&SourceStatus) -> u64,
) -> fmt::Result {
    to.counters(
        family,
        all.iter()
            .map(|(&names, &source)| (labels(names), value(source))),
    )
}

/// Writes a gauge of the sources that have a value.
fn gauge<V: EncodeGaugeValue>(
    to: &mut FamilyWriter<'_>,
    family: &Family,
    all: &Sources<'_>,
    value: impl Fn(&SourceStatus) -> Option<V>,
) -> fmt::Result {
    let samples = all.iter();
    to.gauges(
        family,
        samples.filter_map(|(&names, &source)| Some((labels(names), value(source)?))),
    )
}
