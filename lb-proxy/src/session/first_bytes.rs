//! First bytes: what the backend gets before the relay, a PROXY protocol header and what the prereads left.

use super::Session;
use crate::relay::BytesAhead;
use crate::upstream::send_proxy::HeaderSetting;

/// The bytes that were read before the session had a backend. Without a preread there are none, and nothing is
/// allocated.
#[derive(Debug, Default)]
pub(super) struct FirstBytes {
    pub(super) bytes: Vec<u8>,
    /// How many of them the prereads consumed.
    pub(super) consumed: usize,
    /// How many bytes of the rest are the proxy's own header.
    announced: usize,
}

impl FirstBytes {
    /// Whether nothing is left for the backend.
    pub(super) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.consumed..]
    }

    /// Prepends the PROXY protocol header that the upstream's backends get: the upstream's own, or the listener's.
    pub(super) fn prepend_header(&mut self, session: &Session) {
        let header = session.upstream().header();
        let sends = match &header {
            HeaderSetting::OfListener => session.route().send_proxy.as_ref(),
            HeaderSetting::Own(own) => own.as_deref(),
        };
        if let Some(sends) = sends {
            let header = sends.header(&session.connection());
            self.announced = header.len();
            self.bytes.splice(..self.consumed, header);
            self.consumed = 0;
        }
    }

    /// The bytes that the relay sends to the backend first.
    pub(super) fn into_ahead(self) -> BytesAhead {
        let Self {
            bytes,
            consumed,
            announced,
        } = self;
        BytesAhead {
            bytes,
            consumed,
            announced,
        }
    }
}
