//! A TCP load balancer to embed.
//!
//! A [`Listener`] accepts connections and sends each to a backend of its [`Upstream`]. The upstream follows its sources
//! (fixed lists, DNS, Kubernetes, a handle in the program) by itself. A [`Proxy`] holds the listeners. Binding it returns a
//! [`Server`], which runs on the embedder's Tokio runtime until it is drained.
//!
//! ```no_run
//! use lb_proxy::lb_core::policy::WeightedRoundRobin;
//! use lb_proxy::lb_core::Snapshot;
//! use lb_proxy::lb_discovery::Static;
//! use lb_proxy::{Proxy, Upstream};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let nodes = ["10.0.0.1:446", "10.0.0.2:446", "10.0.0.3:446"];
//!     let echo = Upstream::builder("echo")
//!         .discovery(Static::new(Snapshot::try_from_backends(nodes)?))
//!         .policy(WeightedRoundRobin::new())
//!         .build()?;
//!     let proxy = Proxy::builder().listen("[::]:446".parse()?, &echo).build()?;
//!     let server = proxy.bind().await?;
//!     let interrupted = async { drop(tokio::signal::ctrl_c().await) };
//!     let report = server.run(interrupted).await;
//!     println!("drained: {} sessions ended, {} were cut off", report.completed, report.aborted);
//!     Ok(())
//! }
//! ```
//!
//! # I want to …
//!
//! | I want to | use |
//! |---|---|
//! | balance a fixed list, DNS names, pods, a file, a list of my program | [`Static`](lb_discovery::Static), [`Dns`], [`kubernetes`], [`File`], [`Manual`](lb_discovery::Manual) with [`UpstreamBuilder::discovery`], several times for a union |
//! | bring a source of my own | [`Lookup`](lb_discovery::Lookup) if it has to be asked, [`Source`](lb_discovery::Source) if it is told |
//! | choose a policy, or bring one | [`lb_core::policy`], [`lb_core::Policy`]; [`UpstreamBuilder::policy`] |
//! | send a user to the same backend again | a hashing policy and [`UpstreamBuilder::hash_key`] |
//! | connect by myself, or balance requests | [`Pool`]; [`Upstream::connect`]; [`Pool::balance`] of the feature `tower` for HTTP clients |
//! | end TLS in front, or speak SOCKS | [`Upstream::connect`] and [`Relay::run_streams`] |
//! | choose the upstream by SNI, client or a function | [`Listener::server_names`], [`Listener::virtual_servers`], [`Listener::route`] |
//! | know the client behind another proxy, or pass it on | [`ProxyProtocol`](proxy_protocol::ProxyProtocol), [`Listener::send_proxy`] |
//! | find dead backends before clients do | [`UpstreamBuilder::health_check`] |
//! | decide what failures eject | [`UpstreamBuilder::fail_limit`], [`lb_core::OutlierDetection`] |
//! | limit connections | [`Limits`], [`Listener::limit_clients`], [`max_conns`](field@lb_core::Backend::max_conns) with [`UpstreamBuilder::queue`] |
//! | log, count or refuse sessions | [`Hooks`], [`TracingEvents`](events::TracingEvents), [`events::JsonEvents`] |
//! | react to ejections, health and memberships | [`Upstream::events`] |
//! | have metrics, a page, control at run time | [`openmetrics`], [`admin`], [`Handle`] |
//! | read the settings from a file | [`settings_file`] |
//! | drain or weigh a backend by hand | [`Upstream::set_override`] |
//! | change the configuration without losing a session | [`Handle::reload`] |
//! | stop gracefully, or when a token is cancelled | [`Server::run`], [`ProxyBuilder::drain_timeout`], [`Handle::watch_readiness`] |
//! | take a socket that is open | [`Listener::from_tokio`], [`Listener::from_std`], [`Listener::inherit`] |
//! | know why a client got this backend | [`Upstream::explain`] |
//! | test my policy, my hooks | `lb_core::test_util` and the constructors in [`events`], with the features `test-util` |
//!
//! `examples/embed` of the repository has a small program for most of these.
//!
//! # A session
//!
//! 1. **Admit.** The [`Limits`] of the proxy and the listener apply first; by default a connection above them waits in the
//!    kernel's queue. [`Access`](access::Access), the [`ClientZone`](access::ClientZone)s and the [`Hooks`] then admit the
//!    connection or refuse it. If a preread [names the client](first_bytes::Preread::names_client), these come after the
//!    last such one.
//! 2. **Preread.** A [`Preread`](first_bytes::Preread), if the listener has one, parses the first bytes: the client's address
//!    ([`ProxyProtocol`](proxy_protocol::ProxyProtocol)), the server name that TLS requests
//!    ([`ClientHelloReader`](client_hello::ClientHelloReader)).
//! 3. **Choose.** The name chooses a [virtual server](routing::VirtualServers), if the listener has some: its settings
//!    apply from here on. Its [server names](Listener::server_names) or its [route](Listener::route) choose the upstream.
//!    A route may also [answer](routing::RouteAction::Respond) the client, refuse it, wait for a look-up, or
//!    [pass](routing::RouteAction::Pass) the connection to another listener, where the session begins again.
//! 4. **Pick.** The policy picks a backend. The pick counts as a connection in flight until the session ends. If all
//!    backends are full the session waits in the upstream's [`Queue`](balancing::Queue), if it has one.
//! 5. **Connect.** The session connects to the backend within [`Timeouts::connect`]. A failure counts against the backend,
//!    and the session picks another one, none twice, within [`Retry`]. A failure of this machine (no descriptor, no source
//!    port) counts against no backend. A client passes through at most 16 listeners of one proxy: after that, the session
//!    does not connect to an address that leads back to a listener.
//! 6. **Relay.** A FIN ends one direction and leaves the other open. A reset is forwarded as a reset, so a truncated stream
//!    never looks complete. After [`Timeouts::idle`] or [`Timeouts::first_byte`] of silence both sides are ended. After
//!    [`Timeouts::half_closed`] the side that was still open is reset. [`Timeouts::max_age`] ends a session even if bytes
//!    move. Acknowledged bytes are delivered before a reset, as long as the reader's kernel answers within
//!    [`Timeouts::idle`] and accepts some within max(`idle`, 60 s). Without `idle` both times are 60 s. A
//!    [`Bandwidth`](settings::Bandwidth) limits how fast bytes move.
//! 7. **Close.** A client that gets no service is reset, or closed as [`OnRefusal`](settings::OnRefusal) says. A client that closes early frees
//!    everything that its session holds. The [`Summary`](events::Summary) reports to hooks what happened.
//!
//! An idle session holds two sockets and about 2.3 KiB, but no buffer and no pipe. A direction to a receiver that does not
//! read holds up to 64 KiB, or in a long transfer a pipe with up to 1 MiB, and reads no more: the sender has to wait.
//!
//! # What a relay costs
//!
//! Long transfers use splice(2) if the system supports it ([`Splice`](settings::Splice)). All other bytes go through one buffer of the worker.
//! There are at most 1024 pipes, and they take at most an eighth of the descriptors; a transfer without a pipe is copied.
//! [`Relay`] is the relay alone, for programs that accept and connect by themselves.
//!
//! `benches/README.md` of the repository has figures, and the commands that print them.
//!
//! # Without a server
//!
//! A [`Pool`] is an upstream that a task follows, for programs that connect by themselves: it picks, and gets the outcome
//! reported. [`Upstream::connect`] connects to a backend as a session does, with everything but the client: retries, blame,
//! the queue, a PROXY header, the source address. [`Relay::run_to`] relays between a socket and such a connection as fast as
//! a session, [`Relay::run_streams`] between any two streams, such as those of TLS.
//!
//! # Unix sockets
//!
//! [`Listener::unix`] listens on a path, and [`Backend::unix`](lb_core::Backend::unix) is a backend at one. Wherever an
//! address is expected, a [key](lb_core::Endpoint::unix_key) stands for the path; logs, hooks and
//! [`Upstream::explain`] show the path. A unix socket has neither a reset, so a truncated stream ends there, nor keepalive
//! probes. What was written to it stays readable after its close, so nothing has to be waited for.
//!
//! # What is reported
//!
//! [`Handle::metrics`] returns counters. [`Upstream::backends`] and [`Upstream::discovery`] return the state of backends and
//! sources. `tracing` logs events: membership at `info`, ejections and shortages at `warn`, single connections at `debug`.
//!
//! With [`ProxyBuilder::track_sessions`], [`Handle::sessions`] lists live sessions, and [`Handle::close_sessions`] closes those of
//! a backend, a client or any other [filter](reports::SessionFilter).
//!
//! [`Hooks`] observe every session. Ready to use are [`TracingEvents`](events::TracingEvents), one `tracing` event a session under the
//! target [`ACCESS_TARGET`](events::ACCESS_TARGET), and with the feature `access-events` [`events::JsonEvents`], one line of JSON a session.
//!
//! Clients without service are logged under the target [`FAILURES_TARGET`](events::FAILURES_TARGET), by listener or upstream and reason: the first
//! three of a kind one by one, then a count at most every ten seconds, and the remaining counts at the end. The level is
//! `error` if an upstream has no backend for them. It is `warn` if access rules, limits, first bytes or hooks refuse them,
//! if attempts to connect fail, if a backend resets them, or if accepting pauses. Text from outside is
//! [escaped](lb_core::Escaped) in messages.
//!
//! # Panics of your code
//!
//! Hooks, prereads, functions, policies, sources and health checks are the embedder's code. If one panics, nothing else
//! stops:
//!
//! | panics | ends | goes on |
//! |---|---|---|
//! | what a description asks while it is built: [`Hooks::reads_first_bytes`], [`Preread::timeout`](first_bytes::Preread::timeout), a policy's name and settings, a source's label, identity and parts; a policy that compiles a [fixed](UpstreamBuilder::fixed) upstream | the builder, with [`BuildError::Panicked`](errors::BuildError::Panicked) | a server that runs |
//! | [`Hooks`], [`Preread`](first_bytes::Preread), a function of a [`Listener`] or a [key](balancing::KeyFunction), the drop of [session data](Listener::session_data) | its session, with [`CloseReason::Panicked`](events::CloseReason::Panicked) | all other sessions |
//! | [`Hooks::close`], the function of [`events::JsonEvents`] in it | nothing: the session has ended | |
//! | the writer of [`events::JsonEvents`] | the lines of that write, which count as lost | the next lines |
//! | a policy that picks | the session that it picks for, also one in the wait queue | all other sessions |
//! | a policy that [compiles](lb_core::Policy::compile) | the update: the last membership serves with its pickers, and the update is tried again after 1 s to a minute; [`Upstream::policy_problem`] | the sources, the checks |
//! | a [`Source`](lb_discovery::Source) | its watch: the last good set stays, and a watch is opened again after the delay of a failure | the other sources |
//! | the function of a [`Map`](lb_discovery::Map) or a [`Filter`](lb_discovery::Filter), a [`Lookup`](lb_discovery::Lookup) | the same as a source | the other sources |
//! | a [`HealthCheck`](health::HealthCheck) | its probe, which counts as failed | the other probes |
//! | a policy that a [`Pool`] or [`Upstream::connect`] asks, a computed source address of a [`Connect`] | that pick or connection, with an error | all others |
//! | a policy or a key function that [explains](Upstream::explain) | that explanation, with an error | |
//! | the log levels, the configuration and the collectors of the [`admin`] server, a route that it asks where a client would go | the request, with 500; a status has no log level then | all other requests |
//! | a [`UnixSocketOpener`](settings::UnixSocketOpener) | the bind or the reload, with an error; its `remove` leaves the file | the other listeners |
//! | a [pre-stop hook](ProxyBuilder::pre_stop_hook) | the wait for it | the shutdown |
//!
//! Each is logged at level `error` with the name of the method and the message of the panic, unless the caller gets them as an
//! error, and counted: in [`Metrics::panics`], [`Upstream::policy_panics`], [`Upstream::check_panics`] and
//! [`SourceStatus::panics`](lb_discovery::SourceStatus::panics). Readiness shows a policy that has panicked on the last set.
//!
//! What runs in a call of yours panics there, and leaves everything as it was: the randomness that
//! [`lb_core::Balancer::pick`] and [`lb_discovery::Backoff`] draw from (there is no clock to panic: the time is an argument), the
//! sink of a [`Driver`](lb_discovery::Driver::run), the services below a [`Pool::balance`], the streams of [`Relay::run_streams`],
//! the functions of [`settings_file`], the collectors that [`openmetrics`] encodes, and
//! [`UpstreamBuilder::health_check`]. A drop of [data on a backend](lb_core::Backend::with_data) runs wherever the last
//! reference goes, and must not panic. A lock of your own that is held during a panic is poisoned, as always. In a program
//! with `panic = "abort"` in its Cargo profile any panic ends the process, and nothing of this applies.
//!
//! # Features
//!
//! - `access-events` (off): sessions as lines of JSON, [`events::JsonEvents`].
//! - `admin` (off): an HTTP server for operators, [`admin`].
//! - `dns` (on): host names as a source, [`Dns`].
//! - `file` (off): a file as a source, [`File`].
//! - `health-regex` (on): health checks that expect a match of a regular expression, [`health::Expect`].
//! - `health-tls` (off): health checks that make a TLS handshake, [`health::TlsCheck`].
//! - `kubernetes` (off): Kubernetes as a source, [`kubernetes`].
//! - `metrics` (off): metrics for Prometheus, [`openmetrics`].
//! - `netlink` (off, Linux): acting on links, addresses and routes that are lost and return, [`network_watch`].
//! - `readiness-report` (off): readiness for keepalived, BIRD and systemd, [`readiness_report`].
//! - `saved-state` (off): [`reports::SavedState`] in a file.
//! - `schema` (off): JSON schemas of the settings, through schemars.
//! - `serde` (off): a proxy from a file of settings, [`settings_file`].
//! - `system-dns` (off): host names by the system's resolver, [`SystemDns`]: no dependency, and no times to live.
//! - `test-util` (off): constructors of what hooks observe, for unit tests of hooks.
//! - `tower` (off): pools and connections as services, [`tower`].
//!
//! `docs/features.md` beside the sources says what each costs in crates and time to build.
//!
#![cfg_attr(
    feature = "access-events",
    doc = "[`events::JsonEvents`]: events::JsonEvents"
)]
#![cfg_attr(
    not(feature = "access-events"),
    doc = "[`events::JsonEvents`]: #features"
)]
#![cfg_attr(feature = "admin", doc = "[`admin`]: admin")]
#![cfg_attr(not(feature = "admin"), doc = "[`admin`]: #features")]
#![cfg_attr(feature = "dns", doc = "[`Dns`]: lb_discovery::Dns")]
#![cfg_attr(not(feature = "dns"), doc = "[`Dns`]: #features")]
#![cfg_attr(feature = "file", doc = "[`File`]: lb_discovery::File")]
#![cfg_attr(not(feature = "file"), doc = "[`File`]: #features")]
#![cfg_attr(feature = "health-tls", doc = "[`health::TlsCheck`]: health::TlsCheck")]
#![cfg_attr(not(feature = "health-tls"), doc = "[`health::TlsCheck`]: #features")]
#![cfg_attr(
    feature = "kubernetes",
    doc = "[`kubernetes`]: lb_discovery::kubernetes"
)]
#![cfg_attr(not(feature = "kubernetes"), doc = "[`kubernetes`]: #features")]
#![cfg_attr(feature = "metrics", doc = "[`openmetrics`]: openmetrics")]
#![cfg_attr(not(feature = "metrics"), doc = "[`openmetrics`]: #features")]
#![cfg_attr(feature = "netlink", doc = "[`network_watch`]: network_watch")]
#![cfg_attr(not(feature = "netlink"), doc = "[`network_watch`]: #features")]
#![cfg_attr(
    feature = "readiness-report",
    doc = "[`readiness_report`]: readiness_report"
)]
#![cfg_attr(
    not(feature = "readiness-report"),
    doc = "[`readiness_report`]: #features"
)]
#![cfg_attr(feature = "serde", doc = "[`settings_file`]: settings_file")]
#![cfg_attr(not(feature = "serde"), doc = "[`settings_file`]: #features")]
#![cfg_attr(feature = "system-dns", doc = "[`SystemDns`]: lb_discovery::SystemDns")]
#![cfg_attr(not(feature = "system-dns"), doc = "[`SystemDns`]: #features")]
#![cfg_attr(feature = "tower", doc = "[`Pool::balance`]: Pool::balance")]
#![cfg_attr(not(feature = "tower"), doc = "[`Pool::balance`]: #features")]
#![cfg_attr(feature = "tower", doc = "[`tower`]: tower")]
#![cfg_attr(not(feature = "tower"), doc = "[`tower`]: #features")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings))))]

mod access_events;
#[cfg(feature = "admin")]
pub mod admin;
mod attempt_times;
mod audit;
mod backend_override;
mod bandwidth;
#[cfg(feature = "serde")]
mod byte_form;
pub mod client_hello;
mod clock;
mod close_reason;
mod close_request;
mod config;
mod connect;
mod connection;
mod embedder_code;
mod error;
mod failures;
pub mod health;
mod history;
mod hooks;
mod into_shared;
mod lazy_timer;
mod limits;
mod listener;
mod live_sessions;
mod metrics;
mod names;
mod net;
#[cfg(all(feature = "netlink", target_os = "linux"))]
pub mod network_watch;
mod no_backend_cause;
#[cfg(feature = "metrics")]
pub mod openmetrics;
#[cfg(feature = "admin")]
mod operator_action;
mod or_never;
mod parse_status;
mod pool;
mod preread;
mod preread_info;
pub mod proxy_protocol;
mod readiness;
#[cfg(feature = "readiness-report")]
pub mod readiness_report;
mod relay;
mod restart_pauses;
mod runtime_thread;
mod sameness;
mod saved_state;
mod server;
pub mod server_names;
mod session;
mod session_data;
mod session_id;
#[cfg(feature = "serde")]
pub mod settings_file;
mod state;
#[cfg(feature = "tower")]
pub mod tower;
mod upstream;

pub use config::{Retry, Timeouts};
pub use connect::{Connect, Connected};
pub use hooks::Hooks;
pub use limits::Limits;
pub use listener::Listener;
pub use metrics::Metrics;
pub use pool::Pool;
pub use relay::Relay;
pub use server::{Handle, Proxy, ProxyBuilder, Server, Workers};
pub use upstream::{Upstream, UpstreamBuilder};

/// Which clients are admitted, and how many connections a client may have or begin.
pub mod access {
    pub use crate::limits::{Access, ClientZone, ClientZoneBuilder, Excess, Rate};
    pub use lb_discovery::{Network, NetworkError};
}

/// How an upstream balances: hash keys, the wait queue, overrides of single backends, and the end of sessions after the loss
/// of their backend.
pub mod balancing {
    pub use crate::backend_override::{
        ActiveOverride, Override, OverrideKind, OverrideOrigin, UnknownBackend, WeightOverride,
    };
    pub use crate::pool::{PoolLease, PoolStatus};
    pub use crate::upstream::drain::OnBackendLoss;
    pub use crate::upstream::hash_key::HashKey;
    pub use crate::upstream::key_function::KeyFunction;
    pub use crate::upstream::key_part::KeyPart;
    pub use crate::upstream::wait_queue::{Queue, WaitFor};
}

/// Errors of building, binding and reloading a proxy.
pub mod errors {
    pub use crate::connect::NoConnection;
    pub use crate::error::{BindError, BuildError, ReloadError};
}

/// What is reported of a session to [`Hooks`], and the target of logged failures.
pub mod events {
    #[cfg(feature = "access-events")]
    pub use crate::access_events::JsonEvents;
    pub use crate::access_events::{ACCESS_TARGET, TracingEvents};
    pub use crate::audit::AUDIT_TARGET;
    pub use crate::close_reason::CloseReason;
    pub use crate::connection::Connection;
    pub use crate::failures::{ACCEPT_TARGET, FAILURES_TARGET};
    pub use crate::hooks::{
        Admission, Attempt, AttemptError, AttemptOutcome, AttemptReport, AttemptStep, HookList,
        Observation, PrereadFailure, PrereadRefusal, Progress, RefusalDetail, Side, Summary,
        TerminationCode,
    };
    pub use crate::no_backend_cause::NoBackendCause;
    pub use crate::upstream::events::{UpstreamEvent, UpstreamEvents};
}

/// Parsers of the first bytes of a connection. [`client_hello`] and [`proxy_protocol`] have the ones that lb brings.
pub mod first_bytes {
    pub use crate::parse_status::ParseStatus;
    pub use crate::preread::{Preread, PrereadContext, PrereadError, PrereadStatus};
}

/// What a server, a reload and a relay report.
pub mod reports {
    pub use crate::live_sessions::{
        SessionFilter, SessionList, SessionOrder, SessionPhase, SessionReport,
    };
    pub use crate::metrics::{
        AttemptCounts, BackendMetrics, DetailedMetrics, EndCounts, Histogram, ListenerMetrics,
        NoBackendCounts, PauseCounts, Traffic, UpstreamMetrics,
    };
    pub use crate::net::tcp_info::TcpInfo;
    pub use crate::readiness::{Readiness, ReadinessCheck, ReadinessCondition};
    pub use crate::relay::{RelayEnd, RelayReport};
    pub use crate::saved_state::SavedState;
    #[cfg(feature = "saved-state")]
    pub use crate::saved_state::{SavedStateError, StateFile};
    pub use crate::server::{
        Changes, DescriptorBudget, DrainReport, Phase, ReadinessWatch, ReloadCounts, ReloadRecord,
        ReloadReport,
    };
    pub use crate::session_id::SessionId;
    pub use crate::upstream::transitions::{Transition, TransitionKind};
}

/// Where sessions go: what a [route function](Listener::route) decides, splits by weight, and virtual servers.
pub mod routing {
    pub use crate::state::route_action::RouteAction;
    pub use crate::state::split::{Split, SplitTarget};
    pub use crate::state::virtual_servers::{VirtualServer, VirtualServers};
}

/// Settings of listeners, sockets and sessions.
pub mod settings {
    pub use crate::bandwidth::Bandwidth;
    pub use crate::config::{HalfClose, OnRefusal, Splice};
    pub use crate::into_shared::IntoShared;
    pub use crate::listener::inheritable::InheritableSockets;
    pub use crate::net::bind_source::BindSource;
    pub use crate::net::local::LocalAddresses;
    pub use crate::net::options::{Keepalive, SocketOptions};
    pub use crate::net::unix::UnixSocketOpener;
}

// What an embedder needs besides, in the versions that fit.
pub use {lb_core, lb_discovery};

/// The README's examples have to compile.
#[cfg(all(doctest, feature = "dns"))]
#[doc = include_str!("../README.md")]
struct Readme;
