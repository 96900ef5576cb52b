//! Compares load-balancing policies in simulations.
//!
//! The laboratory simulates backends, clients and changes of membership on virtual time, and draws the results of each
//! policy.
//!
//! The policies are those of [`lb_core`], driven through its public interface as `lb-proxy` drives it. Backends and
//! clients are models:
//!
//! - Connections arrive in a Poisson process. Its rate may have bursts. Each connection belongs to a client, and the
//!   client is its hash key; few clients may make most of the connections (Zipf).
//! - An attempt to connect takes a time drawn from the backend's distribution, and may fail. A failed attempt is
//!   retried on another backend, within the limits of `[retry]`. Their defaults are lb-proxy's.
//! - A backend serves up to `servers` connections at once and queues the rest in order, so that load slows it. The
//!   time of a service is drawn from a distribution.
//! - Events let backends join, leave, drain, change weight, fail and recover.
//!
//! Latency is the time from a connection's arrival to the end of its service: attempts to connect, queueing and service
//! together. Connections that arrive within the warm-up (by default the first tenth of the time) are simulated. No figure
//! includes them; the charts over time do.
//!
//! A scenario may have variants. A variant is a label, a policy with settings of its own, and settings of the balancer
//! (outlier detection, slow start, spill, panic threshold, zones, subsets). So a policy can be compared with itself.
//!
//! Every policy meets the same arrivals, clients, connect times and demands for service, connection by connection.
//! On one platform the same scenario, policies, settings and seed make the same page, byte for byte.
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
//! `policy_lab SCENARIO --svg FILE`, or [`picture`], draws the latencies alone, for documents.
//!
//! [`Scenario`] documents the format of scenario files. The files in `scenarios/` are built in.

mod cli;
mod html;
mod model;
mod page;
mod plot;
mod report;
mod scenario;
mod sim;

pub use cli::main;
pub use page::{PageError, page, picture};
pub use scenario::{Place, Scenario, ScenarioError, Variant};
pub use sim::{Run, simulate, simulate_variant};
