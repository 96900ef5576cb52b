//! The rules of the specification, each as a row of a table: objects in, conditions and the plan out.

mod addresses;
mod backends;
mod classes;
mod listener_sets;
mod listeners;
mod many;
mod outcome;
mod policies;
mod policy_fields;
mod precedence;
mod route_rules;
mod routes;
mod statuses;
mod tls;
mod world;
