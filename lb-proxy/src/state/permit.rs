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
    acquired: usize,
}

impl SessionPermit {
    /// A permit that has acquired nothing.
    pub(crate) const fn empty(listener: Arc<ListenerState>) -> Self {
        Self {
            listener,
            acquired: 0,
        }
    }

    /// Acquires all session limits, then takes a token of each rate limit. Waits where a limit lets its excess wait.
    ///
    /// Cancel-safe: the next call goes on at the limit where this one waited.
    pub(crate) async fn acquire(&mut self) -> Result<(), CloseReason> {
        for (limit, excess) in self.listener.session_limits().skip(self.acquired) {
            while !limit.try_acquire() {
                match excess {
                    Excess::Refuse => return Err(CloseReason::Sessions),
                    Excess::Wait => self.listener.wait_for(limit).await,
                }
            }
            self.acquired += 1;
        }
        for (bucket, excess) in self.listener.rate_limits() {
            while let Err(wait) = bucket.take(self.listener.now()) {
                match excess {
                    Excess::Refuse => return Err(CloseReason::Rate),
                    Excess::Wait => {
                        self.listener.report_pause(AcceptPause::Rate, None);
                        sleep(wait).await;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for SessionPermit {
    fn drop(&mut self) {
        let acquired = self.listener.session_limits().take(self.acquired);
        acquired.for_each(|(limit, _)| limit.release());
    }
}
