//! Follows the cluster, serves it, and reports in the objects' status.
//!
//! - `stores`: the objects, and what has changed;
//! - `endpoints`: the backends of an upstream, from the stores;
//! - `decide`: what is served and reported, from the stores. Pure;
//! - `run`: the loop; `look` decides once, for the commands that only show;
//! - `reports`: which writes are missing; `shown`: what the metrics show;
//! - `requests`: the requests that write, and the permissions that they need;
//! - `writer`: sends them, at a limited rate, while this replica leads; `answer`: what the answers say;
//! - `events`: Events about what has changed;
//! - `lease`: which replica leads.

mod answer;
mod decide;
mod endpoints;
mod events;
mod lease;
mod look;
mod reports;
mod requests;
mod run;
mod settle;
mod shown;
mod stores;
mod time;
mod write_queue;
mod writer;

pub use decide::{Decision, LastValid, decide};
pub use endpoints::backends;
pub use look::{Look, LookError, look};
pub use requests::{PERMISSIONS, Permission, PermissionScope};
pub use run::{Controller, ControllerError};
pub use stores::{Stores, Watches};
