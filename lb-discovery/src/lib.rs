//! Where backends come from.
//!
//! A source of backends (a fixed list, a handle in the program, DNS, Kubernetes, a file) is a [`Discovery`]: it can be
//! watched, and a watch is a stream of full [`Snapshot`](lb_core::Snapshot)s. A source never retries and never
//! remembers; that is the [`Driver`]'s work.
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
//! | source | what it is | when it fails |
//! |---|---|---|
//! | [`Static`] | a fixed list | never |
//! | [`channel`] | a handle that adds, removes and drains backends while the proxy runs | never; without its handle it keeps the last set |
#![cfg_attr(
    feature = "dns",
    doc = "| [`Dns`] | the addresses of a host name, or the servers of a service (SRV), followed by their time to live | the last set stays; its documentation lists every answer and what it does |"
)]
#![cfg_attr(
    feature = "file",
    doc = "| [`File`] | a watched JSON or YAML file | the last set stays; the error names line and column; looked at again every second |"
)]
#![cfg_attr(
    feature = "kubernetes",
    doc = "| [`kubernetes`] | the pods of a Service, nodes at a node port, pods on ports of their nodes | the last set stays while the API does not answer; what the API takes back leaves, with the reason as an error |"
)]
//! | [`Poll`] | whatever implements [`Lookup`], asked again and again | as the lookup says |
//!
//! | adaptor | what it makes of sources |
//! |---|---|
//! | [`Map`] | every backend changed by a function |
//! | [`Filter`] | some backends left out |
//! | [`Merge`] | the union of several, each of which may be moved to lower tiers |
//!
//! A driver takes any number of sources; a merge is for passing several around as one and for tiers. Which source a
//! backend came from is in [`Backend::source`](lb_core::Backend::source). Where two sources have one address, the one
//! in the most preferred tier counts, and within a tier the first.
//!
//! # What a failure does
//!
//! Nothing, to the connections. Each source keeps its last good set until it has a new one; a source that fails is
//! asked again with a growing, jittered delay and never holds up the others. Only an answer that says with
//! authority that there is nothing can empty a source's set: a name that does not exist, with [`OnEmpty::Apply`], and
//! whatever is [`NoBackends`](DiscoveryError::NoBackends); and only with [`DriverConfig::max_stale`] is a set dropped
//! because it went unconfirmed for too long.
//!
//! [`DriverHandle::status`] tells of every source its last error, the time since its last success, how long it has been
//! stale, how many backends it has, and whether they were dropped. The log says the same when it changes: `error` when an
//! answer empties a source, `warn` when a source begins to fail or its set is dropped, `info` when it recovers.
//!
//! # Features
//!
//! - `dns` (on): `Dns` and its `Resolver`, through hickory-resolver.
//! - `file`: `File`, through serde_json and serde-saphyr.
//! - `kubernetes` (off): the module `kubernetes`, through kube, with rustls and ring. The binary chooses the version of
//!   the API: it depends on k8s-openapi with the feature of the oldest server that it shall know, such as `v1_33`.

#![doc(test(attr(deny(warnings))))]

mod combinators;
mod driver;
mod error;
#[cfg(any(feature = "file", feature = "kubernetes"))]
mod file_io;
mod source;
mod sources;
mod timing;

pub use combinators::filter::Filter;
pub use combinators::map::Map;
pub use combinators::merge::Merge;
pub use driver::config::{DriverConfig, OnEmpty};
pub use driver::state::{DriverHandle, SourceStatus, Status};
pub use driver::task::Driver;
pub use error::DiscoveryError;
pub use source::{Discovery, SnapshotStream};
#[cfg(feature = "dns")]
pub use sources::dns::{
    resolver::{Resolver, ResolverBuilder},
    source::Dns,
};
#[cfg(feature = "file")]
pub use sources::file::{format::Format, source::File};
#[cfg(feature = "kubernetes")]
pub use sources::kubernetes;
pub use sources::manual::{Manual, ManualHandle, channel};
pub use sources::polled::{Lookup, Poll, Resolved};
pub use sources::static_list::Static;
pub use timing::backoff::Backoff;
