//! ConnectionPolicy: what Gateways and routes have no fields for, attached directly (GEP-713).
//!
//! - `object`: the kind; `schema`: its definition;
//! - `settings`: the values, which are those of a Service's annotations;
//! - `targets`, `attach`: which policy counts for which listener and route.

pub(crate) mod attach;
pub(crate) mod object;
pub(crate) mod schema;
pub(crate) mod settings;
mod targets;
