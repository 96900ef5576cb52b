//! Pass: another listener of the proxy takes the connection over.

use std::net::SocketAddr;

use super::{Ends, Session};
use crate::close_reason::CloseReason;
use crate::hooks::RefusalDetail;
use crate::state::worker::Worker;

/// How many times a connection is passed, as in nginx.
const MAX_PASSES: u8 = 10;

impl Session {
    /// Goes on with the listener on `addr`, whose limits are still to be acquired.
    pub(super) fn pass(&mut self, addr: SocketAddr, worker: &Worker) -> Result<(), CloseReason> {
        let Some(listener) = worker.listeners.find(addr) else {
            let reason = format!("no listener on {addr}");
            return Err(self.refused_by_route(&reason, RefusalDetail::NoListener(addr)));
        };
        if self.permit.passes() >= MAX_PASSES {
            let reason = "passed from listener to listener too often";
            return Err(self.refused_by_route(reason, RefusalDetail::PassedTooOften));
        }
        let Ends { peer, data, .. } = self.ends();
        let local = addr;
        self.ends = Some(Box::new(Ends { local, peer, data }));
        self.upstream = None;
        self.permit.pass_to(listener);
        let factory = self.route().session_data.as_ref();
        let data = factory.map(|factory| factory.create(&self.connection()));
        self.ends = Some(Box::new(Ends { local, peer, data }));
        Ok(())
    }
}
