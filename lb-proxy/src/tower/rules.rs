//! What the embedder's functions say about requests and their outcomes.

use std::sync::Arc;
use std::time::Duration;

use lb_core::Backend;
use tower_service::Service;

use crate::pool::PoolLease;
use crate::upstream::hash_key::HashKey;

/// The service that a `MakeService` makes for a backend.
pub(super) type Made<M> = <M as Service<Arc<Backend>>>::Response;
pub(super) type ResponseOf<M, Q> = <Made<M> as Service<Q>>::Response;
pub(super) type ErrorOf<M, Q> = <Made<M> as Service<Q>>::Error;

/// What the outcome of a request says about its backend.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RequestOutcome {
    /// The backend failed: see [`PoolLease::failed`].
    Failed,
    /// Nothing: the request was at fault, or was cancelled.
    Neutral,
    /// The backend works. The time to the response is a sample of its latency.
    Served,
    /// Nothing answered: see [`PoolLease::unanswered`].
    Unanswered,
}

pub(super) type KeyOf<Q> = dyn Fn(&Q) -> HashKey + Send + Sync;
pub(super) type Classify<T, E> = dyn Fn(Result<&T, &E>) -> RequestOutcome + Send + Sync;
pub(super) type Keep<T> = dyn Fn(&mut T, PoolLease) + Send + Sync;

/// The embedder's functions.
pub(super) struct Rules<M: Service<Arc<Backend>, Response: Service<Q>>, Q> {
    pub(super) key: Arc<KeyOf<Q>>,
    pub(super) classify: Arc<Classify<ResponseOf<M, Q>, ErrorOf<M, Q>>>,
    pub(super) keep: Option<Arc<Keep<ResponseOf<M, Q>>>>,
    pub(super) retry: Option<Resend<Q, ErrorOf<M, Q>>>,
}

/// What is sent again, and after which errors.
pub(super) struct Resend<Q, E> {
    pub(super) copy: fn(&Q) -> Q,
    pub(super) is_wanted: Arc<dyn Fn(&E) -> bool + Send + Sync>,
}

impl<M: Service<Arc<Backend>, Response: Service<Q>>, Q> Default for Rules<M, Q> {
    fn default() -> Self {
        Self {
            key: Arc::new(|_| HashKey::from_bytes(b"")),
            classify: Arc::new(|result| match result {
                Ok(_) => RequestOutcome::Served,
                Err(_) => RequestOutcome::Failed,
            }),
            keep: None,
            retry: None,
        }
    }
}

impl<M: Service<Arc<Backend>, Response: Service<Q>>, Q> Rules<M, Q> {
    /// Reports the outcome of a request to its backend. Ends the lease, unless the response keeps it.
    pub(super) fn report(
        &self,
        result: &mut Result<ResponseOf<M, Q>, ErrorOf<M, Q>>,
        lease: PoolLease,
        elapsed: Duration,
    ) {
        match (self.classify)(result.as_ref()) {
            RequestOutcome::Served => lease.observe(elapsed),
            RequestOutcome::Neutral => {}
            RequestOutcome::Failed => {
                lease.failed();
                return;
            }
            RequestOutcome::Unanswered => {
                lease.unanswered();
                return;
            }
        }
        if let (Ok(response), Some(keep)) = (result, &self.keep) {
            keep(response, lease);
        }
    }
}

impl<M: Service<Arc<Backend>, Response: Service<Q>>, Q> Clone for Rules<M, Q> {
    fn clone(&self) -> Self {
        Self {
            key: Arc::clone(&self.key),
            classify: Arc::clone(&self.classify),
            keep: self.keep.clone(),
            retry: self.retry.clone(),
        }
    }
}

impl<Q, E> Clone for Resend<Q, E> {
    fn clone(&self) -> Self {
        Self {
            copy: self.copy,
            is_wanted: Arc::clone(&self.is_wanted),
        }
    }
}
