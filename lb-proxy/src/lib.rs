//! A TCP load balancer to embed.
//!
//! Connections that a [`Listener`] accepts are sent to a backend of its [`Upstream`], which follows its sources
//! (fixed lists, DNS, a handle in the program) by itself. A [`Proxy`] holds the listeners; bound it becomes a
//! [`Server`], which runs on the embedder's Tokio runtime until it is told to drain.
//!
//! ```no_run
//! use lb_proxy::lb_core::policy::WeightedRoundRobin;
//! use lb_proxy::lb_core::{Backend, Snapshot};
//! use lb_proxy::lb_discovery::Static;
//! use lb_proxy::{Proxy, Upstream};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let nodes = ["10.0.0.1:446", "10.0.0.2:446", "10.0.0.3:446"];
//!     let nodes = nodes.iter().map(|node| node.parse().map(Backend::new));
//!     let echo = Upstream::builder("echo")
//!         .discovery(Static::new(nodes.collect::<Result<Snapshot, _>>()?))
//!         .policy(WeightedRoundRobin::new())
//!         .build()?;
//!     let proxy = Proxy::builder().listen("[::]:446".parse()?, &echo).build()?;
//!     let server = proxy.bind().await?;
//!     let interrupted = async { drop(tokio::signal::ctrl_c().await) };
//!     let report = server.run(interrupted).await;
//!     println!("{} sessions ended, {} were cut off", report.completed, report.aborted);
//!     Ok(())
//! }
//! ```
//!
//! # A session
//!
//! 1. The client must be within the [`Limits`] of the proxy and the listener, which by default make it wait in the kernel's
//!    queue, and be admitted by [`Access`], the [`ClientZone`]s and the [`Hooks`], which reset it.
//! 2. A [`Preread`], where there is one, reads the first bytes: the client's address
//!    ([`ProxyProtocol`](proxy_protocol::ProxyProtocol)), the name that TLS asks for
//!    ([`ClientHelloReader`](client_hello::ClientHelloReader)). The listener's [server names](Listener::server_names) or
//!    its [route](Listener::route) choose the upstream.
//! 3. The policy picks a backend; the pick counts as a connection in flight until the session ends. If all are full the
//!    session waits in the upstream's [`Queue`], if it has one.
//! 4. The backend is connected to within [`Timeouts::connect`]. If that fails the backend is blamed, and the next is picked,
//!    never one twice, within [`Retry`]. A failure of this machine (no descriptor, no source port) blames no backend.
//!    A client passes through at most 16 listeners of one proxy: after that, a backend address that leads back to one is
//!    not connected to.
//! 5. Bytes are relayed. A FIN ends one direction and leaves the other open; a reset is passed on as a reset, so that
//!    a truncated stream never looks complete. The time-outs for silence are [`Timeouts::idle`] and
//!    [`Timeouts::first_byte`], after which both sides are ended, and [`Timeouts::half_closed`], after which the one
//!    that was still open is reset. [`Timeouts::max_age`] ends a session whatever moves. Bytes that were acknowledged to
//!    a sender are delivered before a reset, as long as their reader takes some within [`Timeouts::idle`].
//! 6. Without a backend the client is reset, or what [`OnNoBackend`] says. A client that goes away before frees everything.
//!
//! Each is a file of `session/`.
//!
//! An idle session holds two sockets and about 2.4 KiB, but no buffer and no pipe. A direction whose receiver does not
//! read holds up to 64 KiB, or in a long transfer a pipe with up to 1 MiB, and reads no more: the sender has to wait.
//!
//! # What a relay costs
//!
//! Long transfers go through splice(2) where there is such a thing ([`Splice`]), everything else through one buffer of
//! the worker. There are at most 1024 pipes, and they take no more than an eighth of the descriptors; whoever gets none
//! copies. [`Relay`] is the relay alone, for programs that accept and connect by themselves.
//!
//! `benches/README.md` of the repository has figures, and the commands that print them.
//!
//! # What is reported
//!
//! [`Handle::metrics`] counts, [`Upstream::backends`] and [`Upstream::discovery`] tell how backends and sources
//! fare, and `tracing` tells what happened: membership at `info`, ejections and shortages at `warn`, single
//! connections at `debug`.
//!
//! Clients that get no service are reported under the target [`FAILURES_TARGET`] by listener or upstream and reason: the
//! first three of a kind one by one, then a count at most every ten seconds, and what is left at the end. They are
//! `error` if an upstream has no backend for them, and `warn` if access rules, limits, first bytes or hooks refuse them,
//! if attempts to connect fail, if a backend resets them, or if accepting pauses. What came from outside is
//! [escaped](lb_core::Escaped) in messages.
//!
//! # Features
//!
//! - `dns` (on): host names as a source, `lb_discovery::Dns`.
//! - `kubernetes` (off): Kubernetes as a source, `lb_discovery::kubernetes`.

#![doc(test(attr(deny(warnings))))]

pub mod client_hello;
mod clock;
mod close_reason;
mod config;
mod connection;
mod error;
mod failures;
mod hooks;
mod identity;
mod limits;
mod listener;
mod metrics;
mod net;
mod parse_status;
mod preread;
pub mod proxy_protocol;
mod relay;
mod server;
pub mod server_names;
mod session;
mod state;
mod upstream;

pub use close_reason::CloseReason;
pub use config::{HalfClose, OnNoBackend, Retry, Splice, Timeouts};
pub use connection::Connection;
pub use error::{BindError, BuildError, ReloadError};
pub use failures::FAILURES_TARGET;
pub use hooks::{Admission, Attempt, AttemptOutcome, Hooks, Summary};
pub use limits::{Access, ClientZone, ClientZoneBuilder, Excess, Limits, Rate};
pub use listener::Listener;
pub use metrics::Metrics;
pub use net::local::LocalAddresses;
pub use net::network::{Network, NetworkError};
pub use net::socket::{Keepalive, SocketOptions, Source};
pub use parse_status::ParseStatus;
pub use preread::{Preread, PrereadContext, PrereadError, PrereadStatus};
pub use relay::{Relay, RelayEnd, Relayed};
pub use server::{
    Changes, DescriptorBudget, DrainReport, Handle, Phase, Proxy, ProxyBuilder, ReloadReport,
    Server, Workers,
};
pub use upstream::drain::Parting;
pub use upstream::hash_key::{HashKey, KeyFunction, KeyPart};
pub use upstream::wait_queue::{Queue, WaitFor};
pub use upstream::{Upstream, UpstreamBuilder};

// What an embedder needs besides, in the versions that fit.
pub use {lb_core, lb_discovery};

/// The README's example has to compile.
#[cfg(all(doctest, feature = "dns"))]
#[doc = include_str!("../../README.md")]
struct Readme;
