//! Retries of binding an address in use.

use std::io;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::error::BindError;
use crate::listener::bind::BindConfig;

/// The pause before an address in use is tried again.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Limits the attempts to bind the addresses of one description.
#[derive(Debug)]
pub(crate) struct BindRetry {
    begin: Instant,
    timeout: Duration,
    warned: bool,
}

impl BindRetry {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            begin: Instant::now(),
            timeout,
            warned: false,
        }
    }

    /// Whether the attempt to bind all of `configs` that ended with `error` may be repeated after a [`RETRY_PAUSE`].
    pub(crate) fn allows<'a>(
        &mut self,
        error: &BindError,
        mut configs: impl Iterator<Item = &'a BindConfig>,
    ) -> bool {
        let (addr, source) = match error {
            BindError::Listen { addr, source } => (addr.clone(), source),
            BindError::InTheWay { addr, source, .. } => ((*addr).into(), source),
            BindError::Worker { .. } => return false,
        };
        // A previous process of this program would share the address. The holder does not, so it is probably another
        // program.
        let shares = configs.any(|config| addr == config.addr && config.reuse_port);
        let timeout = if shares {
            self.timeout / 5
        } else {
            self.timeout
        };
        let allows = is_in_use(source) && self.begin.elapsed() < timeout;
        if allows && !self.warned {
            self.warned = true;
            warn!(listener = %addr, "Address in use, trying again");
        }
        allows
    }
}

pub(crate) fn is_in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}
