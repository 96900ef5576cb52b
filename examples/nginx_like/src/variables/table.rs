//! The variables of a configuration.

use std::fmt;
use std::sync::Arc;

use lb_proxy::server_names::ServerNames;

use super::context::Context;
use super::id::VariableId;
use super::output::ValueOutput;
use crate::syntax::span::Span;

/// What computes a variable.
pub(crate) trait Definition: fmt::Debug + Send + Sync {
    /// Appends the value to `out`. `None` if there is none; nothing is appended then.
    fn evaluate(&self, context: &Context<'_>, out: &mut dyn ValueOutput) -> Option<()>;

    /// The variables that it may evaluate.
    fn variables(&self) -> Vec<VariableId>;

    /// What the value depends on, besides these variables.
    fn traits(&self) -> Traits;

    /// The whole of it as a table of server names, if it is one.
    fn server_names(&self) -> Option<ServerNameMap> {
        None
    }
}

/// A `map` of `$ssl_preread_server_name` to texts, which lb-proxy can look up by itself.
#[derive(Debug)]
pub(crate) struct ServerNameMap {
    /// Indices into `values`.
    pub(crate) names: ServerNames<usize>,
    pub(crate) default: usize,
    /// The texts and their places.
    pub(crate) values: Vec<(Box<str>, Span)>,
}

/// What a value depends on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Traits {
    /// It reads the first bytes.
    pub(crate) first_bytes: bool,
    /// It reads the number, the times or the steps of the session.
    pub(crate) course: bool,
    /// It may differ at the next evaluation.
    pub(crate) changes: bool,
    /// Evaluating it changes captures, or reads them.
    pub(crate) captures: bool,
    /// A session evaluates it each time. A variable does not have this from those that it evaluates.
    pub(crate) volatile: bool,
}

/// The variables that a configuration uses.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    pub(super) list: Vec<Variable>,
    /// How many of them a session may store.
    pub(super) slots: usize,
    /// How many of them a [`Context`] keeps.
    pub(super) kept: usize,
}

#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Where a session stores the value, if it does.
    pub(super) slot: Option<usize>,
    /// Where a [`Context`] keeps the value, if several definitions need it.
    pub(super) kept: Option<usize>,
    /// `set` assigns it somewhere.
    pub(super) is_assigned: bool,
    pub(super) traits: Traits,
}

#[derive(Debug)]
pub(super) enum Kind {
    Defined(Arc<dyn Definition>),
    /// It has a value only in a session that has stored one. The value is then empty instead of missing if the flag is set.
    Stored {
        or_empty: bool,
    },
}

impl Variables {
    /// Whether evaluating one of `ids` may read what the first bytes of a connection contain.
    pub(crate) fn read_first_bytes(&self, mut ids: impl Iterator<Item = VariableId>) -> bool {
        ids.any(|id| self.list[id.0].traits.first_bytes)
    }

    /// Whether evaluating one of `ids` may read the number, the times or the steps of a session.
    pub(crate) fn read_course(&self, mut ids: impl Iterator<Item = VariableId>) -> bool {
        ids.any(|id| self.list[id.0].traits.course)
    }

    /// The name of a variable in small letters.
    pub(crate) fn name(&self, id: VariableId) -> &str {
        &self.list[id.0].name
    }

    pub(super) fn get(&self, id: VariableId) -> Option<&Variable> {
        self.list.get(id.0)
    }
}
