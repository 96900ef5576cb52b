//! Pools and connections as `tower` services.
//!
//! | service | request | response |
//! |---|---|---|
//! | [`Pool`](crate::Pool) | a key, empty for none | a [lease](crate::balancing::PoolLease) of the backend that the policy picked |
//! | [`Connector`] | a key | a [connection](crate::Connected) to that backend |
//! | [`Balanced`] | any request | the response of the service of that backend, which a `MakeService` made |
//!
//! All are ready at any time: a call waits for what it needs.

mod balanced;
mod connector;
mod picking;
mod rules;
mod services;

use std::future::Future;
use std::pin::Pin;

pub use balanced::{Balanced, CallError};
pub use connector::Connector;
pub use rules::RequestOutcome;

/// The future of a call.
type CallFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;
