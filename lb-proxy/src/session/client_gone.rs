//! Notices that the client goes away while its session waits for a backend.

use std::future::Future;

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::select;

use super::pick::{Dial, DialingSession};
use crate::close_reason::CloseReason;
use crate::net::stream::Stream;

impl Dial<'_> {
    /// Completes with `waiting`, or fails as soon as the client goes away.
    pub(super) async fn while_client_stays<F: Future>(
        &self,
        waiting: F,
    ) -> Result<F::Output, CloseReason> {
        while_session_stays(self.session.as_ref(), waiting).await
    }
}

/// The same for the session that searches, if it is one.
pub(super) async fn while_session_stays<F: Future>(
    session: Option<&DialingSession<'_>>,
    waiting: F,
) -> Result<F::Output, CloseReason> {
    match session {
        Some(session) => {
            let (client, abandon) = (session.origin.client, session.abandon_silent);
            while_client_stays(client, abandon, waiting).await
        }
        None => Ok(waiting.await),
    }
}

/// Completes with `waiting`, or fails as soon as `client` goes away. With `abandon_silent` a client that has ended its
/// side without a byte has gone away.
pub(super) async fn while_client_stays<F: Future>(
    client: &Stream,
    abandon_silent: bool,
    waiting: F,
) -> Result<F::Output, CloseReason> {
    select! {
        biased;
        output = waiting => Ok(output),
        () = gone(client, abandon_silent) => Err(CloseReason::ClientGone),
    }
}

/// Completes when `client` has reset the connection, or with `abandon_silent` when it has ended it without a byte.
async fn gone(client: &Stream, abandon_silent: bool) {
    if abandon_silent {
        match client.ready(END | Interest::ERROR).await {
            Ok(ready) if ready.is_error() || is_at_end(client) => return,
            // The client has sent a byte, so its FIN may be the end of a request.
            _ => {}
        }
    }
    // Error readiness is set only by an error, and errors are final.
    let _ = client.ready(Interest::ERROR).await;
}

/// Ready when the client has ended its side. Waiting for bytes as well would not help: tokio assumes that an accepted
/// socket is readable.
#[cfg(target_os = "linux")]
const END: Interest = Interest::PRIORITY;
#[cfg(not(target_os = "linux"))]
const END: Interest = Interest::ERROR;

fn is_at_end(client: &Stream) -> bool {
    let look = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    matches!(recv(client, &mut [0_u8; 1], look), Ok((0, _)))
}
