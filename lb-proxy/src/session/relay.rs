//! Relay: bytes both ways, until the end.

use std::future::Future;
use std::pin::Pin;

use tokio::net::TcpStream;
use tokio::select;

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

    /// The relay of a session that ends when its backend is lost. `None` if it does not. Boxed, so that the others need
    /// not carry what it takes.
    pub(super) fn relay_while_tied<'a>(
        &'a self,
        backend: &'a TcpStream,
        counters: &'a Counters,
    ) -> Option<Pin<Box<impl Future<Output = Result<CloseReason, CloseReason>> + use<'a>>>> {
        let watcher = self.upstream().tie(self.lease.as_ref()?)?;
        Some(Box::pin(async move {
            select! {
                biased;
                reason = watcher.parted() => Err(reason),
                end = self.relay(backend, counters) => Ok(end),
            }
        }))
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
