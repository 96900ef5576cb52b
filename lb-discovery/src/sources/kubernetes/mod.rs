//! Backends from Kubernetes.
//!
//! | source | backends |
//! |---|---|
//! | [`EndpointSlices`] | the pods of a Service, at their own addresses |
//! | [`NodePort`] | the nodes of the cluster, at the node port of a Service |
//! | [`Pods`] | pods that listen on ports of their nodes: a DaemonSet with `hostNetwork`, for instance |
//!
//! A [`Cluster`] says where the API is and how to be let in, from inside or from outside of the cluster.
//!
//! # Following the API
//!
//! Objects are listed once, in pages, and then watched. A request to watch lasts a minute, then the next goes on from
//! there, by the version of the last event or bookmark. If the server has forgotten that version (410 Gone) the objects
//! are listed again, and the set changes once that list is complete, by what is different in it. Changes are gathered
//! for 100 ms, so a burst of events makes one set.
//!
//! An API server whose etcd was restored from a backup returns to an earlier version. It accepts a watch from the version
//! that is known here, and sends nothing. Therefore objects are also listed again when an event has a lower version than
//! the known one, when neither an event nor a bookmark came for the length of a watch, and every
//! [`relist_interval`](Cluster::relist_interval). Lists are consistent reads: they are never older than what was watched.
//!
//! # What an answer does
//!
//! An API that answers is believed. What it no longer lists leaves the set. Where the objects say that there are no
//! backends, the set becomes empty, whatever [`OnEmpty`](crate::OnEmpty) says, because pod addresses and node ports that
//! are given back belong to another owner soon. The error is [`NoBackends`](crate::DiscoveryError::NoBackends), the log has
//! it at level `error`, and the watch goes on, so that the set returns with the objects:
//!
//! | what the objects say | error |
//! |---|---|
//! | no such Service, DaemonSet or Deployment, whatever it left behind | `no such Service`, `it does not exist` |
//! | the Service leads to a name, so its slices are not kept up | `the Service's type is ExternalName` |
//! | the Service has no node port (any more) | `the Service's type is ClusterIP: make it NodePort` |
//! | the port is not the Service's (any more), or the Service has several and none is chosen | `the Service has no TCP port "http", it has: …` |
//! | endpoints, but none has the port or an allowed family | `no endpoint has a TCP port "http", they have: …` |
//! | no slice, or only slices that are passed over | `the Service has no EndpointSlice` |
//! | no node, or none with an address that may be used | `no node may have connections` |
//! | pods that do not offer the port on their nodes | `no pod offers port "http" on its node` |
//!
//! A Service that is scaled to nothing has an empty set and no error.
//!
//! If there was a set, such an answer must last for a second: a slice that is replaced is deleted first, and a port is
//! renamed in the Service before the controller renames it in the slices.
//!
//! # Slices that are passed over
//!
//! As by kube-proxy: slices of names (`FQDN`), and ports without a number or with one that no TCP port has. Besides, the
//! slices that a controller made for the selector of a Service which has none any more; nothing keeps these up. The log
//! names each of them with the reason, once, at level `warn`.
//!
//! # What a failure does
//!
//! Nothing, to the connections: the [`Driver`](crate::Driver) keeps the last set and opens the watch again, with a
//! growing, jittered delay. Its [status](crate::DriverHandle::status) says since when and why:
//!
//! | what happens | error |
//! |---|---|
//! | 401, 403 | [`Denied`](crate::DiscoveryError::Denied), with the server's reason and what to grant |
//! | the kubeconfig, a name or a selector is wrong | [`Config`](crate::DiscoveryError::Config) |
//! | silence, for the [`request_timeout`](Cluster::request_timeout); a plugin that hangs, for the [`plugin_timeout`](Cluster::plugin_timeout) | [`Timeout`](crate::DiscoveryError::Timeout) |
//! | 429 or 5xx with `Retry-After` | [`Throttled`](crate::DiscoveryError::Throttled) |
//! | no connection, bad TLS, other 5xx and 429, garbage, a plugin that fails | [`Unavailable`](crate::DiscoveryError::Unavailable) |
//! | an empty list that is not believed | [`Unusable`](crate::DiscoveryError::Unusable) |
//!
//! # Is an empty list believed?
//!
//! What is deleted while it is watched is gone, and a Service whose slices say that they have no endpoints has none. But
//! a *list* that has no object at all although there were some is what a server looks like that lost its data.
//! It is an error, which keeps the last set, until lists have been empty for
//! [`confirm_empty`](Cluster::confirm_empty).
//!
//! # Bounds
//!
//! Of each object only what is needed is kept; at most 100000 objects of a kind, 64 MiB for one page, 100 pages in a row
//! that bring nothing new, and 8 MiB for one event are accepted. More is an error. What the server says of an error is
//! read to 64 KiB. A set costs O(n log n) in the number of endpoints and is made at most ten
//! times a second.
//!
//! 10000 endpoints in 100 slices, of which 100 slices change every second, on a machine with two processors that also
//! ran the API server, a thread that picks without pause and somebody else's tests: changes are in the balancer after
//! 0.30 s in the median and after 0.71 s at the most, following them takes 33 % of one processor, and memory grew by
//! 70 MiB from the first request to the first set, what the server needed for its answer included. A pick took 180 ns of
//! processor time meanwhile, as many as the 184 ns that one of a set without changes took at the same time, and 128 ns
//! when nothing else ran: the neighbours' use of caches costs, and a new set nothing that could be told from it.
//! `tests/kubernetes/scale.rs` has the command.

mod api;
mod cluster;
mod config;
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
