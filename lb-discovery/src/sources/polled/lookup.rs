//! The trait of a source that must be polled.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lb_core::Snapshot;

use crate::error::DiscoveryError;

/// A source that must be polled. [`Polled`](crate::Polled) makes a [`Source`](crate::Source) of it.
///
/// An implementation needs the crate [async-trait](https://docs.rs/async-trait) 0.1.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use lb_core::Snapshot;
/// use lb_discovery::{DiscoveryError, Lookup, Polled, Resolved};
///
/// /// The backends that a program of the host prints, one a line.
/// #[derive(Debug)]
/// struct Inventory;
///
/// #[async_trait::async_trait]
/// impl Lookup for Inventory {
///     fn label(&self) -> Arc<str> {
///         "inventory".into()
///     }
///
///     async fn lookup(&self) -> Result<Resolved, DiscoveryError> {
/// #         async fn printed() -> Result<String, std::io::Error> {
/// #             Ok("10.0.0.1:446\n10.0.0.2:446\n".to_owned())
/// #         }
///         let text = printed()
///             .await
///             .map_err(|error| DiscoveryError::unavailable("inventory", error))?;
///         let backends = Snapshot::try_from_backends(text.lines())
///             .map_err(|error| DiscoveryError::unavailable("inventory", error))?;
///         Ok(Resolved::new(backends, None))
///     }
/// }
///
/// let source = Polled::new(Inventory).interval(Duration::from_secs(5));
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # assert_eq!(runtime.block_on(Inventory.lookup()).unwrap().snapshot.len(), 2);
/// # drop(source);
/// ```
#[async_trait]
pub trait Lookup: fmt::Debug + Send + Sync + 'static {
    /// The source's label; see [`Source::label`](crate::Source::label).
    fn label(&self) -> Arc<str>;

    /// All settings that decide what a lookup finds. Must never change; see [`Source::identity`](crate::Source::identity). Default: the label.
    fn identity(&self) -> Arc<str> {
        self.label()
    }

    /// Looks up the full current set. Must end in bounded time.
    ///
    /// # Errors
    ///
    /// Any reason why there is no set. An authoritative empty answer is an error, too, for which
    /// [`is_authoritative_empty`](DiscoveryError::is_authoritative_empty) is true. [`DiscoveryError::unavailable`] takes any
    /// other error.
    async fn lookup(&self) -> Result<Resolved, DiscoveryError>;
}

/// The answer of a [`Lookup`].
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolved {
    /// The full current set.
    pub snapshot: Snapshot,
    /// How long the set holds. `None` if the source does not say so; then [`Polled::interval`](crate::Polled::interval) decides.
    pub valid_for: Option<Duration>,
}

impl Resolved {
    /// Joins a set and the time for which it holds.
    pub fn new(snapshot: Snapshot, valid_for: Option<Duration>) -> Self {
        Self {
            snapshot,
            valid_for,
        }
    }
}
