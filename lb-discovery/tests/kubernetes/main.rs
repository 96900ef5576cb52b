//! The Kubernetes sources against an API server over HTTP.

#![allow(clippy::unwrap_used)]

mod anywhere;
#[path = "../support/api_server/mod.rs"]
mod api_server;
mod chaos;
mod cluster;
mod fair;
mod hostile;
mod objects;
mod place;
mod plugin;
mod property;
mod rbac;
mod reach;
mod real;
#[path = "../support/run.rs"]
mod run;
mod scale;
mod sources;
mod trace;
