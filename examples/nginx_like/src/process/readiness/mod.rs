//! Reports to other programs whether the server should get new connections: a file and systemd.

mod owner_lock;
mod ready_file;
mod reporter;
mod service_manager;

pub(crate) use ready_file::replace;
pub(crate) use reporter::{ReadinessReporter, SharedReadyFile};
