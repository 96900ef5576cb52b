//! The Kubernetes sources against an API server over HTTP.

#![allow(clippy::unwrap_used)]

mod anywhere;
#[path = "../support/api_server/mod.rs"]
mod api_server;
mod chaos;
mod cluster;
mod fair;
mod hostile;
mod identity;
mod objects;
mod passed_over;
mod place;
mod property;
mod rbac;
mod real;
mod restored;
#[path = "../support/run.rs"]
mod run;
mod scale;
mod sources;
mod trace;
mod withdrawn;
