//! The settings of lookups by the system.

use std::time::Duration;

use lb_core::serde_form::DurationForm;

use crate::{DiscoveryError, SystemDns};

/// The addresses of a host name as backends, looked up by the system's resolver: [`SystemDns`].
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SystemDnsSettings {
    /// A host name or an IP address.
    pub name: Box<str>,
    /// The port of the backends.
    pub port: u16,
    /// The time between two lookups. Default: 10s; less than 1 s counts as 1 s.
    #[serde(default = "interval", with = "DurationForm")]
    pub interval: Duration,
    /// The largest random addition to each wait. Default: 500ms.
    #[serde(default = "jitter", with = "DurationForm")]
    pub jitter: Duration,
    /// The limit on the time of one lookup. Default: 30s.
    #[serde(default = "timeout", with = "DurationForm")]
    pub timeout: Duration,
}

fn interval() -> Duration {
    Duration::from_secs(10)
}

fn jitter() -> Duration {
    Duration::from_millis(500)
}

fn timeout() -> Duration {
    Duration::from_secs(30)
}

impl SystemDnsSettings {
    /// The addresses of `name`, with `port`, everything else at its default.
    pub fn new(name: impl Into<Box<str>>, port: u16) -> Self {
        Self {
            name: name.into(),
            port,
            interval: interval(),
            jitter: jitter(),
            timeout: timeout(),
        }
    }

    pub(super) fn build(&self) -> Result<SystemDns, DiscoveryError> {
        let source = SystemDns::try_new(&self.name, self.port)?;
        let source = source.interval(self.interval).jitter(self.jitter);
        Ok(source.timeout(self.timeout))
    }
}
