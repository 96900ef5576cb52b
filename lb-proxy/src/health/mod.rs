//! Active health checks: probes that find out whether backends work, before a session does.
//!
//! [`UpstreamBuilder::health_check`](crate::UpstreamBuilder::health_check) adds a check to an upstream. While a server
//! follows the upstream, every backend is probed every [`interval`](CheckSettings::interval). All probes of a server run on
//! one thread, `lb-probes`, which exists while there is a check: no session shares it, whatever the
//! [`Workers`](crate::Workers) are. Its runtime has a clock of its own, so probes do not follow a test's paused time.
//!
//! ```
//! use std::time::Duration;
//!
//! use lb_proxy::Upstream;
//! use lb_proxy::health::{CheckSettings, HttpCheck};
//! use lb_proxy::lb_core::Snapshot;
//! use lb_proxy::lb_discovery::Static;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let nodes = Static::new(Snapshot::try_from_backends(["10.0.0.1:80", "10.0.0.2:80"])?);
//! let often = CheckSettings::default().interval(Duration::from_secs(1)).fall(3);
//! let upstream = Upstream::builder("nodes")
//!     .discovery(nodes)
//!     .health_check(HttpCheck::try_new("/healthz")?, often)
//!     .build()?;
//! # assert!(upstream.health_checks().is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! [`Upstream::events`](crate::Upstream::events) reports each change of a backend's health.
//!
//! | check | passes if |
//! |---|---|
//! | [`TcpCheck`] | the backend accepts a connection |
//! | [`SendExpect`] | the answers to what is sent contain a text, bytes or a match of a regular expression (feature `health-regex`) |
//! | [`HttpCheck`] | the answer to a `GET` has an expected status |
//! | [`TlsCheck`] (feature `health-tls`) | a TLS handshake completes |
//! | [`NodePortCheck`] | kube-proxy says that the node has endpoints; sets the weight |
//! | [`AgentCheck`] | an agent says `up`; sets weight, limit and drain |
//! | a [`HealthCheck`] of the embedder | it says so |
//!
//! An upstream may have several checks, with settings of their own. A backend is healthy if no check has found it down.
//! [`Upstream::health_checks`](crate::Upstream::health_checks) returns what they found. A check that a reload adds begins
//! without a result; a backend keeps its health until the check has had an answer.
//!
//! # What a result does
//!
//! - **Sessions.** A backend that is down gets no new sessions.
//!   [`on_unhealthy`](crate::UpstreamBuilder::on_unhealthy) sets what happens to its open ones.
//! - **Panic.** If fewer backends of a tier are healthy than
//!   [`panic_threshold`](field@lb_core::BalancerConfig::panic_threshold) says, sessions go to all of them. Without a threshold an
//!   upstream whose backends are all down has no backend for a session, as in nginx and HAProxy.
//! - **Outlier detection.** A probe that passes ends an ejection by
//!   [`outlier_detection`](field@lb_core::BalancerConfig::outlier_detection), as in Envoy. It forgives no failed connection: as
//!   many of them in a row as before eject the backend again. An ejection by a
//!   [`fail_limit`](field@lb_core::Backend::fail_limit) lasts as long as it would without checks, as in nginx.
//! - **Slow start.** A backend that was down starts slowly, and so does one that joins later, from its first session on. A
//!   backend that was there when the process started does not.
//!
//! # What survives
//!
//! The state of a check belongs to the backend, by its address. It survives updates of the sources and reloads, as long as
//! the upstream lives. Another [instance](field@lb_core::Backend::instance) at the address begins with the
//! [`InitialState`]. A removed backend is no longer probed: a probe under way is dropped, and what it would have found with
//! it. A backend that drains is probed.
//!
//! Upstreams that share an address probe it separately, because their checks and thresholds may differ.
//!
#![cfg_attr(feature = "health-tls", doc = "[`TlsCheck`]: TlsCheck")]
#![cfg_attr(not(feature = "health-tls"), doc = "[`TlsCheck`]: crate#features")]

mod agent;
mod agent_line;
mod check;
mod error;
mod expect;
mod http;
mod http_answer;
mod machine;
mod node_port;
mod probe;
mod probe_stream;
mod send_expect;
mod settings;
mod status;
mod tcp;
#[cfg(feature = "health-tls")]
mod tls;

pub use agent::AgentCheck;
pub use check::{CheckReport, HealthCheck, ReportedAdmin, ReportedHealth};
pub use error::{CheckError, CheckSettingsError};
pub use expect::{Expect, ExpectError};
pub use http::{HttpCheck, HttpCheckError};
pub use node_port::NodePortCheck;
pub use probe::Probe;
pub use probe_stream::ProbeStream;
pub use send_expect::SendExpect;
pub use settings::{CheckSettings, InitialState, ProbeHeader};
pub use status::{CheckState, CheckStatus, LastProbe, ProbeOutcome};
pub use tcp::TcpCheck;
#[cfg(feature = "health-tls")]
pub use tls::{TlsCheck, TlsCheckError};

pub(crate) use machine::Machine;
pub(crate) use probe::{ProbeSource, Unmatched};
pub(crate) use settings::SHORTEST_INTERVAL;
