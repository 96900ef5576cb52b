//! Admit: whether the client is served, by its address, its limits and the hooks.

use std::sync::Arc;

use super::Session;
use crate::close_reason::CloseReason;
use crate::hooks::{Admission, RefusalDetail};
use crate::limits::client_zone::ClientRefusal;

impl Session {
    /// Checks the access rules, then the limits of each client, then the hooks.
    pub(super) fn admit(&mut self) -> Result<(), CloseReason> {
        let listener = Arc::clone(&self.permit.listener);
        let route = &listener.route;
        let client = self.client_addr;
        if route
            .access
            .as_ref()
            .is_some_and(|access| !access.admits_client(client))
        {
            return Err(CloseReason::AccessDenied);
        }
        for (limit, (zone, sessions)) in route.zones.iter().enumerate() {
            match zone.acquire(client.ip(), *sessions) {
                Ok(permit) => self.permits.push(permit),
                Err(refusal) => {
                    self.note_refused_for(|| RefusalDetail::ClientLimit { limit });
                    return Err(refusal.into());
                }
            }
        }
        match &route.hooks {
            Some(hooks) if hooks.accept(&self.connection()) == Admission::Refuse => {
                Err(CloseReason::Refused)
            }
            _ => Ok(()),
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
