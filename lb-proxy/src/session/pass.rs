//! Pass: another listener of the proxy takes the connection over.

use std::net::SocketAddr;

use super::{Ends, Session};
use crate::close_reason::CloseReason;

/// How many times a connection is passed, as in nginx.
const MAX_PASSES: u8 = 10;

impl Session {
    /// Goes on with the listener on `addr`, whose limits are still to be acquired.
    pub(super) fn pass(&mut self, addr: SocketAddr) -> Result<(), CloseReason> {
        let listener = self.permit.listener.trackers().listeners.find(addr);
        let Some(listener) = listener else {
            return Err(self.cannot_pass(&format!("no listener on {addr}")));
        };
        if self.permit.passes() >= MAX_PASSES {
            return Err(self.cannot_pass("passed from listener to listener too often"));
        }
        let Ends { peer, .. } = self.ends();
        self.ends = Some(Box::new(Ends { local: addr, peer }));
        self.upstream = None;
        self.permit.pass_to(listener);
        Ok(())
    }

    fn cannot_pass(&self, error: &str) -> CloseReason {
        self.report_refusal(CloseReason::RouteRefused, Some(&error));
        CloseReason::RouteRefused
    }
}
