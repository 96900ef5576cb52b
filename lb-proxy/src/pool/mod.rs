//! A pool: an upstream without a server.

mod lease;
mod status;

use std::fmt;
use std::sync::Arc;

use lb_core::policy::P2c;
use lb_core::{Backend, BackendParseError, Explanation, PickError, Policy, Snapshot, Tried};
use lb_discovery::Source;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::BuildError;
use crate::upstream::Upstream;
use crate::upstream::checks::resources::ProbeResources;
use crate::upstream::hash_key::HashKey;

pub use lease::PoolLease;
pub use status::PoolStatus;

/// A pool of backends for programs that connect by themselves: a policy, sources, the task that follows them, a clock and
/// randomness, without a listener.
///
/// It is an [`Upstream`] that no server follows: a clone is another handle of the same pool, and the sources are followed, and
/// checks run, until the last handle is dropped. Each handle remembers which changes it has [seen](Self::changed).
///
/// ```
/// use std::time::Duration;
///
/// use lb_proxy::Pool;
/// use lb_proxy::lb_core::policy::P2c;
/// use lb_proxy::lb_discovery::Manual;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (source, handle) = Manual::new(["10.0.0.1:446".parse()?].into_iter().collect());
/// let mut pool = Pool::spawn(P2c::peak_ewma(), source)?;
/// pool.ready().await;
/// let lease = pool.pick(b"")?;
/// assert_eq!(lease.addr().to_string(), "10.0.0.1:446");
/// // Connect to it, or send it a request, and report the outcome.
/// lease.observe(Duration::from_millis(3));
/// drop(lease); // from now on the request is no longer in flight
///
/// handle.add("10.0.0.2:446".parse()?);
/// while pool.status().eligible() < 2 {
///     pool.changed().await;
/// }
/// # Ok(())
/// # }
/// ```
///
/// A list that never changes needs no runtime and no task:
///
/// ```
/// use lb_proxy::Pool;
///
/// let pool = Pool::fixed(["10.0.0.1:446", "10.0.0.2:446"])?;
/// let lease = pool.pick(b"user-17")?;
/// # drop(lease);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "client-side load balancing", alias = "channel")]
#[derive(Clone)]
pub struct Pool {
    upstream: Upstream,
    /// Counts the memberships.
    seen: watch::Receiver<u64>,
    /// Ends the task that follows the sources. `None` for a fixed pool.
    _follower: Option<Arc<DropGuard>>,
}

impl Pool {
    /// A pool of backends that never change, under [`P2c::least_conn`]: addresses, or [`Backend`]s with weights and limits.
    /// It is ready at once.
    ///
    /// # Errors
    ///
    /// The first text that is no address.
    pub fn fixed<B>(backends: impl IntoIterator<Item = B>) -> Result<Self, BackendParseError>
    where
        B: TryInto<Backend, Error: Into<BackendParseError>>,
    {
        let backends = Snapshot::try_from_backends(backends)?;
        let upstream = Upstream::builder("pool").policy(P2c::least_conn());
        let upstream = upstream.fixed(&backends);
        Ok(Self::of_fixed(upstream.expect("it sends no header")))
    }

    /// A pool of the backends of `source`, which a task of the current Tokio runtime follows. Several sources are one
    /// [`Merge`](lb_discovery::Merge). [`Upstream::spawn`] is for everything that an [upstream](Upstream::builder) can have
    /// besides: health checks, a wait queue, outlier detection, slow start.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoRuntime`] outside of a Tokio runtime.
    pub fn spawn(policy: impl Policy, source: impl Source) -> Result<Self, BuildError> {
        let upstream = Upstream::builder("pool").policy(policy).discovery(source);
        upstream.build()?.spawn()
    }

    fn of_fixed(upstream: Upstream) -> Self {
        Self {
            seen: upstream.membership_changes(),
            upstream,
            _follower: None,
        }
    }

    /// Completes when the first membership is known. Cancel-safe.
    pub async fn ready(&self) {
        self.upstream.ready().await;
    }

    /// Whether the first membership is known.
    pub fn is_ready(&self) -> bool {
        self.upstream.is_ready()
    }

    /// Picks a backend for a connection or a request with this key, which hashing policies hash; empty for none. It counts as
    /// in flight until the lease is dropped. Costs a pick, and a reference count.
    ///
    /// # Errors
    ///
    /// [`PickError`]: no backend can be picked now, or none is known yet. It never waits: [`ready`](Self::ready) and
    /// [`changed`](Self::changed) do.
    pub fn pick(&self, key: impl AsRef<[u8]>) -> Result<PoolLease, PickError> {
        self.pick_untried(key, &Tried::new())
    }

    /// Picks a backend that is not in `tried`: after a failure, for the same connection or request.
    ///
    /// # Errors
    ///
    /// As [`pick`](Self::pick).
    pub fn pick_untried(
        &self,
        key: impl AsRef<[u8]>,
        tried: &Tried,
    ) -> Result<PoolLease, PickError> {
        self.pick_hashed(&HashKey::from_bytes(key.as_ref()), tried)
    }

    pub(crate) fn pick_hashed(&self, key: &HashKey, tried: &Tried) -> Result<PoolLease, PickError> {
        let pick = || self.upstream.pick(key, tried, self.upstream.now());
        let lease = self.upstream.catch_pick(pick)?;
        Ok(PoolLease::new(lease, self.upstream.clone()))
    }

    /// Explains which backend a [`pick`](Self::pick) with this key would get now, and why each could or could not be picked.
    /// O(n).
    ///
    /// # Errors
    ///
    /// As [`Upstream::explain`].
    pub fn explain(&self, key: impl AsRef<[u8]>) -> Result<Explanation, PickError> {
        self.upstream.explain(key.as_ref())
    }

    /// The state of its backends and sources at this moment. O(sources).
    pub fn status(&self) -> PoolStatus {
        PoolStatus::of(&self.upstream)
    }

    /// Completes when a membership has been published that this handle has not seen: it has seen those from before
    /// [`spawn`](Self::spawn) or before the last call, and a clone those that its original has seen. The first membership counts
    /// as well. Cancel-safe.
    pub async fn changed(&mut self) {
        // The sender lives as long as the upstream.
        let _ = self.seen.changed().await;
    }

    /// Whether a membership has been published that this handle has not seen. From then on it has seen it.
    #[cfg(feature = "tower")]
    pub(crate) fn has_changed(&mut self) -> bool {
        let changed = self.seen.has_changed().unwrap_or(false);
        self.seen.mark_unchanged();
        changed
    }

    /// Hints that the last sets of the sources may be outdated. The driver limits the rate, and
    /// [failures](PoolLease::failed) send this hint already.
    pub fn refresh(&self) {
        self.upstream.refresh();
    }

    /// The upstream, for everything else: [connections](Upstream::connect), overrides of single backends, health.
    pub const fn upstream(&self) -> &Upstream {
        &self.upstream
    }
}

impl Upstream {
    /// Follows the sources without a server, on a task of the current Tokio runtime, until the last handle of the pool is
    /// dropped. One task at a time follows an upstream: if a server follows it already, the pool's task continues when that
    /// server ends.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoRuntime`] outside of a Tokio runtime. [Fixed](crate::UpstreamBuilder::fixed) upstreams need none.
    pub fn spawn(&self) -> Result<Pool, BuildError> {
        if self.is_fixed() {
            return Ok(Pool::of_fixed(self.clone()));
        }
        let runtime = Handle::try_current().map_err(|_| BuildError::NoRuntime {
            upstream: Arc::clone(self.shared_name()),
        })?;
        let cancel = CancellationToken::new();
        let following = self
            .clone()
            .follow_supervised(ProbeResources::default(), cancel.clone());
        runtime.spawn(following);
        Ok(Pool {
            seen: self.membership_changes(),
            upstream: self.clone(),
            _follower: Some(Arc::new(cancel.drop_guard())),
        })
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("upstream", &self.upstream.name())
            .finish_non_exhaustive()
    }
}
