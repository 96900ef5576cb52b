//! Choose: the virtual server, and what its route says.

use std::sync::Arc;

use super::Session;
use super::client_gone::while_client_stays;
use crate::client_hello::host::host;
use crate::close_reason::CloseReason;
use crate::hooks::RefusalDetail;
use crate::state::route_action::RouteAction;
use crate::state::worker::Worker;

/// How a session goes on after the choice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NextStep {
    /// With a new listener, from the admission on.
    Again,
    /// With a backend of its upstream.
    Connect,
}

impl Session {
    /// Chooses the virtual server, and does what its route function says. `silent` is whether the client has sent no byte
    /// yet.
    pub(super) async fn choose(
        &mut self,
        silent: bool,
        worker: &Worker,
    ) -> Result<NextStep, CloseReason> {
        self.choose_server();
        let Some(function) = &self.route().function else {
            return Ok(NextStep::Connect);
        };
        let mut action = function.choose(&self.connection());
        loop {
            action = match action {
                RouteAction::Default => return Ok(NextStep::Connect),
                RouteAction::Later(action) => {
                    let abandon = self.route().abandon_silent && silent;
                    while_client_stays(&self.client, abandon, action).await?
                }
                RouteAction::Pass(addr) => {
                    self.pass(addr, worker)?;
                    self.permit.acquire().await?;
                    return Ok(NextStep::Again);
                }
                RouteAction::Refuse(reason) => {
                    let detail = RefusalDetail::Route(reason.clone());
                    return Err(self.refused_by_route(&reason, detail));
                }
                RouteAction::Respond(bytes) => {
                    return Err(self.respond(&bytes, &worker.counters).await);
                }
                RouteAction::Split(split) => split.choose(),
                RouteAction::Upstream(upstream) => {
                    self.upstream = Some(upstream);
                    return Ok(NextStep::Connect);
                }
            }
        }
    }

    /// Goes on with the virtual server that the connection asks for. The server names of that server choose the upstream.
    fn choose_server(&mut self) {
        let name = self
            .preread
            .as_ref()
            .and_then(|info| info.server_name.as_deref());
        let listener = &self.permit.listener;
        let host = name.and_then(host);
        let Some(server) = listener.virtual_server(host, || self.connection()) else {
            return;
        };
        let names = name.zip(server.route.server_names.as_ref());
        let upstream = names.and_then(|(name, names)| names.find(name));
        let (server, upstream) = (Arc::clone(server), upstream.cloned());
        self.upstream = upstream;
        self.permit.go_on_with(server);
        if self.route().observer().is_some() {
            self.details.get_or_insert_default();
        }
    }

    /// Reports the reason. Returns that for the end of the session.
    pub(super) fn refused_by_route(&mut self, reason: &str, detail: RefusalDetail) -> CloseReason {
        self.report_refusal(CloseReason::RouteRefused, Some(&reason));
        self.note_refused_for(|| detail);
        CloseReason::RouteRefused
    }
}
