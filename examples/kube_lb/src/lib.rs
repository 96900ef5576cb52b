//! The load balancer of a Kubernetes cluster on your own hardware: it serves Services of type LoadBalancer, and TCPRoutes and
//! TLSRoutes of the Gateway API.
//!
//! One process is the controller and the proxy. It follows the objects of the cluster, decides which addresses and ports are whose,
//! serves them, and reports in the objects' status.
//!
//! ```text
//! API server --watches--> controller::Stores --> controller::decide (pure) --> plan::Plan --> serve --> lb-proxy
//!                                                  addresses, services             |
//! API server <--writes, of the leading replica-- controller::writer <-- status ----+
//! ```
//!
//! - [`addresses`]: pools, and which object has which address and port. Pure;
//! - [`services`]: what Services ask for, and what is reported of them. Pure;
//! - [`gateway`]: the same for Gateways, their routes and policies;
//! - [`clusters`]: several clusters that feed one Service. Pure;
//! - [`plan`]: what is served. Pure data;
//! - [`serve`]: from a plan to a running proxy;
//! - [`controller`]: watches, the loop, writes, leader election;
//! - [`objects`]: the fields of objects that are read;
//! - [`metrics`], [`watch_health`]: what is counted, and how the watches go;
//! - [`config`]: the configuration file; [`state`]: the file from which the next process begins;
//! - [`cli`]: the command line, with [`explain`] and [`rbac`].

#![allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "unpublished: all callers are in this repository"
)]

pub mod addresses;
pub mod cli;
pub mod clusters;
pub mod config;
pub mod controller;
pub mod explain;
pub mod gateway;
mod log_limit;
pub mod metrics;
pub mod names;
pub mod objects;
pub mod plan;
mod process;
pub mod rbac;
pub mod serve;
pub mod services;
pub mod state;
pub mod units;
pub mod watch_health;
