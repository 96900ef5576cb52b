//! The check that only connects.

use async_trait::async_trait;

use super::check::{CheckReport, HealthCheck};
use super::error::CheckError;
use super::probe::Probe;

/// Passes if the backend accepts a connection. The connection is reset then, so that neither side keeps a port of it, as
/// HAProxy does. With a [PROXY header](super::ProbeHeader) it is closed, so that the header arrives.
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
        let stream = probe.connect().await?;
        if !probe.has_header() {
            stream.reset_on_close();
        }
        Ok(CheckReport::default())
    }
}
