//! Sources of backends, and the driver that follows them.
//!
//! A [`Source`] of backends is a fixed list, a handle in the program, DNS, Kubernetes or a file. It can be watched, and a
//! watch is a stream of full [`Snapshot`](lb_core::Snapshot)s. A source neither retries nor keeps a last good set: the
//! [`Driver`] does.
//!
//! Three types matter:
//!
//! - the [`Driver`], which follows any number of sources and passes their ordered union to a sink;
//! - the [`DriverHandle`], which reports the status of each source and forwards refresh hints;
//! - the [`DiscoveryError`], which distinguishes "there is no such name" from "no answer".
//!
//! ```
//! use std::sync::Arc;
//! use lb_core::Snapshot;
//! use lb_discovery::{Driver, DriverConfig, Manual, Source, Static};
//! use tokio_util::sync::CancellationToken;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let fixed = Static::new(Snapshot::try_from_backends(["10.0.0.1:446"])?);
//! let (manual, handle) = Manual::new(Snapshot::default());
//! let sources: Vec<Arc<dyn Source>> = vec![Arc::new(fixed), Arc::new(manual)];
//! let (mut driver, status) = Driver::new(sources, DriverConfig::new());
//!
//! let (sink, mut published) = tokio::sync::mpsc::unbounded_channel();
//! let cancel = CancellationToken::new();
//! let stop = cancel.clone();
//! let task = tokio::spawn(async move {
//!     driver.run(|snapshot| drop(sink.send(snapshot)), stop).await;
//! });
//!
//! assert_eq!(published.recv().await.map(|set| set.len()), Some(1));
//! handle.add("10.0.0.2:446".parse()?);
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
//! | source | backends | on failure |
//! |---|---|---|
//! | [`Static`] | a fixed list | cannot fail |
//! | [`Manual`] | those that the program adds, removes and drains through a handle | cannot fail; after its handle is dropped it keeps the last set |
#![cfg_attr(
    feature = "dns",
    doc = "| [`Dns`] | the addresses of a host name, or the servers of a service (SRV), followed by their time to live | the last set stays; its documentation lists the effect of every answer |"
)]
#![cfg_attr(
    feature = "file",
    doc = "| [`File`] | a watched JSON or YAML file | the last set stays; the error names line and column; read again every second |"
)]
#![cfg_attr(
    feature = "kubernetes",
    doc = "| [`kubernetes`] | the pods of a Service, nodes at a node port, pods on ports of their nodes | the last set stays while the API does not answer; backends that the API withdraws leave, with the reason as an error |"
)]
#![cfg_attr(
    feature = "system-dns",
    doc = "| [`SystemDns`] | the addresses of a host name by the system's resolver, at an interval | the last set stays, also if the name does not exist |"
)]
//! | [`Polled`] | those of any [`Lookup`], repeated | decided by the error of the lookup |
//!
//! | combinator | result |
//! |---|---|
//! | [`Map`] | every backend, changed by a function |
//! | [`Filter`] | the backends that a predicate accepts |
//! | [`Merge`] | the union of several sources, each of which may be shifted to lower tiers |
//!
//! A driver takes any number of sources; a merge passes several of them as one, and shifts tiers.
//! [`Backend::source`](field@lb_core::Backend::source) has the label of the source that a backend came from. Of several backends
//! with one address, the one in the most preferred tier counts and, within a tier, that of the first source.
//!
//! # What a failure does
//!
//! It does not affect connections. Each source keeps its last good set until it yields a new one; the driver retries a
//! source that fails with a growing, jittered delay, and follows the other sources meanwhile. Only an authoritative answer
//! that there are no backends can empty the set of a source: a name that does not exist, with [`OnEmpty::Apply`], and
//! [`NoBackends`](DiscoveryError::NoBackends), always. Only with [`DriverConfig::max_stale`] does the driver drop a set
//! that has not been confirmed for too long. A source whose code panics has failed like any other: its watch is opened again.
//!
//! [`DriverHandle::status`] has for every source its last error, the time since its last success, how long it has been
//! stale, its number of backends, and whether they were dropped. Changes are logged: at level `error` when a source begins
//! to fail, when an answer empties its set or when its set is dropped, at `info` when it recovers.
//!
//! # Features
//!
//! - `dns` (on): [`Dns`] and its [`Resolver`], through hickory-resolver.
//! - `file` (off): [`File`], through serde_json and serde-saphyr.
//! - `kubernetes` (off): the module [`kubernetes`], through kube, with rustls and ring. The binary chooses the version of
//!   the API: it depends on k8s-openapi with the feature of the oldest server that it supports, such as `v1_33`.
//! - `schema` (off): JSON schemas of the settings, through schemars.
//! - `serde` (off): sources, combinators and the settings of a driver can be read from files and written, [`settings`].
//! - `system-dns` (off): [`SystemDns`], host names by the system's resolver: no dependency, and no times to live.
//!
#![cfg_attr(feature = "dns", doc = "[`Dns`]: Dns")]
#![cfg_attr(not(feature = "dns"), doc = "[`Dns`]: #features")]
#![cfg_attr(feature = "dns", doc = "[`Resolver`]: Resolver")]
#![cfg_attr(not(feature = "dns"), doc = "[`Resolver`]: #features")]
#![cfg_attr(feature = "file", doc = "[`File`]: File")]
#![cfg_attr(not(feature = "file"), doc = "[`File`]: #features")]
#![cfg_attr(feature = "kubernetes", doc = "[`kubernetes`]: kubernetes")]
#![cfg_attr(not(feature = "kubernetes"), doc = "[`kubernetes`]: #features")]
#![cfg_attr(feature = "serde", doc = "[`settings`]: settings")]
#![cfg_attr(not(feature = "serde"), doc = "[`settings`]: #features")]
#![cfg_attr(feature = "system-dns", doc = "[`SystemDns`]: SystemDns")]
#![cfg_attr(not(feature = "system-dns"), doc = "[`SystemDns`]: #features")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings))))]

mod caught;
mod combinators;
mod driver;
mod error;
#[cfg(any(feature = "file", feature = "kubernetes"))]
mod file_io;
#[cfg(any(feature = "dns", feature = "system-dns"))]
mod host_rules;
mod ip_family;
mod network;
#[cfg(feature = "serde")]
pub mod settings;
mod source;
mod sources;
mod timing;
mod union;

pub use combinators::filter::Filter;
pub use combinators::map::Map;
pub use combinators::merge::Merge;
pub use driver::config::{DriverConfig, OnEmpty};
pub use driver::handle::DriverHandle;
pub use driver::last_set::LastSet;
pub use driver::status::{DriverStatus, SourceStatus};
pub use driver::task::Driver;
pub use error::DiscoveryError;
pub use ip_family::IpFamily;
pub use network::{Network, NetworkError};
pub use source::{SnapshotStream, Source};
#[cfg(feature = "dns")]
pub use sources::dns::{
    resolver::{Resolver, ResolverBuilder},
    source::Dns,
};
#[cfg(feature = "file")]
pub use sources::file::{format::FileFormat, source::File};
#[cfg(feature = "kubernetes")]
pub use sources::kubernetes;
pub use sources::manual::{Manual, ManualHandle};
pub use sources::polled::{
    lookup::{Lookup, Resolved},
    source::Polled,
};
pub use sources::static_list::Static;
#[cfg(feature = "system-dns")]
pub use sources::system_dns::source::SystemDns;
pub use timing::backoff::Backoff;

/// The README's example has to compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
