//! Backends from Kubernetes.
//!
//! | source | backends |
//! |---|---|
//! | [`EndpointSlices`] | the pods of a Service, at their own addresses |
//! | [`NodePort`] | the nodes of the cluster, at the node port of a Service |
//! | [`Pods`] | pods that listen on ports of their nodes: a DaemonSet with `hostNetwork`, for instance |
//!
//! A [`Cluster`] has the address of the API and the credentials, from inside or from outside of the cluster.
//!
//! # Following the API
//!
//! A source lists the objects once, in pages, and then watches them. A watch request lasts a minute; the next one
//! continues at the version of the last event or bookmark. If the server no longer has that version (410 Gone), the
//! source lists the objects again, and the set changes once that list is complete, by the differences in it. Changes are
//! gathered for 100 ms, so a burst of events makes one set.
//!
//! An API server that was restored from a backup of etcd returns to an earlier version. It accepts a watch from the known
//! version, and sends nothing. Therefore a source also lists the objects again when an event has a lower version than the
//! known one, when neither an event nor a bookmark arrived for the length of a watch, and every
//! [`relist_interval`](Cluster::relist_interval). Lists are consistent reads: never older than what was watched.
//!
//! # What an answer does
//!
//! Answers of the API are authoritative. Objects that it no longer lists leave the set. Where the objects show no
//! backends, the set becomes empty, whatever [`OnEmpty`](crate::OnEmpty) says, because released pod addresses and node
//! ports are soon reassigned. The error is [`NoBackends`](crate::DiscoveryError::NoBackends), the driver logs it at level
//! `error`, and the watch continues, so that the set returns with the objects:
//!
//! | objects | error |
//! |---|---|
//! | no such Service, DaemonSet or Deployment, even if its slices or pods remain | `no such Service`, `it does not exist` |
//! | a Service of type ExternalName, for which no controller maintains slices | `the Service's type is ExternalName` |
//! | a Service without a node port, or no longer with one | `the Service's type is ClusterIP: make it NodePort` |
//! | a Service without the port, or with several and none is chosen | `the Service has no TCP port "http", it has: …` |
//! | endpoints, but none with the port or an allowed family | `no endpoint has a TCP port "http", they have: …` |
//! | no slice, or only skipped slices | `the Service has no EndpointSlice` |
//! | no node, or none with an allowed address | `no node may have connections` |
//! | pods that do not offer the port on their nodes | `no pod offers port "http" on its node` |
//!
//! A Service that is scaled to zero has an empty set and no error.
//!
//! If there was a set, such an answer must last for a second: a slice that is replaced is deleted first, and a port is
//! renamed in the Service before the controller renames it in the slices.
//!
//! # Skipped slices
//!
//! As in kube-proxy: slices of names (`FQDN`), and ports without a number or with one outside of TCP's range. In addition,
//! the slices that a controller made for the selector of a Service that no longer has a selector; no controller maintains
//! these. Each skipped slice is logged with the reason, once, at level `warn`.
//!
//! # What a failure does
//!
//! It does not affect connections: the [`Driver`](crate::Driver) keeps the last set and opens the watch again, with a
//! growing, jittered delay. Its [status](crate::DriverHandle::status) has the time of the first failure and the error:
//!
//! | failure | error |
//! |---|---|
//! | 401, 403 | [`Denied`](crate::DiscoveryError::Denied), with the server's reason and what to grant |
//! | a wrong kubeconfig, name or selector | [`Config`](crate::DiscoveryError::Config) |
//! | silence for the [`request_timeout`](Cluster::request_timeout); a plugin that runs for longer than the [`plugin_timeout`](Cluster::plugin_timeout) | [`Timeout`](crate::DiscoveryError::Timeout) |
//! | 429 or 5xx with `Retry-After` | [`Throttled`](crate::DiscoveryError::Throttled) |
//! | no connection, invalid TLS, other 5xx and 429, an invalid answer, a plugin that fails | [`Unavailable`](crate::DiscoveryError::Unavailable) |
//! | an empty list that is not accepted yet | [`Unusable`](crate::DiscoveryError::Unusable) |
//!
//! # Empty lists
//!
//! An object that is deleted during a watch is gone, and a Service with slices without endpoints has none. But a *list*
//! without any object, although there were some, may come from a server that lost its data. It is an error, which keeps
//! the last set, until lists have been empty for [`confirm_empty`](Cluster::confirm_empty).
//!
//! # Bounds
//!
//! A source keeps only the fields that it needs of each object. It accepts at most 100000 objects of a kind, 64 MiB a
//! page, 100 consecutive pages without a new object, and 8 MiB an event; more is an error. Of an error answer it reads at
//! most 64 KiB. A set costs O(n log n) in the number of endpoints and is computed at most ten times a second.
//!
//! With 10000 endpoints in 100 slices, of which 100 slices change every second, on a machine with two processors that
//! also ran the API server, a thread that picks without pause and unrelated tests: changes are in the balancer after
//! 0.30 s in the median and after 0.71 s at most, following them takes 33 % of one processor, and memory grew by 70 MiB
//! from the first request to the first set, including what the server needed for its answer. A pick took 180 ns of
//! processor time meanwhile, compared with 184 ns on a set without changes at the same time, and 128 ns on an idle
//! machine: the shared caches cost time, new sets cost none that could be measured. `tests/kubernetes/scale.rs` has the
//! command.
//!
//! # Modules
//!
//! - `endpoint_slices`, `node_port`, `pods`: the sources; in each, `snapshot` computes a set from objects and does nothing
//!   else;
//! - `watch`: lists, watches and versions, the current objects, and the stream of sets;
//! - `cluster`, `api`: requests to the API server;
//! - `config`: kubeconfigs, proxies and credentials;
//! - [`controller`]: watches and requests for programs that follow and change objects by themselves;
//! - `objects`: the fields that the sources use of each kind of object.

mod api;
mod cluster;
mod config;
pub mod controller;
mod endpoint_slices;
mod error;
mod node_port;
mod objects;
mod pods;
mod watch;

pub use crate::sources::kubernetes::cluster::Cluster;
pub use crate::sources::kubernetes::endpoint_slices::source::EndpointSlices;
pub use crate::sources::kubernetes::node_port::source::NodePort;
pub use crate::sources::kubernetes::objects::families::Families;
pub use crate::sources::kubernetes::objects::node::NodeAddress;
pub use crate::sources::kubernetes::objects::port::Port;
pub use crate::sources::kubernetes::pods::source::Pods;
