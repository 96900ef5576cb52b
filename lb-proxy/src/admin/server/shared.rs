//! What the task, the thread and the connections of an admin server share.

use std::sync::{Arc, PoisonError, RwLock};

use crate::admin::routes::RouteContext;
use crate::admin::settings::AdmissionRules;

/// What the task, the thread and the connections of an admin server share.
#[derive(Debug)]
pub(super) struct ServerShared {
    pub(super) context: Arc<RouteContext>,
    rules: RwLock<Arc<AdmissionRules>>,
}

impl ServerShared {
    pub(super) fn new(context: Arc<RouteContext>, rules: &AdmissionRules) -> Self {
        Self {
            context,
            rules: RwLock::new(Arc::new(rules.clone())),
        }
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
