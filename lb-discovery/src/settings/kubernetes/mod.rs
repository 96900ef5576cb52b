//! The settings of Kubernetes.

mod cluster;
mod endpoint_slices;
mod node_port;
mod pods;

pub use cluster::{ClusterOrigin, ClusterSettings};
pub use endpoint_slices::EndpointSlicesSettings;
pub use node_port::NodePortSettings;
pub use pods::{PodOwner, PodsSettings};
