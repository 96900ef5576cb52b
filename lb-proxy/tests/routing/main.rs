//! Routing of sessions: decisions of a route function, virtual servers, connections that are passed on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod fixed;
mod pass;
mod route;
mod split;
mod virtual_servers;
