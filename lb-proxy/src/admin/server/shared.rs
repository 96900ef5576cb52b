//! State that the task, the thread and the connections of an admin server share.

use std::sync::{Arc, PoisonError, RwLock};

use lb_core::Endpoint;

use crate::admin::access::AccessError;
use crate::admin::peer::AdminPeer;
use crate::admin::routes::RouteContext;
use crate::admin::settings::AdmissionRules;
use crate::failures::kind::{Failure, FailureEvent};

/// What the task, the thread and the connections of an admin server share.
#[derive(Debug)]
pub(super) struct ServerShared {
    pub(super) context: Arc<RouteContext>,
    endpoint: Endpoint,
    rules: RwLock<Arc<AdmissionRules>>,
}

impl ServerShared {
    pub(super) fn new(
        context: Arc<RouteContext>,
        endpoint: Endpoint,
        rules: &AdmissionRules,
    ) -> Self {
        Self {
            context,
            endpoint,
            rules: RwLock::new(Arc::new(rules.clone())),
        }
    }

    /// Logs that a client or its request was refused: the first of a kind one by one, the next ones as a count at most every
    /// ten seconds, so that a client cannot fill the log.
    pub(super) fn note_refused(&self, peer: AdminPeer, error: AccessError, request: &str) {
        let (client, by) = match peer {
            AdminPeer::Tcp(addr) => (Some(addr), String::new()),
            AdminPeer::Unix { .. } => (None, format!("{peer}: ")),
        };
        let detail = format!("{by}{request}: {error}");
        let event = FailureEvent {
            listener: Some(self.endpoint.clone()),
            client,
            error: Some(&detail),
            ..FailureEvent::default()
        };
        let failure = Failure::Admin(error.name());
        self.context.handle.note_failure(failure, &event);
    }

    /// Replaces the rules for requests from now on.
    pub(super) fn set_rules(&self, rules: &AdmissionRules) {
        let current = self.rules.write();
        *current.unwrap_or_else(PoisonError::into_inner) = Arc::new(rules.clone());
    }

    pub(super) fn rules(&self) -> Arc<AdmissionRules> {
        // No code that can panic runs under the lock.
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }
}
