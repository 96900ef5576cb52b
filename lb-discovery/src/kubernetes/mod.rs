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
//! # What a failure does
//!
//! Nothing, to the connections: the [`Driver`](crate::Driver) keeps the last set and opens the watch again, with a
//! growing, jittered delay. Its [status](crate::DriverHandle::status) says since when and why:
//!
//! | what happens | error |
//! |---|---|
//! | 401, 403 | [`Denied`](crate::DiscoveryError::Denied), with the server's reason and what to grant |
//! | the Service, DaemonSet or Deployment does not exist | [`NotFound`](crate::DiscoveryError::NotFound) |
//! | the kubeconfig, a name, a port or a selector is wrong | [`Config`](crate::DiscoveryError::Config) |
//! | silence, for the [`request_timeout`](Cluster::request_timeout); a plugin that hangs, for the [`plugin_timeout`](Cluster::plugin_timeout) | [`Timeout`](crate::DiscoveryError::Timeout) |
//! | 429 or 5xx with `Retry-After` | [`Throttled`](crate::DiscoveryError::Throttled) |
//! | no connection, bad TLS, other 5xx and 429, garbage, a plugin that fails, an empty list that is not believed | [`Unavailable`](crate::DiscoveryError::Unavailable) |
//!
//! # Is an empty list believed?
//!
//! What is deleted while it is watched is gone, and a Service whose slices say that they have no endpoints has none: the
//! set becomes empty at once, since the addresses of pods that ended are soon those of others. But a *list* that has no
//! object at all although there were some is what a server looks like that lost its data or was restored from a backup.
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

mod access;
mod client;
mod cluster;
mod condition;
mod credentials;
mod endpoint_slices;
mod failure;
mod families;
mod follow;
mod kubeconfig;
mod list_watch;
mod name;
mod node_port;
mod objects;
mod plugin;
mod pods;
mod port;
mod proxy;
mod service;
mod session;

pub use self::cluster::Cluster;
pub use self::endpoint_slices::EndpointSlices;
pub use self::families::Families;
pub use self::node_port::{NodeAddress, NodePort};
pub use self::pods::Pods;
pub use self::port::Port;
