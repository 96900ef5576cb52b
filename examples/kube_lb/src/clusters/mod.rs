//! Several clusters that feed one Service. Pure.
//!
//! - `place`: how a cluster is reached, and which part of the connections it gets;
//! - `knowledge`: how old what is known of a cluster is;
//! - `join`: one set of the endpoints of all clusters.
//!
//! The first cluster is the primary: its objects decide what is served, and its API server has the Lease and gets the statuses. The
//! others only add endpoints to Services that both have with one namespace and name, if both Services have the
//! label [`GLOBAL`](crate::names::GLOBAL).

mod join;
mod knowledge;
mod place;

pub use join::{ClusterSet, JoinedSet, join};
pub use knowledge::Knowledge;
pub use place::ClusterPlace;
