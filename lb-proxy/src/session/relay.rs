//! Relay: bytes both ways, until the end.

use tokio::net::TcpStream;

use super::Session;
use crate::hooks::CloseReason;
use crate::listener::Route;
use crate::metrics::{Counter, Counters};
use crate::relay::{RelayEnd, Traffic, relay};

impl Session {
    pub(super) async fn relay(&self, backend: &TcpStream, counters: &Counters) -> CloseReason {
        let traffic = Traffic {
            to_backend: self.to_backend(counters),
            to_client: match &self.details {
                Some(own) => &own.to_client,
                None => &counters.bytes_to_clients,
            },
        };
        let (client, route) = (&self.client, self.route());
        let Route {
            timeouts,
            splice,
            half_close,
            ..
        } = route;
        let end = relay(client, backend, timeouts, *splice, *half_close, traffic).await;
        end.into()
    }

    /// Where bytes to the backend are counted.
    pub(super) fn to_backend<'a>(&'a self, counters: &'a Counters) -> &'a Counter {
        match &self.details {
            Some(own) => &own.to_backend,
            None => &counters.bytes_to_backends,
        }
    }
}

impl From<RelayEnd> for CloseReason {
    fn from(end: RelayEnd) -> Self {
        match end {
            RelayEnd::BackendReset => Self::BackendReset,
            RelayEnd::ClientReset => Self::ClientReset,
            RelayEnd::Finished => Self::Finished,
            RelayEnd::FirstByteTimeout => Self::FirstByteTimeout,
            RelayEnd::HalfClosedTimeout => Self::HalfClosedTimeout,
            RelayEnd::IdleTimeout => Self::IdleTimeout,
            RelayEnd::MaxAge => Self::MaxAge,
        }
    }
}
