//! The variables of a configuration, linked to what computes them.

use std::fmt;
use std::sync::Arc;

use super::builtin::{Builtin, Source};
use super::context::Context;
use super::definitions::{Defined, Definitions};
use super::error::VariableError;
use super::output::Output;
use super::value::Value;
use crate::syntax::error::ConfigError;
use crate::syntax::names::Names;
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;

/// The number of a variable in the [`Variables`] of its configuration.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct VariableId(usize);

impl VariableId {
    /// The variable `name`, which `statement` uses.
    pub(crate) fn of(name: &str, statement: &Statement, reader: &mut Reader<'_>) -> Self {
        Self(reader.names().number(name, &statement.span))
    }
}

/// What a directive that defines a variable computes.
pub(crate) trait Definition: fmt::Debug + Send + Sync {
    /// Appends the value to `out`. `None` if there is none.
    fn evaluate(&self, context: &Context<'_>, out: &mut dyn Output) -> Option<()>;

    /// The values that it may evaluate.
    fn values(&self) -> Vec<&Value>;

    /// Whether a session evaluates it anew each time, as nginx's `volatile` says.
    fn is_volatile(&self) -> bool {
        false
    }

    /// Whether evaluating it changes captures, so that a session must not do it twice.
    fn captures(&self) -> bool {
        false
    }
}

/// The variables that a configuration uses.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    list: Vec<Variable>,
    /// How many of them a session may store.
    slots: usize,
}

#[derive(Debug)]
pub(super) struct Variable {
    name: String,
    pub(super) kind: Kind,
    /// Where a session stores the value, if it does.
    pub(super) slot: Option<usize>,
    /// `set` assigns it somewhere.
    pub(super) is_assigned: bool,
    traits: Traits,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A built-in variable, and the rest of the name if the table has its beginning.
    Builtin(&'static Builtin, Box<str>),
    Defined(Arc<dyn Definition>),
    /// It has a value only in a session that has stored one. The value is then empty instead of missing if the flag is set.
    Stored {
        or_empty: bool,
    },
}

/// What a value depends on.
#[derive(Clone, Copy, Debug, Default)]
struct Traits {
    first_bytes: bool,
    /// It may differ at the next evaluation.
    changes: bool,
    captures: bool,
}

impl Variables {
    /// Looks up the `names` that values use. Adds an error for each use of a name that nothing defines, unless
    /// `knows_all` is false: then definitions are missing because of other mistakes.
    pub(crate) fn link(
        names: Names,
        definitions: &Definitions,
        knows_all: bool,
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let used = names.into_used().into_iter();
        let list = used.map(|used| {
            let kind = find(&used.name, definitions).unwrap_or_else(|error| {
                if knows_all {
                    let of = |span| ConfigError::at(span, error.clone());
                    errors.extend(used.uses.iter().map(of));
                }
                Kind::Stored { or_empty: false }
            });
            Variable {
                is_assigned: definitions.is_assigned(&used.name),
                name: used.name,
                kind,
                slot: None,
                traits: Traits::default(),
            }
        });
        let mut variables = Self {
            list: list.collect(),
            slots: 0,
        };
        variables.derive_traits();
        variables.assign_slots();
        variables
    }

    /// Whether evaluating `value` may read what the first bytes of a connection contain.
    pub(crate) fn reads_first_bytes(&self, value: &Value) -> bool {
        value
            .variables()
            .any(|id| self.list[id.0].traits.first_bytes)
    }

    /// The name of a variable in small letters.
    pub(crate) fn name(&self, id: VariableId) -> &str {
        &self.list[id.0].name
    }

    /// Whether values may need what [`SessionState`](super::session::SessionState) has: stored values, or the number of
    /// the connection.
    pub(crate) fn needs_session_data(&self) -> bool {
        let needs = |variable: &Variable| {
            variable.slot.is_some() || variable.traits.captures || variable.name == "connection"
        };
        self.list.iter().any(needs)
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    pub(super) fn get(&self, id: VariableId) -> Option<&Variable> {
        self.list.get(id.0)
    }

    /// Propagates what variables depend on through the values of definitions. The number of rounds is at most the
    /// longest chain of variables, and a cycle ends it as soon as nothing changes.
    fn derive_traits(&mut self) {
        for variable in &mut self.list {
            variable.traits = match &variable.kind {
                Kind::Builtin(builtin, _) => Traits {
                    first_bytes: builtin.source == Source::FirstBytes,
                    changes: matches!(builtin.source, Source::Clock | Source::End),
                    captures: false,
                },
                Kind::Defined(definition) => Traits {
                    captures: definition.captures(),
                    ..Traits::default()
                },
                // What fills it in may have read first bytes.
                Kind::Stored { .. } => Traits {
                    first_bytes: true,
                    ..Traits::default()
                },
            };
            variable.traits.first_bytes |= variable.is_assigned;
        }
        loop {
            let mut is_stable = true;
            for i in 0..self.list.len() {
                let Kind::Defined(definition) = &self.list[i].kind else {
                    continue;
                };
                let mut traits = self.list[i].traits;
                for id in definition.values().into_iter().flat_map(Value::variables) {
                    let of = self.list[id.0].traits;
                    traits.first_bytes |= of.first_bytes;
                    traits.changes |= of.changes;
                    traits.captures |= of.captures;
                }
                let before = self.list[i].traits;
                is_stable &= (before.first_bytes, before.changes, before.captures)
                    == (traits.first_bytes, traits.changes, traits.captures);
                self.list[i].traits = traits;
            }
            if is_stable {
                return;
            }
        }
    }

    /// A session stores what `set` and captures fill in, and the first value of what could change.
    fn assign_slots(&mut self) {
        for variable in &mut self.list {
            let is_stored = match &variable.kind {
                Kind::Builtin(..) => false,
                Kind::Defined(definition) => {
                    let Traits {
                        changes, captures, ..
                    } = variable.traits;
                    variable.is_assigned || (!definition.is_volatile() && (changes || captures))
                }
                Kind::Stored { .. } => true,
            };
            if is_stored {
                variable.slot = Some(self.slots);
                self.slots += 1;
            }
        }
    }
}

/// What a name means. A definition takes precedence over the beginning of a built-in name, as in nginx.
fn find(name: &str, definitions: &Definitions) -> Result<Kind, VariableError> {
    match definitions.get(name) {
        Some(Defined::By(definition)) => return Ok(Kind::Defined(Arc::clone(definition))),
        Some(Defined::ByCapture) => return Ok(Kind::Stored { or_empty: false }),
        Some(Defined::BySet) => return Ok(Kind::Stored { or_empty: true }),
        None => {}
    }
    let (builtin, rest) = Builtin::find(name)?;
    Ok(Kind::Builtin(builtin, rest.into()))
}
