//! The server: it runs the listeners of a [`Proxy`], reloads them, and drains.
//!
//! - [`proxy`]: the description; `bind`: from the description to a [`Server`].
//! - [`serve`]: the server's life; `pause`: without accepting; `shutdown`: its last phases; [`handle`]: what an embedder holds of it.
//! - `reload`, `active_config`: what a reload replaces. `diff` decides what it adds, keeps, changes and removes,
//!   `listener_set` and `upstream_set` do so.
//! - `network`: what it does when links, routes and addresses of the machine come and go.
//! - `readiness`: whether it should get new connections.
//! - [`worker_pool`]: the threads; [`budget`]: the descriptors, which the servers of a process [share](shared_budget).

mod active_config;
mod bind;
mod bind_retry;
pub(crate) mod budget;
mod context;
mod desired_state;
mod diff;
pub(crate) mod handle;
mod listener_set;
mod network;
mod pause;
mod pending_listener;
pub(crate) mod phase;
mod pre_stop;
pub(crate) mod proxy;
mod readiness;
mod reload;
mod reload_history;
pub(crate) mod report;
pub(crate) mod serve;
mod server_state;
mod shared_budget;
mod shutdown;
mod upstream_set;
pub(crate) mod worker_pool;

pub use budget::DescriptorBudget;
pub use handle::Handle;
pub use phase::Phase;
pub use proxy::{Proxy, ProxyBuilder};
pub use readiness::ReadinessWatch;
pub use reload_history::ReloadRecord;
pub use report::{Changes, DrainReport, ReloadCounts, ReloadReport};
pub use serve::Server;
pub use worker_pool::Workers;
