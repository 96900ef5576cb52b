//! The state that the routes read and change.

use tokio::sync::Semaphore;

use crate::Handle;
use crate::admin::answer::{AdminAnswer, RequestError};
use crate::admin::program::Program;
use crate::admin::query::Parameters;

/// How many answers are waited for at a time. Far fewer than there are connections, so that probes and scrapes find one.
const MAX_WAITING: usize = 2;

/// What the routes read and change.
#[derive(Debug)]
pub(in crate::admin) struct RouteContext {
    pub(in crate::admin) handle: Handle,
    pub(in crate::admin) program: Program,
    /// The metrics of the server.
    #[cfg(feature = "metrics")]
    pub(in crate::admin) registry: prometheus_client::registry::Registry,
    /// Permits for answers that are waited for.
    pub(super) waiting: Semaphore,
}

impl RouteContext {
    pub(in crate::admin) const fn new(
        handle: Handle,
        program: Program,
        #[cfg(feature = "metrics")] registry: prometheus_client::registry::Registry,
    ) -> Self {
        Self {
            handle,
            program,
            #[cfg(feature = "metrics")]
            registry,
            waiting: Semaphore::const_new(MAX_WAITING),
        }
    }
}

/// A request that was admitted.
#[derive(Debug)]
pub(in crate::admin) struct RouteRequest<'a> {
    pub(in crate::admin) parameters: Parameters,
    /// What sent it, for logs and the origin of overrides.
    pub(in crate::admin) by: &'a str,
    /// The types of documents that the client accepts.
    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "for metrics"))]
    pub(in crate::admin) accept: &'a str,
}

/// An answer, or why there is none.
pub(super) type Answered = Result<AdminAnswer, RequestError>;
