//! Values that a session stores: those that must not change, those that `set` assigned, and captures.
//!
//! In nginx a session stores every value but those of a few variables that change. Here it computes again what cannot
//! change, such as `$remote_addr` or a `map` of it, which costs less than storing. It stores the first value of a variable
//! whose definition reads a clock or how the session went, or changes captures, unless a `map` is `volatile`. What several
//! definitions need is computed once in each [`Context`](super::context::Context).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::id::VariableId;
use super::stored::StoredValues;
use super::table::{Definition, Variables};

/// A `set` directive.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    pub(crate) variable: VariableId,
    pub(crate) value: Arc<dyn Definition>,
}

/// The data of a session.
#[derive(Debug)]
pub(crate) struct SessionState {
    variables: Arc<Variables>,
    assignments: Arc<[Assignment]>,
    has_limits: bool,
    begin: Instant,
    values: Mutex<StoredValues>,
}

impl SessionState {
    /// The data of a new session. `assignments` are the `set` directives of its server, in their order, and `has_limits`
    /// is whether the server has `limit_conn`.
    pub(crate) fn new(
        variables: &Arc<Variables>,
        assignments: &Arc<[Assignment]>,
        has_limits: bool,
    ) -> Self {
        Self {
            variables: Arc::clone(variables),
            assignments: Arc::clone(assignments),
            has_limits,
            begin: Instant::now(),
            values: Mutex::default(),
        }
    }

    /// The time since the session began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Whether the session's server limits connections by zones.
    pub(crate) const fn has_limits(&self) -> bool {
        self.has_limits
    }

    /// Whether its values are those of `variables`. A reload replaces them while sessions go on.
    pub(super) fn is_of(&self, variables: &Variables) -> bool {
        std::ptr::eq(Arc::as_ptr(&self.variables), variables)
    }

    pub(super) fn assignments(&self) -> &[Assignment] {
        &self.assignments
    }

    pub(super) const fn values(&self) -> &Mutex<StoredValues> {
        &self.values
    }
}
