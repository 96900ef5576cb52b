//! What a session stores: values that must not change, what `set` assigned, and captures.
//!
//! In nginx a session stores every value but those of a few variables that change. Here it computes again what cannot
//! change, such as `$remote_addr` or a `map` of it, which costs less than storing. It stores the first value of a variable
//! whose definition reads a clock or how the session went, or changes captures, unless a `map` is `volatile`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use super::table::{VariableId, Variables};
use super::value::Value;

/// How many connections of clients the process has accepted.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// A `set` directive.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    pub(crate) variable: VariableId,
    pub(crate) value: Value,
}

/// The data of a session.
#[derive(Debug)]
pub(crate) struct SessionState {
    number: u64,
    variables: Arc<Variables>,
    assignments: Arc<[Assignment]>,
    values: Mutex<StoredValues>,
}

impl SessionState {
    /// The data of a new session. `assignments` are the `set` directives of its server, in their order.
    pub(crate) fn new(variables: &Arc<Variables>, assignments: &Arc<[Assignment]>) -> Self {
        Self {
            number: CONNECTIONS.fetch_add(1, Relaxed) + 1,
            variables: Arc::clone(variables),
            assignments: Arc::clone(assignments),
            values: Mutex::default(),
        }
    }

    /// The number of the connection, from 1.
    pub(crate) const fn number(&self) -> u64 {
        self.number
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

/// The values that a session stores.
#[derive(Debug, Default)]
pub(super) struct StoredValues {
    slots: Vec<Slot>,
    captures: Vec<Option<Box<[u8]>>>,
    has_assigned: bool,
}

/// What is stored of a variable: nothing yet, that it has no value, or its value.
type Slot = Option<Option<Box<[u8]>>>;

impl StoredValues {
    /// Makes room for the variables of a configuration. Allocates once, and only if there are any.
    pub(super) fn reserve(&mut self, slots: usize) {
        if self.slots.len() < slots {
            self.slots.resize(slots, None);
        }
    }

    pub(super) fn get(&self, slot: usize) -> Option<&Option<Box<[u8]>>> {
        self.slots.get(slot)?.as_ref()
    }

    pub(super) fn set(&mut self, slot: usize, value: Option<Box<[u8]>>) {
        if let Some(stored) = self.slots.get_mut(slot) {
            *stored = Some(value);
        }
    }

    pub(super) fn capture(&self, number: u8) -> Option<&[u8]> {
        let index = usize::from(number).checked_sub(1)?;
        self.captures.get(index)?.as_deref()
    }

    pub(super) fn set_captures(&mut self, captures: Vec<Option<Box<[u8]>>>) {
        self.captures = captures;
    }

    /// Whether the `set` directives have to run: true once.
    pub(super) fn start_assignments(&mut self) -> bool {
        !std::mem::replace(&mut self.has_assigned, true)
    }
}
