//! A session's permit of the limits of its listener.

use std::sync::Arc;

use tokio::time::sleep;

use super::listener::ListenerState;
use crate::close_reason::CloseReason;
use crate::failures::kind::AcceptPause;
use crate::limits::Excess;

/// What a session has acquired of its listener's limits. Dropping it releases them.
#[derive(Debug)]
pub(crate) struct SessionPermit {
    pub(crate) listener: Arc<ListenerState>,
    /// How many of the [session limits](ListenerState::session_limits) are acquired.
    acquired: u32,
    /// How many listeners have passed the session on.
    passes: u8,
    /// The permit of the listener that the session comes from. It includes the limits of the process and the proxy.
    former: Option<Box<Self>>,
}

impl SessionPermit {
    /// A permit that has acquired nothing.
    pub(crate) const fn empty(listener: Arc<ListenerState>) -> Self {
        Self {
            listener,
            acquired: 0,
            passes: 0,
            former: None,
        }
    }

    /// How many listeners have passed the session on.
    pub(crate) const fn passes(&self) -> u8 {
        self.passes
    }

    /// The listener that accepted the session.
    pub(crate) fn accepting_listener(&self) -> &Arc<ListenerState> {
        let mut permit = self;
        while let Some(former) = &permit.former {
            permit = former;
        }
        &permit.listener
    }

    /// Goes on with another listener, whose own limits are still to be acquired.
    pub(crate) fn pass_to(&mut self, listener: Arc<ListenerState>) {
        self.go_on_with(listener);
        self.passes += 1;
    }

    /// Goes on with a virtual server of the listener. Keeps what is acquired, and acquires nothing more.
    pub(crate) fn go_on_with(&mut self, listener: Arc<ListenerState>) {
        let mut next = Self::empty(listener);
        next.passes = self.passes;
        let former = std::mem::replace(self, next);
        self.former = Some(Box::new(former));
    }

    /// Acquires all session limits, then takes a token of each rate limit. Waits where a limit lets its excess wait.
    ///
    /// Cancel-safe: the next call goes on at the limit where this one waited.
    pub(crate) async fn acquire(&mut self) -> Result<(), CloseReason> {
        let (shared, shared_rates) = self.shared_limits();
        let limits = self.listener.session_limits();
        for (limit, excess) in limits.skip(shared + self.acquired as usize) {
            while !limit.try_acquire() {
                match excess {
                    Excess::Refuse => return Err(CloseReason::Sessions),
                    Excess::Wait => self.listener.wait_for(limit).await,
                }
            }
            self.acquired += 1;
        }
        for (bucket, excess) in self.listener.rate_limits().skip(shared_rates) {
            while let Err(wait) = bucket.take(self.listener.now()) {
                match excess {
                    Excess::Refuse => return Err(CloseReason::Rate),
                    Excess::Wait => {
                        self.listener.pause(AcceptPause::Rate, None);
                        sleep(wait).await;
                    }
                }
            }
        }
        Ok(())
    }

    /// How many of the limits on sessions and on rates the former permit includes.
    fn shared_limits(&self) -> (usize, usize) {
        match self.former {
            Some(_) => self.listener.shared_limits(),
            None => (0, 0),
        }
    }
}

impl Drop for SessionPermit {
    fn drop(&mut self) {
        let (shared, _) = self.shared_limits();
        let limits = self.listener.session_limits();
        let acquired = limits.skip(shared).take(self.acquired as usize);
        acquired.for_each(|(limit, _)| limit.release());
    }
}
