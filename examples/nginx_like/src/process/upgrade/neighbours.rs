//! The processes of other binaries that serve beside this one, for the thread that handles signals.

use std::sync::Arc;

use lb_proxy::Handle;
use lb_proxy::readiness_report::SharedReadyFile;

use super::predecessor::Predecessor;
use super::ready_successor::ReadySuccessor;

/// The processes of other binaries that serve beside this one.
#[derive(Debug)]
pub(crate) struct Neighbours {
    pub(crate) successor: ReadySuccessor,
    pub(crate) predecessor: Option<Arc<Predecessor>>,
}

impl Neighbours {
    /// This process begins to end. If a neighbour serves on, what the readiness file and systemd say is that one's.
    pub(crate) fn leave(&self, handle: &Handle, ready_file: &SharedReadyFile) {
        let to_old = || {
            self.predecessor.as_ref().is_some_and(|old| {
                // Before that process takes it.
                ready_file.release();
                old.leave()
            })
        };
        if self.successor.leave() {
            ready_file.fall_silent();
            // The new process accepts, so there is nothing to accept while the readiness spreads.
            handle.pause();
        } else if to_old() {
            ready_file.fall_silent();
        } else {
            ready_file.leave();
        }
    }
}
