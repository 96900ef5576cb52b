//! The objects of the cluster, reduced to the fields that are read.

pub(crate) mod by_key;
mod condition;
mod null;
mod object_name;
mod service;

pub use condition::{Condition, ConditionStatus};
pub use object_name::ObjectName;
pub use service::{
    Ingress, LoadBalancerStatus, PortStatus, Service, ServicePort, ServiceSpec, ServiceStatus,
};

pub(crate) use condition::is_negative;
pub(crate) use null::or_default;
