//! A pool as a service that picks.

use std::task::{Context, Poll};

use lb_core::PickError;
use tower_service::Service;

use super::CallFuture;
use crate::pool::{Pool, PoolLease};

/// Picks a backend for the key that is the request, as [`Pool::pick`] does, once the first membership is known. Available with
/// the feature `tower`.
impl<K: AsRef<[u8]>> Service<K> for Pool {
    type Response = PoolLease;
    type Error = PickError;
    type Future = CallFuture<PoolLease, PickError>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), PickError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, key: K) -> Self::Future {
        let (pool, key) = (self.clone(), Vec::from(key.as_ref()));
        Box::pin(async move {
            pool.ready().await;
            pool.pick(key)
        })
    }
}
