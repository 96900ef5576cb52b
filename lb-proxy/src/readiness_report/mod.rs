//! Reports to other programs whether the server should get new connections: a file and systemd.
//!
//! keepalived's `track_file` and a watcher for BIRD read the file, systemd gets `READY=1`, the watchdog and a status line. A
//! [`ReadinessReporter`] follows [`Handle::watch_readiness`](crate::Handle::watch_readiness) and writes both:
//!
//! ```no_run
//! use lb_proxy::readiness_report::{ReadinessReporter, ReadyFileSettings, SharedReadyFile};
//!
//! # async fn example(server: lb_proxy::Server) -> std::io::Result<()> {
//! let settings = ReadyFileSettings::new("/run/balancer/ready".into());
//! let file = SharedReadyFile::create(Some(&settings))?;
//! let reporter = ReadinessReporter::new(server.handle(), file.clone(), false);
//! tokio::spawn(reporter.run());
//! server.run(std::future::pending()).await;
//! # Ok(())
//! # }
//! # let _ = example;
//! ```

mod notify;
mod owner_lock;
mod ready_file;
mod reporter;
mod service_manager;
mod settings;
mod shared_file;

pub use notify::{notify_main_pid, notify_service_manager};
pub use ready_file::replace_file;
pub use reporter::ReadinessReporter;
pub use settings::ReadyFileSettings;
pub use shared_file::SharedReadyFile;
