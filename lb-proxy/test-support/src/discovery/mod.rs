//! A running [`Driver`](lb_discovery::Driver), a source that follows a script, and small snapshots.

mod running;
mod script;
mod sets;

pub use running::RunningDriver;
pub use script::{Script, Watch, no_backends, unavailable};
pub use sets::{addrs, backend, ports, set};
