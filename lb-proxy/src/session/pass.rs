//! Pass: another listener of the proxy takes the connection over.

use std::net::SocketAddr;
use std::sync::OnceLock;

use super::Session;
use crate::close_reason::CloseReason;
use crate::hooks::RefusalDetail;
use crate::state::worker::Worker;

/// How many times a connection is passed, as in nginx.
pub(super) const MAX_PASSES: u8 = 10;

/// Why a connection is refused that was passed too often.
pub(super) const TOO_OFTEN: &str = "passed from listener to listener too often";

impl Session {
    /// Goes on with the listener on `addr`, whose limits are still to be acquired.
    pub(super) fn pass(&mut self, addr: SocketAddr, worker: &Worker) -> Result<(), CloseReason> {
        let Some(listener) = worker.listeners.find(addr) else {
            let reason = format!("no listener on {addr}");
            return Err(self.refused_by_route(&reason, RefusalDetail::NoListener(addr)));
        };
        if self.permit.passes() >= MAX_PASSES {
            return Err(self.refused_by_route(TOO_OFTEN, RefusalDetail::PassedTooOften));
        }
        let mut ends = self.origin().ends();
        ends.local = addr;
        self.upstream = None;
        self.permit.pass_to(listener);
        self.ends = OnceLock::from(self.origin().with_data(ends));
        Ok(())
    }
}
