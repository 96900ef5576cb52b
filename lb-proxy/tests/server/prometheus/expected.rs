//! Figures that Prometheus must have scraped, computed from what the clients counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use test_support::proxy::RunningProxy;

use super::clients::ClientTotals;

/// The listeners, in their order.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// In front of a backend that is dead, one that leaves, and one that resets some connections.
    Chaos,
    /// In front of one backend that works.
    Clean,
    /// The same with a short idle time-out.
    Idle,
    /// In front of dead backends.
    Lost,
    /// In front of a backend that works and one that is ejected.
    Ejecting,
    /// In front of a backend that works and one whose health check fails.
    Checked,
    /// Admits no client.
    Denied,
}

pub(super) const PLACES: usize = 7;

/// A query and its value.
pub(super) type Expected = (String, u64);

fn of(seen: &[Arc<ClientTotals>; PLACES], place: Place) -> &ClientTotals {
    &seen[place as usize]
}

/// The sums over the whole server.
pub(super) fn sums(proxy: &RunningProxy, seen: &[Arc<ClientTotals>; PLACES]) -> Vec<Expected> {
    let metrics = proxy.metrics();
    let connections: u64 = seen.iter().map(|one| one.connections.load(Relaxed)).sum();
    let denied = of(seen, Place::Denied).connections.load(Relaxed);
    let of_upstreams = connections - denied;
    let named = [
        ("lb_server_sessions_accepted_total", connections),
        ("sum(lb_server_sessions_ended_total)", connections),
        ("sum(lb_listener_sessions_ended_total)", connections),
        ("sum(lb_upstream_sessions_ended_total)", of_upstreams),
        (
            "sum(lb_upstream_session_length_seconds_count)",
            of_upstreams,
        ),
        // With the last values of the backend that left.
        (
            "sum(max_over_time(lb_backend_relayed_bytes_total{direction=\"to_client\"}[1h]))",
            metrics.bytes_to_clients,
        ),
        (
            "sum(lb_upstream_connect_attempts_total)",
            metrics.connect_attempts,
        ),
        (
            "sum(lb_upstream_connect_attempts_total{outcome=\"failed\"})",
            metrics.connect_failures,
        ),
        ("lb_server_reloads_total{result=\"applied\"}", 1),
        ("lb_server_reloads_total{result=\"failed\"}", 1),
    ];
    named.map(|(query, value)| (query.to_owned(), value)).into()
}

/// What the clients of each listener counted, by the reason that the proxy has for it.
pub(super) fn endings(addrs: &[SocketAddr], seen: &[Arc<ClientTotals>; PLACES]) -> Vec<Expected> {
    let [chaos, clean] = [Place::Chaos, Place::Clean].map(|place| of(seen, place));
    let reasons: [(Place, &str, &AtomicU64); 10] = [
        (Place::Chaos, "finished", &chaos.finished),
        (Place::Chaos, "backend_reset", &chaos.resets),
        (Place::Clean, "client_reset", &clean.own_resets),
        (Place::Clean, "finished", &clean.own_closes),
        (
            Place::Idle,
            "idle_timeout",
            &of(seen, Place::Idle).timed_out,
        ),
        (Place::Lost, "no_backend", &of(seen, Place::Lost).refused),
        (
            Place::Ejecting,
            "finished",
            &of(seen, Place::Ejecting).own_closes,
        ),
        (
            Place::Checked,
            "finished",
            &of(seen, Place::Checked).own_closes,
        ),
        (
            Place::Denied,
            "access_denied",
            &of(seen, Place::Denied).refused,
        ),
        (Place::Chaos, "", &chaos.connections),
    ];
    let mut expected: Vec<Expected> = reasons
        .iter()
        .map(|(place, reason, count)| {
            let listener = addrs[*place as usize];
            let query = match *reason {
                "" => format!("lb_listener_sessions_accepted_total{{listener=\"{listener}\"}}"),
                reason => format!(
                    "lb_listener_sessions_ended_total{{listener=\"{listener}\",reason=\"{reason}\"}}"
                ),
            };
            (query, count.load(Relaxed))
        })
        .collect();
    let listener = addrs[Place::Chaos as usize];
    // A client that leaves does not hear all that its kernel has accepted.
    let heard = format!(
        "lb_listener_relayed_bytes_total{{listener=\"{listener}\",direction=\"to_client\"}}"
    );
    expected.push((heard, chaos.heard.load(Relaxed)));
    expected
}

/// Ejections, the failing check, and why sessions found no backend.
pub(super) fn failures(
    proxy: &RunningProxy,
    sick: SocketAddr,
    seen: &[Arc<ClientTotals>; PLACES],
) -> Vec<Expected> {
    let ejections = proxy.metrics().ejections;
    let refused = of(seen, Place::Lost).refused.load(Relaxed);
    let of_check = format!("{{upstream=\"checked\",backend=\"{sick}\",check=\"tcp\"}}");
    vec![
        ("sum(lb_server_ejections_total)".to_owned(), ejections),
        ("sum(lb_upstream_ejections_total)".to_owned(), ejections),
        ("sum(lb_backend_ejections_total)".to_owned(), ejections),
        (
            "sum(lb_upstream_no_backend_total{upstream=\"lost\"})".to_owned(),
            refused,
        ),
        ("sum(lb_upstream_no_backend_total)".to_owned(), refused),
        (
            "lb_upstream_health_changes_total{upstream=\"checked\",to=\"unhealthy\"}".to_owned(),
            1,
        ),
        (
            "lb_upstream_backends{upstream=\"checked\",state=\"unhealthy\"}".to_owned(),
            1,
        ),
        (format!("lb_check_up{of_check}"), 0),
    ]
}
