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
//! 1. The policy picks a backend; the pick counts as a connection in flight until the session ends.
//! 2. It is connected to within [`Timeouts::connect`]. If that fails the backend is blamed, and the next is picked,
//!    never one twice, within [`Retry`]. A failure of this machine (no descriptor, no source port) blames nobody.
//! 3. Bytes are relayed. A FIN ends one direction and leaves the other open; a reset is passed on as a reset, so that
//!    a truncated stream never looks complete. The time-outs for silence are [`Timeouts::idle`], after which both sides
//!    are ended, and [`Timeouts::half_closed`], after which the one that was still open is reset.
//! 4. Without a backend the client is reset.
//!
//! An idle session holds two sockets and about 2.2 KiB, but no buffer; one whose peer does not read holds up to
//! 64 KiB in that direction.
//!
//! # What is reported
//!
//! [`Handle::metrics`] counts, [`Upstream::backends`] and [`Upstream::discovery`] tell how backends and sources
//! fare, and `tracing` tells what happened: membership at `info`, ejections and shortages at `warn`, single
//! connections at `debug`.
//!
//! # Features
//!
//! - `dns` (on): host names as a source, `lb_discovery::Dns`.
//! - `kubernetes` (off): Kubernetes as a source, `lb_discovery::kubernetes`.

#![doc(test(attr(deny(warnings))))]

mod builder;
mod clock;
mod config;
mod connect;
mod error;
mod listener;
mod metrics;
mod relay;
mod server;
mod session;
mod upstream;

pub use builder::{Proxy, ProxyBuilder};
pub use config::{Retry, Timeouts};
pub use error::{BindError, BuildError};
pub use listener::Listener;
pub use metrics::Metrics;
pub use server::{DrainReport, Handle, Server};
pub use upstream::{Upstream, UpstreamBuilder};

// What an embedder needs besides, in the versions that fit.
pub use {lb_core, lb_discovery};

/// The README's example has to compile.
#[cfg(all(doctest, feature = "dns"))]
#[doc = include_str!("../../README.md")]
struct Readme;
