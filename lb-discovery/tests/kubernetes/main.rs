//! The Kubernetes sources against an API server over HTTP.

#![allow(clippy::unwrap_used)]

#[path = "../support/api_server/mod.rs"]
mod api_server;
mod chaos;
mod cluster;
mod fair;
mod objects;
mod property;
#[path = "../support/run.rs"]
mod run;
mod sources;
mod trace;
