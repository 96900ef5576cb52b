//! The check that only connects.

use async_trait::async_trait;

use super::check::{CheckReport, HealthCheck};
use super::error::CheckError;
use super::probe::Probe;

/// Passes if the backend's kernel answers that the port is open.
///
/// The answer is a reset then, so that neither side keeps a port of the connection. On Linux the reset takes the place
/// of the last packet of the handshake, as in HAProxy, so that the backend accepts and logs no connection. Without a
/// [source address](super::CheckSettings::source) one socket serves one probe after another. With a [PROXY
/// header](super::ProbeHeader) it is a whole connection, which is closed, so that the header arrives.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct TcpCheck;

impl TcpCheck {
    /// The check. It has no settings of its own.
    pub const fn new() -> Self {
        Self
    }
}

#[async_trait]
impl HealthCheck for TcpCheck {
    fn name(&self) -> &str {
        "tcp"
    }

    async fn check(&self, probe: &Probe<'_>) -> Result<CheckReport, CheckError> {
        match probe.has_header() {
            true => drop(probe.connect().await?),
            false => probe.shake_hands().await?,
        }
        Ok(CheckReport::default())
    }
}
