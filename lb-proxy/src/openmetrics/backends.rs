//! The metrics of each backend.

use std::fmt;

use lb_core::{BackendStatus, Health};
use prometheus_client::encoding::EncodeGaugeValue;

use super::families as f;
use super::view::UpstreamView;
use super::writer::{Family, FamilyWriter};
use crate::metrics::{BackendMetrics, UpstreamMetrics};

/// The upstream and the backend of a series.
type Labels<'a> = [(&'static str, &'a str); 2];

/// A series with one more label.
type Labelled<'a> = [(&'static str, &'a str); 3];

pub(super) fn write(
    to: &mut FamilyWriter<'_>,
    counted: &[UpstreamMetrics],
    views: &[UpstreamView],
) -> fmt::Result {
    write_counters(to, &Named::counted(counted))?;
    write_status(to, &Named::members(views))
}

/// A backend with the names that its labels show.
struct Named<'a, T> {
    upstream: &'a str,
    backend: String,
    value: T,
}

impl<T> Named<'_, T> {
    fn labels(&self) -> Labels<'_> {
        [("upstream", self.upstream), ("backend", &self.backend)]
    }

    fn with<'s>(&'s self, name: &'static str, value: &'s str) -> Labelled<'s> {
        let [upstream, backend] = self.labels();
        [upstream, backend, (name, value)]
    }
}

impl<'a> Named<'a, &'a BackendMetrics> {
    fn counted(upstreams: &'a [UpstreamMetrics]) -> Vec<Self> {
        let all = upstreams.iter().flat_map(|upstream| {
            let backends = upstream.backends.iter();
            backends.map(|backend| Self {
                upstream: &upstream.upstream,
                backend: backend.backend.to_string(),
                value: backend,
            })
        });
        all.collect()
    }
}

impl<'a> Named<'a, BackendStatus<'a>> {
    fn members(views: &'a [UpstreamView]) -> Vec<Self> {
        let all = views.iter().flat_map(|view| {
            view.set.status(view.now).map(|status| Self {
                upstream: &view.name,
                backend: status.backend.endpoint().to_string(),
                value: status,
            })
        });
        all.collect()
    }
}

fn write_counters(to: &mut FamilyWriter<'_>, all: &[Named<'_, &BackendMetrics>]) -> fmt::Result {
    to.gauges(
        &f::BACKEND_ACTIVE,
        all.iter().map(|one| (one.labels(), one.value.active)),
    )?;
    to.counters(
        &f::BACKEND_ATTEMPTS,
        all.iter().flat_map(|one| {
            let attempts = one.value.attempts.iter();
            attempts.map(|(outcome, n)| (one.with("outcome", outcome), n))
        }),
    )?;
    to.counters(
        &f::BACKEND_RESETS,
        all.iter().map(|one| (one.labels(), one.value.resets)),
    )?;
    to.counters(
        &f::BACKEND_BYTES,
        all.iter().flat_map(|one| {
            let traffic = one.value.traffic.iter();
            traffic.map(|(direction, n)| (one.with("direction", direction), n))
        }),
    )?;
    to.counters(
        &f::BACKEND_EJECTIONS,
        all.iter().map(|one| (one.labels(), one.value.ejections)),
    )?;
    to.counters(
        &f::BACKEND_HEALTH_CHANGES,
        all.iter().flat_map(|one| {
            let changes = [
                ("healthy", one.value.recoveries),
                ("unhealthy", one.value.losses),
            ];
            changes.map(|(now, n)| (one.with("to", now), n))
        }),
    )
}

fn write_status(to: &mut FamilyWriter<'_>, all: &[Named<'_, BackendStatus<'_>>]) -> fmt::Result {
    write_info(to, all)?;
    gauge(to, &f::BACKEND_IN_FLIGHT, all, |status| {
        Some(status.in_flight)
    })?;
    gauge(to, &f::BACKEND_MAX_CONNS, all, |status| {
        status.backend.max_conns.map(u32::from)
    })?;
    gauge(to, &f::BACKEND_CONNECT_TIME, all, |status| {
        status.connect_time.map(|time| time.as_secs_f64())
    })?;
    gauge(to, &f::BACKEND_WEIGHT, all, |status| {
        Some(u32::from(status.backend.weight.get()))
    })?;
    gauge(to, &f::BACKEND_HEALTHY, all, |status| {
        Some(u32::from(status.health == Health::Healthy))
    })?;
    gauge(to, &f::BACKEND_EJECTED, all, |status| {
        Some(u32::from(status.ejected_until.is_some()))
    })?;
    gauge(to, &f::BACKEND_DRAINING, all, |status| {
        Some(u32::from(!status.backend.takes_connections()))
    })?;
    gauge(to, &f::BACKEND_FAILS, all, |status| Some(status.fails))
}

/// Writes a gauge of the backends that have a value.
fn gauge<V: EncodeGaugeValue>(
    to: &mut FamilyWriter<'_>,
    family: &Family,
    all: &[Named<'_, BackendStatus<'_>>],
    value: impl Fn(&BackendStatus<'_>) -> Option<V>,
) -> fmt::Result {
    let samples = all.iter();
    to.gauges(
        family,
        samples.filter_map(|one| Some((one.labels(), value(&one.value)?))),
    )
}

fn write_info(to: &mut FamilyWriter<'_>, all: &[Named<'_, BackendStatus<'_>>]) -> fmt::Result {
    let samples = all.iter().map(|one| {
        let backend = one.value.backend;
        let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().unwrap_or("").to_owned();
        let labels = [
            ("upstream", one.upstream.to_owned()),
            ("backend", one.backend.clone()),
            ("name", text(&backend.name)),
            ("source", text(&backend.source)),
            ("zone", text(&backend.zone)),
            ("priority", backend.priority.get().to_string()),
        ];
        (labels, 1_u32)
    });
    to.gauges(&f::BACKEND_INFO, samples)
}
