//! Notifications to systemd (`sd_notify`).

use sd_notify::NotifyState;
use tracing::warn;

/// Tells systemd that the service goes on as the process `pid`, which this process has started. Without systemd it does nothing.
///
/// Only the main process of a unit may say so, by the default `NotifyAccess=main`.
pub(crate) fn main_pid(pid: u32) {
    if let Err(error) = sd_notify::notify(&[NotifyState::MainPid(pid)]) {
        warn!(%error, "systemd not told the new main process");
    }
}
