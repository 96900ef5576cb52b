//! A laboratory for load-balancing policies: simulates backends, clients and changes of membership on virtual time,
//! and draws what each policy makes of them.
//!
//! The policies are those of [`lb_core`], driven through its public interface as `lb-proxy` drives it; nothing of them
//! is imitated here. Backends and clients are models:
//!
//! - Connections arrive in a Poisson process whose rate may have bursts. Each belongs to a client, which is its hash
//!   key; few clients may make most of the connections (Zipf).
//! - To connect takes a time drawn from the backend's distribution, and may fail. A connection that failed is tried on
//!   another backend, under the limits of `[retry]`, whose defaults are lb-proxy's.
//! - A backend serves up to `servers` connections at once and queues the rest in order, so that load slows it. How long
//!   a service takes is drawn from a distribution.
//! - Events let backends join, leave, drain, change weight, fail and recover.
//!
//! Latency is the time from a connection's arrival to the end of its service: attempts to connect, queueing and service
//! together. Connections that arrive within the warm-up (by default the first tenth of the time) are simulated but left
//! out of every figure; the charts over time show them.
//!
//! A scenario may bring variants: policies with settings of their own, and with what a balancer does around them (outlier
//! detection, slow start, spill, panic threshold, zones, subsets), each under a label. So a policy can be compared with
//! itself.
//!
//! Every policy meets the same arrivals, clients, connect times and demands for service, connection by connection.
//! The same scenario, policies, settings and seed make the same page, byte for byte, on one platform.
//!
//! ```
//! use policy_lab::{Scenario, page, simulate};
//! use lb_core::policy::PolicyKind;
//!
//! let text = r#"
//!     duration = "2s"
//!     arrivals = { rate = 100 }
//!     [[backends]]
//!     name = "fast"
//!     count = 3
//!     service = { exponential = "10ms" }
//! "#;
//! let scenario = Scenario::parse("example", text)?;
//! let run = simulate(&scenario, PolicyKind::P2c.build(), 1);
//! assert_eq!(run.arrivals, run.served + run.lost);
//! let html = page(1, &[(scenario, vec![run])])?;
//! assert!(html.contains("<svg"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Scenario`] documents the form of scenario files; those in `scenarios/` are built in and good to start from.

mod cli;
mod model;
mod page;
mod plot;
mod report;
mod scenario;
mod sim;

pub use cli::main;
pub use page::{PageError, page};
pub use scenario::{Place, Scenario, ScenarioError, Variant};
pub use sim::{Run, simulate, simulate_variant};
