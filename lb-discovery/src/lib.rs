//! Where backends come from.
//!
//! A source of backends (a fixed list, a handle in the program, DNS, Kubernetes) is a [`Discovery`]: it can be watched, and a
//! watch is a stream of full [`Snapshot`](lb_core::Snapshot)s. A source never retries and never remembers; that is
//! the [`Driver`]'s work.
//!
//! Three types matter:
//!
//! - the [`Driver`], which follows any number of sources and hands their ordered union to a sink;
//! - the [`DriverHandle`], which tells how each source fares and passes on the hint to look again;
//! - the [`DiscoveryError`], which tells "there is no such name" from "nobody answered".
//!
//! ```
//! use std::sync::Arc;
//! use lb_core::{Backend, Snapshot};
//! use lb_discovery::{Driver, DriverConfig, Static, channel};
//! use tokio_util::sync::CancellationToken;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let fixed = Static::new(Snapshot::from_backends([Backend::new("10.0.0.1:446".parse()?)]));
//! let (handle, manual) = channel(Snapshot::default());
//! let (mut driver, status) = Driver::new(vec![Arc::new(fixed), Arc::new(manual)], DriverConfig::new());
//!
//! let (sink, mut published) = tokio::sync::mpsc::unbounded_channel();
//! let cancel = CancellationToken::new();
//! let stop = cancel.clone();
//! let task = tokio::spawn(async move {
//!     driver.run(|snapshot| drop(sink.send(snapshot)), stop).await;
//! });
//!
//! assert_eq!(published.recv().await.map(|set| set.len()), Some(1));
//! handle.add(Backend::new("10.0.0.2:446".parse()?));
//! assert_eq!(published.recv().await.map(|set| set.len()), Some(2));
//! assert_eq!(status.status().sources.len(), 2);
//!
//! cancel.cancel();
//! task.await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Sources
//!
//! | source | what it is |
//! |---|---|
//! | [`Static`] | a fixed list |
//! | [`channel`] | a handle that adds, removes and drains backends while the proxy runs |
#![cfg_attr(
    feature = "dns",
    doc = "| [`Dns`] | the addresses of a host name, followed by their time to live |"
)]
#![cfg_attr(
    feature = "kubernetes",
    doc = "| [`kubernetes`] | the pods of a Service, nodes at a node port, pods on ports of their nodes |"
)]
//! | [`Poll`] | whatever implements [`Lookup`], asked again and again |
//! | [`Map`] | another source with every backend changed by a function |
//!
//! # What a failure does
//!
//! Nothing, to the connections. Each source keeps its last good set until it has a new one; a source that fails is
//! asked again with a growing, jittered delay and never holds up the others. Only an answer that says with
//! authority that there is nothing (a name that does not exist) can empty a source's set, and only with
//! [`OnEmpty::Apply`].
//!
//! # Features
//!
//! - `dns` (on): `Dns` and its `Resolver`, through hickory-resolver.
//! - `kubernetes` (off): the module `kubernetes`, through kube, with rustls and ring. The binary chooses the version of
//!   the API: it depends on k8s-openapi with the feature of the oldest server that it shall know, such as `v1_33`.

#![doc(test(attr(deny(warnings))))]

mod backoff;
mod discovery;
#[cfg(feature = "dns")]
mod dns;
mod driver;
mod error;
mod fixed;
mod hints;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
mod manual;
mod map;
mod poll;

pub use backoff::Backoff;
pub use discovery::{Discovery, SnapshotStream};
#[cfg(feature = "dns")]
pub use dns::{Dns, Resolver, ResolverBuilder};
pub use driver::{Driver, DriverConfig, DriverHandle, OnEmpty, SourceStatus, Status};
pub use error::DiscoveryError;
pub use fixed::Static;
pub use manual::{Manual, ManualHandle, channel};
pub use map::Map;
pub use poll::{Lookup, Poll, Resolved};
