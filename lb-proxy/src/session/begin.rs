//! Begin: the steps before the relay, in their order.

use std::pin::Pin;

use tokio::select;

use super::Session;
use super::choose::NextStep;
use super::first_bytes::FirstBytes;
use super::live::Begun;
use crate::close_reason::CloseReason;
use crate::embedder_code::named;
use crate::lazy_timer::LazyTimer;
use crate::or_never::or_never;
use crate::state::worker::Worker;

impl Session {
    /// From the admission to the connection with a backend, unless an operator closes the session.
    pub(super) async fn begin(
        &mut self,
        worker: &Worker,
        timer: Pin<&mut LazyTimer>,
    ) -> Result<Begun, CloseReason> {
        if worker.live.is_on() {
            self.track(worker);
        }
        let live = self.live().cloned();
        let closed = or_never(
            live.as_deref()
                .map(|live| live.close_request().close_requested()),
        );
        select! {
            biased;
            () = closed => Err(CloseReason::Operator),
            begun = self.steps(worker, timer) => begun,
        }
    }

    /// The steps in their order. A listener that passes the session on makes it begin again.
    async fn steps(
        &mut self,
        worker: &Worker,
        timer: Pin<&mut LazyTimer>,
    ) -> Result<Begun, CloseReason> {
        let mut first = FirstBytes::default();
        loop {
            let route = self.route();
            let is_observed = route.observer().is_some();
            if is_observed || !route.prereads.is_empty() {
                self.origin().store();
            }
            if is_observed {
                self.details.get_or_insert_default();
            }
            let naming = self.prereads_to_admit();
            self.preread(0..naming, &mut first).await?;
            if let Some(decision) = self.admit()? {
                // Boxed: most sessions have none.
                Box::pin(self.decide(decision, first.is_empty())).await?;
            }
            let all = self.route().prereads.len();
            self.preread(naming..all, &mut first).await?;
            self.has_unsent = !first.is_empty();
            match self.choose(first.is_empty(), worker).await? {
                NextStep::Connect => break,
                NextStep::Again => {}
            }
        }
        let connected = self.connect(first.is_empty(), &worker.counters, timer);
        let (backend, connected_at) = connected.await?;
        first.prepend_header(self);
        Ok(Begun {
            backend: self.show_socket(backend),
            connected_at,
            ahead: first.into_ahead(),
        })
    }

    /// The number of prereads up to the last one that may replace the client's address.
    fn prereads_to_admit(&self) -> usize {
        let mut prereads = self.route().prereads.iter();
        let last =
            prereads.rposition(|preread| named("Preread::names_client", || preread.names_client()));
        last.map_or(0, |last| last + 1)
    }
}
