//! Resources that all probes of a server share.

use super::permits::ProbePermits;
use super::probe_thread::ProbeRuntime;
use crate::net::handshake::IdleSockets;

/// What all probes of a server share. A clone shares it as well.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProbeResources {
    pub(super) permits: ProbePermits,
    pub(super) idle: IdleSockets,
    pub(super) runtime: ProbeRuntime,
}

#[cfg(test)]
impl ProbeResources {
    /// Probes that need `permits` and run on the runtime of the test.
    pub(crate) fn of_test(permits: ProbePermits) -> Self {
        Self {
            permits,
            idle: IdleSockets::default(),
            runtime: ProbeRuntime {
                is_of_caller: true,
                ..ProbeRuntime::default()
            },
        }
    }
}
