//! The answers that lb-proxy has no public types for. Fields that a subcommand does not show are left out.

use lb_proxy::admin::status::CheckStateReport;
use serde::Deserialize;

/// The answer of `/explain`.
#[derive(Debug, Deserialize)]
pub(super) struct ExplainAnswer {
    /// With a listener: what decided where the connection goes, in order.
    #[serde(default)]
    pub(super) route: Vec<RouteStepReport>,
    /// With a listener: why it is refused.
    #[serde(default)]
    pub(super) reason: Option<String>,
    /// With a listener that answers itself: how many bytes the client gets.
    #[serde(default)]
    pub(super) bytes: Option<u64>,
    /// Absent unless it goes to an upstream, as the fields below.
    #[serde(default)]
    pub(super) upstream: Option<String>,
    #[serde(default)]
    pub(super) policy: Option<String>,
    /// Whether the policy hashes a key.
    #[serde(default)]
    pub(super) uses_key: bool,
    /// The hash key in hexadecimal digits. Absent without a client.
    #[serde(default)]
    pub(super) key: Option<String>,
    /// The hash key as text, if it is printable.
    #[serde(default)]
    pub(super) key_text: Option<String>,
    /// Connections that wait.
    #[serde(default)]
    pub(super) queued: usize,
    #[serde(default)]
    pub(super) chosen: Option<String>,
    #[serde(default)]
    pub(super) backends: Vec<ExplainedReport>,
}

/// A step of a route.
#[derive(Debug, Deserialize)]
pub(super) struct RouteStepReport {
    pub(super) listener: String,
    /// The label of the listener or its virtual server.
    #[serde(default)]
    pub(super) server: Option<String>,
    pub(super) by: String,
    pub(super) detail: String,
}

/// A backend in it.
#[derive(Debug, Deserialize)]
pub(super) struct ExplainedReport {
    pub(super) endpoint: String,
    #[serde(default)]
    pub(super) name: Option<String>,
    pub(super) verdict: String,
    #[serde(default)]
    pub(super) ejected_ms: Option<u64>,
    #[serde(default)]
    pub(super) checks: Vec<CheckStateReport>,
    #[serde(default)]
    pub(super) chosen: bool,
    pub(super) priority: u8,
    pub(super) weight: u16,
    pub(super) in_flight: u32,
    pub(super) tier_percent: u8,
    #[serde(default)]
    pub(super) panic: bool,
    #[serde(default)]
    pub(super) slow_start_percent: Option<u8>,
}

/// The answer of `/sessions`.
#[derive(Debug, Deserialize)]
pub(super) struct SessionsAnswer {
    pub(super) tracked: bool,
    /// Sessions that meet the conditions, those above the limit included.
    pub(super) matched: usize,
    pub(super) sessions: Vec<ListedSession>,
}

/// A session in it.
#[derive(Debug, Deserialize)]
pub(super) struct ListedSession {
    pub(super) id: u64,
    pub(super) phase: String,
    pub(super) client: String,
    #[serde(default)]
    pub(super) upstream: Option<String>,
    #[serde(default)]
    pub(super) backend: Option<String>,
    #[serde(default)]
    pub(super) server_name: Option<String>,
    pub(super) age_ms: u64,
    pub(super) bytes_to_backend: u64,
    pub(super) bytes_to_client: u64,
    /// What the kernel reports of the backend's socket, if it was asked for.
    #[serde(default)]
    pub(super) tcp: Option<TcpReport>,
}

/// What the kernel reports of a socket.
#[derive(Debug, Deserialize)]
pub(super) struct TcpReport {
    pub(super) rtt_us: u64,
    pub(super) sent: u32,
    pub(super) retransmitted: u32,
}

/// The answer of a request that sets something of a backend.
#[derive(Debug, Deserialize)]
pub(super) struct OverridesAnswer {
    pub(super) backends: Vec<ChangedBackend>,
}

/// A backend in it.
#[derive(Debug, Deserialize)]
pub(super) struct ChangedBackend {
    pub(super) upstream: String,
    pub(super) backend: String,
    /// Whether the request changed something.
    pub(super) changed: bool,
    /// Nothing while the backend is absent.
    #[serde(default)]
    pub(super) now: Option<InForce>,
}

/// What is in force of a backend.
#[derive(Debug, Deserialize)]
pub(super) struct InForce {
    pub(super) admin: String,
    pub(super) weight: u16,
    #[serde(default)]
    pub(super) max_conns: Option<u32>,
}

/// The answer of `/close`.
#[derive(Debug, Deserialize)]
pub(super) struct CloseAnswer {
    pub(super) closed: usize,
    /// How many of them are reset at once.
    #[serde(default)]
    pub(super) reset: usize,
    /// How many others were closing before the request.
    #[serde(default)]
    pub(super) closing: usize,
}

/// The answer of `/log_level`.
#[derive(Debug, Deserialize)]
pub(super) struct LogLevelAnswer {
    pub(super) level: String,
    /// The level before a request that sets it.
    #[serde(default)]
    pub(super) before: Option<String>,
    /// What has set the level, if not the configuration.
    #[serde(default)]
    pub(super) by: Option<String>,
}

/// The answer of `/config`.
#[derive(Debug, Deserialize)]
pub(super) struct ConfigAnswer {
    pub(super) lines: Vec<lb_proxy::admin::ConfigLine>,
}
