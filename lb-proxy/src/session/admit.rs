//! Admit: whether the client is served, by its address, its limits and the hooks.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;

use super::Session;
use super::client_gone::while_client_stays;
use crate::close_reason::CloseReason;
use crate::embedder_code::{named, poll_named};
use crate::hooks::{Admission, RefusalDetail};
use crate::limits::client_zone::ClientRefusal;
use crate::state::route::Route;

/// A future that decides whether the client is served.
type DecisionFuture = Pin<Box<dyn Future<Output = Admission> + Send>>;

impl Session {
    /// Checks the access rules and the limits of each client, in the order of the listener, then the hooks. Returns the future
    /// that decides for them, if there is one.
    pub(super) fn admit(&mut self) -> Result<Option<DecisionFuture>, CloseReason> {
        let listener = Arc::clone(&self.permit.listener);
        let route = &listener.route;
        let access = route.access.as_ref();
        let is_denied = access.is_some_and(|access| !access.admits_client(self.client_addr));
        if is_denied && !route.limit_before_access {
            return Err(CloseReason::AccessDenied);
        }
        self.acquire_limits(route)?;
        if is_denied {
            return Err(CloseReason::AccessDenied);
        }
        match route.observer() {
            Some(hooks) => {
                let connection = self.connection();
                match named("Hooks::accept", || hooks.accept(&connection)) {
                    Admission::Admit => Ok(None),
                    Admission::Later(decision) => Ok(Some(decision)),
                    Admission::Refuse => Err(CloseReason::Refused),
                }
            }
            None => Ok(None),
        }
    }

    /// Waits for the decision of the hooks. `silent` is whether the client has sent no byte yet.
    pub(super) async fn decide(
        &self,
        decision: DecisionFuture,
        silent: bool,
    ) -> Result<(), CloseReason> {
        let is_admitted = pin!(Admission::Later(decision).admits());
        let is_admitted = poll_named("Admission::Later", is_admitted);
        let abandon = self.route().abandon_silent && silent;
        match while_client_stays(&self.client, abandon, is_admitted).await? {
            true => Ok(()),
            false => Err(CloseReason::Refused),
        }
    }

    /// Acquires a permit of each limit of the client.
    fn acquire_limits(&mut self, route: &Route) -> Result<(), CloseReason> {
        let client = self.client_addr;
        let mut permits = Vec::new();
        for (number, limit) in route.limits.iter().enumerate() {
            match limit.acquire(client, || self.connection()) {
                Ok(permit) => permits.extend(permit),
                Err(refusal) => {
                    let detail = RefusalDetail::ClientLimit { limit: number };
                    if !route.limit_dry_run {
                        self.note_refused_for(|| detail);
                        return Err(refusal.into());
                    }
                    // As in nginx, such a session counts in no zone of the listener.
                    permits.clear();
                    self.observe_limit(refusal.into(), detail);
                    break;
                }
            }
        }
        if !permits.is_empty() {
            // Those of the listeners that have passed the session on are kept.
            self.permits.get_or_insert_default().0.extend(permits);
        }
        Ok(())
    }
}

impl Session {
    /// Reports a limit that would have refused the client.
    fn observe_limit(&mut self, reason: CloseReason, detail: RefusalDetail) {
        self.report_refusal(reason, Some(&"a dry run: the client is served"));
        let listener = Arc::clone(&self.permit.listener);
        if let Some(hooks) = &listener.route.hooks {
            let connection = self.connection();
            named("Hooks::would_refuse", || {
                hooks.would_refuse(&connection, &detail)
            });
            // Sessions whose ends alone are observed have no details yet.
            self.details.get_or_insert_default().observed = Some(detail);
        }
    }
}

impl From<ClientRefusal> for CloseReason {
    fn from(refusal: ClientRefusal) -> Self {
        match refusal {
            ClientRefusal::Rate => Self::ClientRate,
            ClientRefusal::Sessions => Self::ClientSessions,
            ClientRefusal::ZoneFull => Self::ClientZoneFull,
        }
    }
}
