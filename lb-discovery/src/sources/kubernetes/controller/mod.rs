//! Building blocks for programs that follow and change objects of a cluster by themselves.
//!
//! The sources of [`kubernetes`](crate::kubernetes) each follow one Service. A controller follows all objects of a kind, once, and
//! computes from them what it needs:
//!
//! - an [`ObjectWatch`] lists and watches the objects of a [`Collection`], with the care of the sources: versions that expired, a
//!   server that was restored from a backup, empty lists, overload;
//! - [`pods`] and [`nodes`] compute the set of a Service from its [`EndpointSlice`]s and [`ClusterNode`]s, by the rules of
//!   [`EndpointSlices`](crate::kubernetes::EndpointSlices) and [`NodePort`](crate::kubernetes::NodePort);
//! - [`ApiRequests`] sends single requests, such as patches of a status.
//!
//! ```no_run
//! use lb_discovery::kubernetes::Cluster;
//! use lb_discovery::kubernetes::controller::{Collection, EndpointSlice, ObjectEvent, ObjectWatch};
//!
//! # async fn example() {
//! let cluster = Cluster::kubeconfig("/etc/lb/kubeconfig");
//! let slices = Collection::new("/apis/discovery.k8s.io/v1", "endpointslices");
//! let mut slices = ObjectWatch::<EndpointSlice>::follow(&cluster, slices);
//! while let ObjectEvent::Applied { key, object } = slices.next().await {
//!     println!("{key} belongs to {:?}", object.service());
//! }
//! # }
//! # let _ = example;
//! ```

mod collection;
mod endpoints;
mod metadata;
mod object_watch;
mod requests;
mod wire;

pub use crate::sources::kubernetes::api::answer::ApiAnswer;
pub use collection::Collection;
pub use endpoints::{ClusterNode, EndpointSlice, ServiceOutline, nodes, pods};
pub use metadata::{ApiObject, Metadata};
pub use object_watch::{ObjectEvent, ObjectWatch};
pub use requests::{ApiMethod, ApiRequest, ApiRequests};
