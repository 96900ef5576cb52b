//! The Kubernetes sources against an API server over HTTP.

#![allow(clippy::unwrap_used)]

mod anywhere;
mod chaos;
mod cluster;
mod controller;
mod fair;
mod hostile;
mod identity;
mod place;
mod plugin;
mod property;
mod rbac;
mod reach;
mod real;
mod restored;
mod scale;
mod skipped_slices;
mod sources;
mod trace;
mod withdrawn;
