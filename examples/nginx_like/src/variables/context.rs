//! The session that values are evaluated for.

use std::cell::{Cell, RefCell};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_proxy::events::{Connection, Summary};
use lb_proxy::reports::SessionId;

use super::id::VariableId;
use super::output::ValueOutput;
use super::session::SessionState;
use super::stored::StoredValues;
use super::table::{Kind, Variable, Variables};

/// How deep variables may name variables. Each level takes some stack, and a cycle has no end.
const MAX_DEPTH: u8 = 100;

/// A session, and the variables of its configuration.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    variables: &'a Variables,
    pub(crate) connection: &'a Connection,
    /// How the session ended, if it has.
    pub(crate) summary: Option<&'a Summary<'a>>,
    state: Option<&'a SessionState>,
    /// The stored values of a session whose listener keeps none, or those of another configuration.
    own: Mutex<StoredValues>,
    /// The values that several definitions need, so that each is computed once.
    kept: RefCell<StoredValues>,
    depth: Cell<u8>,
    /// The limit of the depth was reached: until the outermost variable is evaluated, no other has a value.
    is_cyclic: Cell<bool>,
}

impl<'a> Context<'a> {
    /// A session that goes on.
    pub(crate) fn new(variables: &'a Variables, connection: &'a Connection) -> Self {
        let state = connection.data::<SessionState>();
        Self {
            variables,
            connection,
            summary: None,
            state: state.filter(|state| state.is_of(variables)),
            own: Mutex::default(),
            kept: RefCell::default(),
            depth: Cell::new(0),
            is_cyclic: Cell::new(false),
        }
    }

    /// A session that has ended.
    pub(crate) fn at_end(
        variables: &'a Variables,
        connection: &'a Connection,
        summary: &'a Summary<'a>,
    ) -> Self {
        Self {
            summary: Some(summary),
            ..Self::new(variables, connection)
        }
    }

    /// Appends the value of a variable to `out`. `None` if it has no value, and `out` is then as before.
    pub(crate) fn variable(&self, id: VariableId, out: &mut dyn ValueOutput) -> Option<()> {
        let variable = self.variables.get(id)?;
        let depth = self.depth.get();
        if depth == MAX_DEPTH {
            // Each level may have several branches.
            self.is_cyclic.set(true);
        }
        if self.is_cyclic.get() {
            return None;
        }
        self.depth.set(depth + 1);
        let found = self.evaluate(variable, out);
        self.depth.set(depth);
        if depth == 0 {
            // The variables that follow may be of no cycle.
            self.is_cyclic.set(false);
        }
        found
    }

    fn evaluate(&self, variable: &Variable, out: &mut dyn ValueOutput) -> Option<()> {
        if variable.is_assigned {
            self.run_assignments();
        }
        let Some(slot) = variable.slot else {
            return match variable.kept {
                Some(kept) => self.compute_once(variable, kept, out),
                None => self.compute(variable, out),
            };
        };
        if let Some(stored) = self.stored().get(slot) {
            out.push(stored.as_ref()?);
            return Some(());
        }
        let mut value = Vec::new();
        let found = self.compute(variable, &mut value);
        if found.is_some() {
            out.push(&value);
        }
        // What a regular expression may fill in later is not stored yet.
        // Nor is what lacks a value only because an outer variable is cyclic.
        if matches!(variable.kind, Kind::Defined(_)) && !self.is_cyclic.get() {
            let value = found.map(|()| value.into_boxed_slice());
            self.stored().set(slot, self.variables.slots, value);
        }
        found
    }

    fn compute_once(
        &self,
        variable: &Variable,
        kept: usize,
        out: &mut dyn ValueOutput,
    ) -> Option<()> {
        if let Some(value) = self.kept.borrow().get(kept) {
            out.push(value.as_ref()?);
            return Some(());
        }
        // Not borrowed while it evaluates, which may need others that are kept.
        let mut value = Vec::new();
        let found = self.compute(variable, &mut value);
        if found.is_some() {
            out.push(&value);
        }
        if !self.is_cyclic.get() {
            let value = found.map(|()| value.into_boxed_slice());
            self.kept.borrow_mut().set(kept, self.variables.kept, value);
        }
        found
    }

    fn compute(&self, variable: &Variable, out: &mut dyn ValueOutput) -> Option<()> {
        match &variable.kind {
            Kind::Defined(definition) => definition.evaluate(self, out),
            Kind::Stored { or_empty } => or_empty.then_some(()),
        }
    }

    /// Appends what the group `number`, from 1, of the last regular expression that matched has captured.
    pub(crate) fn capture(&self, number: u8, out: &mut dyn ValueOutput) {
        if let Some(captured) = self.stored().capture(number) {
            out.push(captured);
        }
    }

    /// Runs the `set` directives of the session's server, if they have not run yet.
    fn run_assignments(&self) {
        let Some(state) = self.state else { return };
        if self.stored().start_assignments() {
            // Each is evaluated as if it came first, whatever variable needs it.
            let depth = self.depth.replace(0);
            for assignment in state.assignments() {
                let mut value = Vec::new();
                let _ = assignment.value.evaluate(self, &mut value);
                self.store(assignment.variable, Some(value.into_boxed_slice()));
            }
            self.depth.set(depth);
        }
    }

    /// Stores the value of a variable that was assigned or captured.
    pub(crate) fn store(&self, id: VariableId, value: Option<Box<[u8]>>) {
        let slot = self.variables.get(id).and_then(|variable| variable.slot);
        if let Some(slot) = slot {
            self.stored().set(slot, self.variables.slots, value);
        }
    }

    /// Replaces the captures.
    pub(crate) fn store_captures(&self, captures: Vec<Option<Box<[u8]>>>) {
        self.stored().set_captures(captures);
    }

    /// The number of the session, 0 if no client has made the connection.
    pub(crate) fn number(&self) -> u64 {
        self.connection.session_id().map_or(0, SessionId::get)
    }

    /// How long the session has lasted, or did last.
    pub(crate) fn elapsed(&self) -> Duration {
        let so_far = || self.connection.data().map(SessionState::elapsed);
        let elapsed = self.summary.map(|end| end.elapsed).or_else(so_far);
        elapsed.unwrap_or_default()
    }

    /// Locks the stored values. No code that evaluates runs under the lock.
    fn stored(&self) -> MutexGuard<'_, StoredValues> {
        let values = self.state.map_or(&self.own, SessionState::values);
        values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
