//! A service that balances requests over the services of backends.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use lb_core::{Backend, PickError, Tried};
use tokio::time::Instant;
use tower_service::Service;

use super::CallFuture;
use super::rules::{ErrorOf, Made, RequestOutcome, Resend, ResponseOf, Rules};
use super::services::Services;
use crate::pool::{Pool, PoolLease};
use crate::upstream::hash_key::HashKey;

type BoxError = Box<dyn Error + Send + Sync>;

/// A service that sends each request to the backend that the pool's policy picks. [`Pool::balance`] makes one.
///
/// `M` is a `MakeService`: called with a backend, it makes the service that serves requests there, such as an HTTP client for
/// that address. One is made for each backend with its first request, kept, and dropped after the backend has left. Two first
/// requests at one moment may make two, of which one is kept.
///
/// A call waits for the first membership, picks, waits until the backend's service is ready, and reports the outcome with
/// the time to the response, which [`P2c::peak_ewma`](lb_core::policy::P2c::peak_ewma) weighs. If no service can be made for
/// a backend, or it does not become ready, that counts as the backend's failure, and another one is tried, none twice. A
/// request that a service has got is sent to another backend only as [`retry`](Self::retry) says.
///
/// ```
/// use std::convert::Infallible;
/// use std::future::ready;
/// use std::sync::Arc;
///
/// use lb_proxy::Pool;
/// use lb_proxy::lb_core::Backend;
/// use tower::{ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let pool = Pool::fixed(["10.0.0.1:80"])?;
/// // For each backend a service: here one that says where it would send the request.
/// let make = service_fn(|backend: Arc<Backend>| {
///     let send = move |request: &'static str| {
///         ready(Ok::<_, Infallible>(format!("{request} {}", backend.addr)))
///     };
///     ready(Ok::<_, Infallible>(service_fn(send)))
/// });
/// let balanced = pool.balance(make).key(|request: &&str| request.to_string());
/// assert_eq!(balanced.oneshot("GET").await?, "GET 10.0.0.1:80");
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Balanced<M: Service<Arc<Backend>, Response: Service<Q>>, Q> {
    pool: Pool,
    make: M,
    services: Services<Made<M>>,
    rules: Arc<Rules<M, Q>>,
}

/// Why a request got no response.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The policy found no backend, or none that has not failed for this request. `source` is the last failure.
    #[error("no backend for the request: {error}")]
    NoBackend {
        /// Why there was none.
        error: PickError,
        /// Why the last backend that was tried had no service, or the error of its service.
        source: Option<BoxError>,
    },
    /// The backend's service failed.
    #[error(transparent)]
    Service(BoxError),
}

impl Pool {
    /// Balances requests over the services that `make` makes for backends. Available with the feature `tower`.
    pub fn balance<M, Q>(&self, make: M) -> Balanced<M, Q>
    where
        M: Service<Arc<Backend>, Response: Service<Q> + Clone>,
    {
        Balanced {
            pool: self.clone(),
            make,
            services: Services::new(self.clone()),
            rules: Arc::default(),
        }
    }
}

impl<M: Service<Arc<Backend>, Response: Service<Q>>, Q> Balanced<M, Q> {
    /// Sets what hashing policies hash of a request. Default: nothing.
    pub fn key<K: AsRef<[u8]>>(self, key: impl Fn(&Q) -> K + Send + Sync + 'static) -> Self {
        self.with(|rules| rules.key = Arc::new(move |of| HashKey::from_bytes(key(of).as_ref())))
    }

    /// Sets what a response or an error says about the backend. Default: a response is [`RequestOutcome::Served`], an error
    /// [`RequestOutcome::Failed`].
    pub fn classify(
        self,
        classify: impl Fn(Result<&ResponseOf<M, Q>, &ErrorOf<M, Q>>) -> RequestOutcome
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.with(|rules| rules.classify = Arc::new(classify))
    }

    /// Sets a function that keeps the lease of a response, for example in its extensions: the request counts as in flight until
    /// the lease is dropped. For bodies that last longer than their heads. Default: it ends with the response.
    pub fn keep_lease(
        self,
        keep: impl Fn(&mut ResponseOf<M, Q>, PoolLease) + Send + Sync + 'static,
    ) -> Self {
        self.with(|rules| rules.keep = Some(Arc::new(keep)))
    }

    /// Sets after which errors another backend gets a copy of the request: after those that say that the backend did not get it,
    /// such as `is_connect` of hyper's client, or after more of them if requests may be repeated. No backend gets a request
    /// twice. Each request is copied once for each attempt. Default: none.
    pub fn retry(self, is_wanted: impl Fn(&ErrorOf<M, Q>) -> bool + Send + Sync + 'static) -> Self
    where
        Q: Clone,
    {
        self.with(|rules| {
            rules.retry = Some(Resend {
                copy: Q::clone,
                is_wanted: Arc::new(is_wanted),
            });
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Rules<M, Q>)) -> Self {
        change(Arc::make_mut(&mut self.rules));
        self
    }
}

impl<M, Q> Balanced<M, Q>
where
    M: Service<Arc<Backend>, Response: Service<Q> + Clone, Error: Into<BoxError>> + Clone,
    ErrorOf<M, Q>: Into<BoxError>,
{
    /// A lease of a backend, and its service, which is ready.
    async fn ready_service(
        &mut self,
        key: &HashKey,
        failed: &mut Failed,
    ) -> Result<(PoolLease, Made<M>), CallError> {
        self.pool.ready().await;
        loop {
            let lease = match self.pool.pick_hashed(key, &failed.tried) {
                Ok(lease) => lease,
                Err(error) => {
                    let source = failed.last.take();
                    return Err(CallError::NoBackend { error, source });
                }
            };
            match self.service_of(&lease).await {
                Ok(service) => return Ok((lease, service)),
                Err(error) => {
                    failed.note(lease.addr(), error);
                    lease.failed();
                }
            }
        }
    }

    /// The service of the backend. One that was kept and is broken is made again: its connection may have been idle for too
    /// long.
    async fn service_of(&mut self, lease: &PoolLease) -> Result<Made<M>, BoxError> {
        let addr = lease.addr();
        if let Some(mut kept) = self.services.get(addr) {
            match poll_fn(|cx| kept.poll_ready(cx)).await {
                Ok(()) => return Ok(kept),
                Err(_) => self.services.remove(addr),
            }
        }
        let make = &mut self.make;
        poll_fn(|cx| make.poll_ready(cx))
            .await
            .map_err(Into::into)?;
        let mut service = make.call(lease.backend()).await.map_err(Into::into)?;
        poll_fn(|cx| service.poll_ready(cx))
            .await
            .map_err(Into::into)?;
        self.services.insert(addr, service.clone());
        Ok(service)
    }
}

impl<M, Q> Service<Q> for Balanced<M, Q>
where
    M: Service<Arc<Backend>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    Made<M>: Service<Q, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    Q: Send + 'static,
{
    type Response = ResponseOf<M, Q>;
    type Error = CallError;
    type Future = CallFuture<ResponseOf<M, Q>, CallError>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Q) -> Self::Future {
        let mut this = self.clone();
        Box::pin(async move {
            let key = (this.rules.key)(&request);
            let mut failed = Failed::default();
            loop {
                let (lease, mut service) = this.ready_service(&key, &mut failed).await?;
                let addr = lease.addr();
                let retry = this.rules.retry.as_ref();
                let again = retry.map(|retry| (retry, (retry.copy)(&request)));
                let begin = Instant::now();
                let mut result = service.call(request).await;
                this.rules.report(&mut result, lease, begin.elapsed());
                match (result, again) {
                    (Err(error), Some((retry, copy))) if (retry.is_wanted)(&error) => {
                        failed.note(addr, error.into());
                        request = copy;
                    }
                    (result, _) => {
                        return result.map_err(|error| CallError::Service(error.into()));
                    }
                }
            }
        })
    }
}

/// The backends that failed for a request.
#[derive(Default)]
struct Failed {
    tried: Tried,
    last: Option<BoxError>,
}

impl Failed {
    fn note(&mut self, addr: SocketAddr, error: BoxError) {
        self.tried.insert(addr);
        self.last = Some(error);
    }
}

impl<M: Service<Arc<Backend>, Response: Service<Q>> + Clone, Q> Clone for Balanced<M, Q> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            make: self.make.clone(),
            services: self.services.clone(),
            rules: Arc::clone(&self.rules),
        }
    }
}

impl<M: Service<Arc<Backend>, Response: Service<Q>>, Q> fmt::Debug for Balanced<M, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balanced")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}
