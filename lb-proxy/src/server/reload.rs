//! Reloads: a running server takes over another description.

use tokio::time::sleep;
use tracing::info;

use super::bind_retry::RETRY_PAUSE;
use super::desired_state::DesiredState;
use super::proxy::Proxy;
use super::report::ReloadReport;
use super::server_state::ServerState;
use crate::error::ReloadError;

/// See [`Handle::reload`](crate::Handle::reload).
pub(crate) async fn reload(
    server: &ServerState,
    proxy: Proxy,
) -> Result<ReloadReport, ReloadError> {
    let _turn = server.reloading.lock().await;
    let mut desired = DesiredState::new(proxy, server.context.workers.len());
    let (report, closing) = loop {
        let error = match server.active().apply(&mut desired, &server.context) {
            Ok(applied) => break applied,
            Err(error) => error,
        };
        match error {
            ReloadError::Bind(error) if desired.may_retry(&error) => pause(server).await,
            error => return Err(error),
        }
    };
    server.context.trackers.readiness.changed();
    for closing in &closing {
        closing.closed().await;
        if !report.listeners.changed.contains(&closing.endpoint) {
            info!(listener = %closing.endpoint, "No longer listening");
        }
    }
    Ok(report)
}

/// Sleeps in the server's runtime, because the caller may be outside of any.
async fn pause(server: &ServerState) {
    let slept = server.context.runtime.spawn(sleep(RETRY_PAUSE));
    // It fails only if the runtime ends.
    let _ = slept.await;
}
