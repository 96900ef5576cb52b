//! Follows the cluster, serves it, and reports in the objects' status.
//!
//! - `stores`: the objects of a cluster, and what has changed; `clusters`: those of all clusters;
//! - `endpoints`: the backends of an upstream, from the stores; `settle`: how long they stay without one;
//! - `decide`: what is served and reported, from the stores. Pure;
//! - `run`: the loop; `reconcile`: one pass of it; `look` decides once, for the commands that only show;
//! - `reports`: which writes are missing; `shown`: what the metrics show;
//! - `requests`: the requests that write, and the permissions that they need;
//! - `write_queue`: those that wait; `digest`: whether two of them write the same;
//! - `writer`: sends them, at a limited rate, while this replica leads; `answer`: what the answers say;
//! - `events`: Events about what has changed;
//! - `lease`: which replica leads.

mod answer;
mod clusters;
mod decide;
mod digest;
mod endpoints;
mod events;
mod lease;
mod look;
mod reconcile;
mod reports;
mod requests;
mod run;
mod settle;
mod shown;
mod stores;
mod time;
mod write_queue;
mod writer;

pub use clusters::{ClusterReport, Clusters, Connect};
pub use decide::{Decision, LastValid, decide};
pub use look::{Look, LookError, look};
pub use requests::{PERMISSIONS, Permission, PermissionScope, REMOTE_PERMISSIONS};
pub use run::{Controller, ControllerError};
pub use stores::{ClusterRole, Stores, Watches};
