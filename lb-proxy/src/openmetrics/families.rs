//! The names of all metrics. They never change.

use super::writer::Family;

// === Server ===

pub(super) static SERVER_READY: Family = Family::new(
    "lb_server_ready",
    "Whether the server should get new connections.",
);
pub(super) static SERVER_ACCEPTED: Family =
    Family::new("lb_server_sessions_accepted", "Connections accepted.");
pub(super) static SERVER_ACTIVE: Family =
    Family::new("lb_server_sessions_active", "Connections that are open.");
pub(super) static SERVER_ENDED: Family = Family::new(
    "lb_server_sessions_ended",
    "Connections that ended, by reason. With those that are open, they add up to those accepted.",
);
pub(super) static SERVER_ACCEPT_ERRORS: Family = Family::new(
    "lb_server_accept_errors",
    "Calls of accept(2) that failed, for one connection or for lack of descriptors or memory.",
);
pub(super) static SERVER_ACCEPT_PAUSES: Family = Family::new(
    "lb_server_accept_pauses",
    "Pauses of accepting because all allowed descriptors or sessions were in use.",
);
pub(super) static SERVER_ATTEMPTS: Family = Family::new(
    "lb_server_connect_attempts",
    "Attempts to connect to a backend.",
);
pub(super) static SERVER_FAILURES: Family = Family::new(
    "lb_server_connect_failures",
    "Attempts to connect that failed or timed out.",
);
pub(super) static SERVER_SHORTAGES: Family = Family::new(
    "lb_server_connect_shortages",
    "Waits of attempts to connect for a descriptor or memory.",
);
pub(super) static SERVER_EJECTIONS: Family =
    Family::new("lb_server_ejections", "Failures that ejected a backend.");
pub(super) static SERVER_PANICS: Family = Family::new(
    "lb_server_panics",
    "Panics of the embedder's code in sessions, in the admin server and before a stop.",
);
pub(super) static SERVER_BYTES: Family = Family::in_bytes(
    "lb_server_relayed",
    "Bytes that the receivers accepted, by direction.",
);
pub(super) static SERVER_DESCRIPTOR_LIMIT: Family = Family::new(
    "lb_server_descriptors_limit",
    "The limit of open descriptors of the process.",
);
pub(super) static SERVER_DESCRIPTORS_IN_USE: Family = Family::new(
    "lb_server_descriptors_in_use",
    "Open descriptors of the process now, those of sessions included.",
);
pub(super) static SERVER_DESCRIPTORS_BESIDE: Family = Family::new(
    "lb_server_descriptors_beside_sessions",
    "Open descriptors without those of sessions, as the budget has them: those open at the bind, and the listening sockets.",
);
pub(super) static SERVER_DESCRIPTORS_RESERVED: Family = Family::new(
    "lb_server_descriptors_reserved",
    "Descriptors reserved for everything but sessions.",
);
pub(super) static SERVER_SESSION_BUDGET: Family = Family::new(
    "lb_server_sessions_budget",
    "Sessions that the process has descriptors for. Accepting pauses when they are open.",
);
pub(super) static SERVER_SESSION_LIMIT: Family = Family::new(
    "lb_server_sessions_limit",
    "Sessions that may be open by configuration. Accepting pauses when they are open.",
);
pub(super) static SERVER_RELOADS: Family =
    Family::new("lb_server_reloads", "Reloads of the server, by result.");
#[cfg(feature = "access-events")]
pub(super) static ACCESS_EVENTS_LOST: Family = Family::new(
    "lb_access_events_lost",
    "Lines of access events that were lost because their writer was too slow or failed.",
);
pub(super) static WORKER_ACCEPTED: Family = Family::new(
    "lb_worker_sessions_accepted",
    "Connections accepted, by worker.",
);
pub(super) static WORKER_ACTIVE: Family = Family::new(
    "lb_worker_sessions_active",
    "Connections that are open, by worker.",
);

// === Listeners ===

pub(super) static LISTENER_ACCEPTED: Family = Family::new(
    "lb_listener_sessions_accepted",
    "Connections accepted, by listener.",
);
pub(super) static LISTENER_ACTIVE: Family = Family::new(
    "lb_listener_sessions_active",
    "Connections that are open, by the listener that accepted them.",
);
pub(super) static LISTENER_ENDED: Family = Family::new(
    "lb_listener_sessions_ended",
    "Connections that ended, by the listener that accepted them and by reason.",
);
pub(super) static LISTENER_PAUSES: Family = Family::new(
    "lb_listener_accept_pauses",
    "Pauses of accepting, by listener and by the limit that caused them.",
);
pub(super) static LISTENER_BYTES: Family = Family::in_bytes(
    "lb_listener_relayed",
    "Bytes that the receivers accepted, by listener and direction.",
);

// === Upstreams ===

pub(super) static UPSTREAM_SESSIONS: Family = Family::new(
    "lb_upstream_sessions",
    "Sessions that needed a backend of the upstream.",
);
pub(super) static UPSTREAM_ACTIVE: Family = Family::new(
    "lb_upstream_sessions_active",
    "Sessions of the upstream that are open, those without a backend yet included.",
);
pub(super) static UPSTREAM_ENDED: Family = Family::new(
    "lb_upstream_sessions_ended",
    "Sessions of the upstream that ended, by reason. With those that are open, they add up to all.",
);
pub(super) static UPSTREAM_NO_BACKEND: Family = Family::new(
    "lb_upstream_no_backend",
    "Sessions of the upstream that ended because they found no backend, by cause. They add up to the ends with the reason no_backend.",
);
pub(super) static UPSTREAM_ATTEMPTS: Family = Family::new(
    "lb_upstream_connect_attempts",
    "Attempts to connect that ended, by outcome.",
);
pub(super) static UPSTREAM_RETRIES: Family = Family::new(
    "lb_upstream_connect_retries",
    "Attempts to connect after a failed attempt of the same session.",
);
pub(super) static UPSTREAM_CONNECT_TIME: Family = Family::in_seconds(
    "lb_upstream_connect_time",
    "From the begin of an attempt to the connection.",
);
pub(super) static UPSTREAM_SESSION_LENGTH: Family = Family::in_seconds(
    "lb_upstream_session_length",
    "From accepting to the end of a session.",
);
pub(super) static UPSTREAM_QUEUE_WAIT: Family = Family::in_seconds(
    "lb_upstream_queue_wait",
    "How long sessions waited in the queue, those that got no backend included.",
);
pub(super) static UPSTREAM_INFO: Family = Family::new(
    "lb_upstream_info",
    "What is known of an upstream besides its name.",
);
pub(super) static UPSTREAM_QUEUED: Family =
    Family::new("lb_upstream_queued", "Sessions that wait in the queue.");
pub(super) static UPSTREAM_QUEUE_CAPACITY: Family = Family::new(
    "lb_upstream_queue_capacity",
    "Sessions that the queue can hold. Absent without a queue.",
);
pub(super) static UPSTREAM_PANIC: Family = Family::new(
    "lb_upstream_panic",
    "1 while a tier ignores health and ejection, because so few of its backends are healthy.",
);
pub(super) static UPSTREAM_PANICS: Family = Family::new(
    "lb_upstream_panics",
    "Panics of the policy of the upstream, and of its active checks.",
);
pub(super) static UPSTREAM_OUTDATED: Family = Family::new(
    "lb_upstream_outdated",
    "1 while the last set of the sources is not in use, because the policy panicked on it.",
);
pub(super) static UPSTREAM_BYTES: Family = Family::in_bytes(
    "lb_upstream_relayed",
    "Bytes that the receivers accepted, by direction. Those of open sessions are included.",
);
pub(super) static UPSTREAM_EJECTIONS: Family = Family::new(
    "lb_upstream_ejections",
    "Failures that ejected a backend of the upstream.",
);
pub(super) static UPSTREAM_FORGIVEN: Family = Family::new(
    "lb_upstream_ejections_forgiven",
    "Ejections that ended before their time, because an outage of the balancer's own link, address or route caused them.",
);
pub(super) static UPSTREAM_HEALTH_CHANGES: Family = Family::new(
    "lb_upstream_health_changes",
    "Changes of the health of backends, by the new health.",
);
pub(super) static UPSTREAM_BACKENDS: Family = Family::new(
    "lb_upstream_backends",
    "Backends, by state. Each is counted in the first state that applies: draining, unhealthy, unchecked, ejected, ready.",
);
pub(super) static UPSTREAM_SET_DIGEST: Family = Family::new(
    "lb_upstream_set_digest",
    "52 bits that are equal on replicas whose upstreams have the same backends with the same settings.",
);
pub(super) static UPSTREAM_TABLE_DIGEST: Family = Family::new(
    "lb_upstream_table_digest",
    "52 bits that are equal on replicas whose hashing policies send every key to the same backend.",
);

// === Backends ===

pub(super) static BACKEND_INFO: Family = Family::new(
    "lb_backend_info",
    "1, with the name, the source, the zone and the priority of the backend.",
);
pub(super) static BACKEND_ACTIVE: Family = Family::new(
    "lb_backend_sessions_active",
    "Sessions that are connected to the backend.",
);
pub(super) static BACKEND_IN_FLIGHT: Family = Family::new(
    "lb_backend_in_flight",
    "Connections in flight as policies see them: sessions and attempts to connect.",
);
pub(super) static BACKEND_MAX_CONNS: Family = Family::new(
    "lb_backend_in_flight_max",
    "The most connections in flight, where they are limited.",
);
pub(super) static BACKEND_ATTEMPTS: Family = Family::new(
    "lb_backend_connect_attempts",
    "Attempts to connect that ended, by outcome. Those that connected are the sessions.",
);
pub(super) static BACKEND_RESETS: Family = Family::new(
    "lb_backend_resets",
    "Sessions that ended because the backend reset its connection.",
);
pub(super) static BACKEND_BYTES: Family = Family::in_bytes(
    "lb_backend_relayed",
    "Bytes that the receivers accepted, by backend and direction. Those of open sessions are included.",
);
pub(super) static BACKEND_CONNECT_TIME: Family = Family::in_seconds(
    "lb_backend_connect_time_peak_ewma",
    "The decaying peak (peak EWMA) of the times that sessions took to connect; towards 0 without sessions.",
);
pub(super) static BACKEND_WEIGHT: Family = Family::new(
    "lb_backend_weight",
    "The weight in force, overrides included.",
);
pub(super) static BACKEND_HEALTHY: Family = Family::new(
    "lb_backend_healthy",
    "Whether the last active check found the backend healthy, or there is none.",
);
pub(super) static BACKEND_EJECTED: Family = Family::new(
    "lb_backend_ejected",
    "Whether failures have ejected the backend for now.",
);
pub(super) static BACKEND_DRAINING: Family = Family::new(
    "lb_backend_draining",
    "Whether the backend takes no new connections: its source or an override drains it, or its weight is 0.",
);
pub(super) static BACKEND_FAILS: Family = Family::new(
    "lb_backend_fails",
    "Failures to connect that are not forgiven yet.",
);
pub(super) static BACKEND_EJECTIONS: Family =
    Family::new("lb_backend_ejections", "Failures that ejected the backend.");
pub(super) static BACKEND_HEALTH_CHANGES: Family = Family::new(
    "lb_backend_health_changes",
    "Changes of the health of the backend, by the new health.",
);

// === Active checks ===

pub(super) static CHECK_UP: Family = Family::new(
    "lb_check_up",
    "Whether the check has found that the backend works.",
);
pub(super) static CHECK_PROBES: Family =
    Family::new("lb_check_probes", "Probes that ended, by outcome.");
pub(super) static CHECK_TRANSITIONS: Family = Family::new(
    "lb_check_transitions",
    "How often the check went from up to down or back.",
);
pub(super) static CHECK_DURATION: Family =
    Family::in_seconds("lb_check_last_duration", "How long the last probe took.");

// === Sources ===

pub(super) static SOURCE_BACKENDS: Family = Family::new(
    "lb_source_backends",
    "Backends in the last set of the source.",
);
pub(super) static SOURCE_UPDATES: Family = Family::new(
    "lb_source_updates",
    "Sets that the source has yielded, equal ones included: successful look-ups, lists and events.",
);
pub(super) static SOURCE_FAILURES: Family = Family::new(
    "lb_source_failures",
    "Attempts of the source that failed: look-ups, lists and watches. Answers that there is nothing count.",
);
pub(super) static SOURCE_PANICS: Family = Family::new(
    "lb_source_panics",
    "Failures of the source that were panics of its code.",
);
pub(super) static SOURCE_AGE: Family = Family::in_seconds(
    "lb_source_age",
    "Time since the last answer that decided the set of the source. It grows while nothing changes.",
);
pub(super) static SOURCE_STALE: Family = Family::in_seconds(
    "lb_source_stale",
    "Time for which the source has been failing. 0 while it does not fail.",
);
pub(super) static SOURCE_RESTORED: Family = Family::new(
    "lb_source_restored",
    "Whether the set is that of a saved state, which no answer has replaced yet.",
);
pub(super) static SOURCE_NEXT_ATTEMPT: Family = Family::in_seconds(
    "lb_source_next_attempt",
    "Time until the source is asked again, after the end of its last watch. Absent while a watch is open.",
);
pub(super) static SOURCE_EXPIRED: Family = Family::new(
    "lb_source_expired",
    "Whether the last set was dropped because the source has failed for too long.",
);

// === Sockets to backends ===

pub(super) static SOCKET_SAMPLES: Family = Family::new(
    "lb_upstream_socket_samples",
    "Sockets to backends that this scrape has read.",
);
pub(super) static SOCKET_RTT: Family = Family::in_seconds(
    "lb_upstream_socket_rtt",
    "The smoothed round-trip times of the sockets that were read: their median, 90th percentile and maximum.",
);
pub(super) static SOCKET_SENT: Family = Family::new(
    "lb_upstream_socket_sent_segments",
    "Segments that the sockets that were read have sent since they were connected.",
);
pub(super) static SOCKET_RETRANSMITTED: Family = Family::new(
    "lb_upstream_socket_retransmitted_segments",
    "Segments that the sockets that were read have retransmitted since they were connected.",
);
pub(super) static SOCKET_UNANSWERED: Family = Family::new(
    "lb_upstream_socket_unanswered",
    "Sockets among those that were read whose backend does not answer: a segment was retransmitted after a time-out.",
);
