//! A part of a hash key that a function of the embedder computes.

use std::fmt;
use std::sync::Arc;

use super::hash_key::HashKey;
use crate::connection::Connection;

/// A function of the embedder that computes a part of a key. Two are equal if their identities are.
#[derive(Clone)]
#[must_use]
pub struct KeyFunction {
    identity: Arc<str>,
    pub(super) append: Arc<AppendFn>,
    pub(super) reads_first_bytes: bool,
}

type AppendFn = dyn Fn(&Connection, &mut HashKey) + Send + Sync;

impl KeyFunction {
    /// A part of a key that is what `key` returns for a connection. Runs once for each session, on the session's task, so
    /// it must not block.
    ///
    /// A [reload](crate::Handle::reload) compares functions by `identity`, a text that says what they compute. An upstream
    /// that is otherwise the same keeps its sources and its state, and sessions use the described function from then on.
    pub fn new(
        identity: impl Into<Arc<str>>,
        key: impl Fn(&Connection) -> HashKey + Send + Sync + 'static,
    ) -> Self {
        Self::appending(identity, move |connection, all| {
            all.push(key(connection).as_bytes());
        })
    }

    /// As [`new`](Self::new), for a function that appends its part to the key, after the parts in front of it.
    pub fn appending(
        identity: impl Into<Arc<str>>,
        append: impl Fn(&Connection, &mut HashKey) + Send + Sync + 'static,
    ) -> Self {
        Self {
            identity: identity.into(),
            append: Arc::new(append),
            reads_first_bytes: true,
        }
    }

    /// Whether both are one function.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.append, &other.append)
    }

    /// Sets whether the function reads what the first bytes contain. Default: yes. If not, sessions need not keep them.
    pub fn reads_first_bytes(mut self, reads: bool) -> Self {
        self.reads_first_bytes = reads;
        self
    }
}

impl Eq for KeyFunction {}

impl PartialEq for KeyFunction {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity && self.reads_first_bytes == other.reads_first_bytes
    }
}

impl fmt::Debug for KeyFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFunction")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}
