//! Metrics of a server in a registry of `prometheus-client`.
//!
//! ```no_run
//! use lb_proxy::openmetrics::prometheus_client::registry::Registry;
//! use lb_proxy::openmetrics::{Format, ServerCollector, encode};
//!
//! # #[allow(dead_code)]
//! # async fn example(proxy: lb_proxy::ProxyBuilder) -> Result<(), Box<dyn std::error::Error>> {
//! let server = proxy.detailed_metrics(true).build()?.bind().await?;
//! let mut registry = Registry::default();
//! registry.register_collector(Box::new(ServerCollector::new(server.handle())));
//! // The answer to a scrape; its `Content-Type` is `Format::OpenMetrics.content_type()`.
//! println!("{}", encode(&registry, Format::OpenMetrics));
//! # Ok(())
//! # }
//! ```
//!
//! The program serves the text itself, or lets the server of the feature `admin` do so. Metrics of its own need the version of
//! prometheus-client that is exported here: `cargo add prometheus-client` chooses the newest, whose `Registry` may be another type.
//!
//! `lb-proxy/docs/metrics.md` of the repository lists every metric with its type, its labels and its cost. The names are part of
//! the crate's contract.
//!
//! The metrics by listener, upstream and backend need [`detailed_metrics`](crate::ProxyBuilder::detailed_metrics); without it
//! a scrape has what the server knows anyway. A scrape takes no lock that a session takes, except for the lists of
//! backends, which a session locks at the first attempt to connect to a backend.
//!
//! A removed listener, a removed upstream and a backend that left stay until their last session has ended, and for the scrape
//! after that, which shows the last values. Several collectors of one server share this: the first scrape counts.

mod backends;
mod checks;
mod collector;
mod families;
mod listeners;
mod proc_files;
mod process;
mod server;
mod sockets;
mod sources;
mod text;
mod upstreams;
mod view;
mod writer;

pub use collector::ServerCollector;
// The version whose `Registry` the collectors fit.
pub use process::ProcessCollector;
pub use prometheus_client;
pub use sockets::SocketCollector;
pub use text::{Format, encode, encode_all};
pub use writer::{Family, FamilyWriter};
