//! Unix domain sockets that the helper opens for the server.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use lb_proxy::settings::UnixSocketOpener;
use tracing::warn;

use super::client::Helper;

/// Lets the helper open and remove unix domain sockets, once there is one.
#[derive(Debug, Default)]
pub(crate) struct HelperSockets(OnceLock<Arc<Helper>>);

impl HelperSockets {
    /// Sets the helper, which is started after the listeners were described.
    pub(crate) fn set(&self, helper: &Arc<Helper>) {
        let _ = self.0.set(Arc::clone(helper));
    }
}

impl UnixSocketOpener for HelperSockets {
    fn open(&self, path: &Path, _mode: u32) -> io::Result<UnixListener> {
        match self.0.get() {
            Some(helper) => helper.open_unix(path),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn remove(&self, path: &Path) {
        // At the end of the process the helper has removed the file already.
        let Some(helper) = self.0.get().filter(|helper| !helper.has_removed_all()) else {
            return;
        };
        if let Err(error) = helper.remove_unix(path) {
            warn!(path = %path.display(), %error, "Socket file not removed");
        }
    }
}
