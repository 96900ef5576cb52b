//! The Gateway API: from its objects to addresses, listeners, routes and statuses. Pure, except what follows the API.
//!
//! - `api`: the objects; `objects`: all of one moment; `precedence`: which of them come first;
//! - `classes`, `view`, `listener`, `protocol`, `conflict`: the Gateways of this controller, and which of their listeners are
//!   accepted;
//! - `attach`, `namespace_rule`, `host_pattern`: which routes are attached to which listeners;
//! - `backends`: what the references of routes mean, and what is refused in proportion;
//! - `serving`: which of several routes gets a connection;
//! - `acceptance`, `evaluation`: all that follows from the objects alone;
//! - `address`, `programming`: what Gateways ask of the pools, and what they have;
//! - `planner`: their part of the plan of the proxy;
//! - `policy`: settings that are attached to listeners and routes;
//! - `condition`, `status`: what is reported;
//! - `follow`: the watches.

mod acceptance;
mod address;
pub(crate) mod api;
mod attach;
mod backends;
mod classes;
mod condition;
mod conflict;
mod evaluation;
mod follow;
mod host_pattern;
mod listener;
mod namespace_rule;
mod objects;
mod permissions;
mod planner;
pub(crate) mod policy;
mod precedence;
mod programming;
mod protocol;
mod serving;
mod status;
mod view;

pub(crate) use condition::Reported;
pub(crate) use evaluation::Evaluation;
pub use follow::GatewayWatches;
pub use objects::GatewayObjects;
pub use policy::schema::definition as policy_definition;
pub(crate) use policy::settings::{ReadPolicies, read_policies};
pub(crate) use protocol::RouteKind;
pub(crate) use status::{Reporter, StatusContext, StatusPatch, reference};

#[cfg(test)]
mod tests;
