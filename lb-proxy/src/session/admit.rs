//! Admit: whether the client is served, by its address, its limits and the hooks.

use super::Session;
use crate::close_reason::CloseReason;
use crate::hooks::Admission;
use crate::limits::client_zone::ClientRefusal;

impl Session {
    /// Checks the access rules, then the limits of each client, then the hooks.
    pub(super) fn admit(&mut self) -> Result<(), CloseReason> {
        let route = &self.permit.listener.route;
        let client = self.client_addr;
        if route
            .access
            .as_ref()
            .is_some_and(|access| !access.admits_client(client))
        {
            return Err(CloseReason::AccessDenied);
        }
        for (zone, sessions) in &route.zones {
            self.permits.push(zone.acquire(client.ip(), *sessions)?);
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
