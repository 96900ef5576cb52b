//! The variables that the directives of a `stream` block define.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::builtin;
use super::error::VariableError;
use super::table::Definition;
use crate::syntax::error::ConfigError;
use crate::syntax::statement::Statement;

/// The variables that the directives of a `stream` block define, by their names in small letters.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    by_name: HashMap<String, Defined>,
    assigned: HashSet<String>,
}

/// What defines a variable.
#[derive(Clone, Debug)]
pub(crate) enum Defined {
    By(Arc<dyn Definition>),
    /// A named group of a regular expression.
    ByCapture,
    /// `set`.
    BySet,
}

impl Definitions {
    /// The name in `text`, which is `$NAME`, of a variable that `statement` defines.
    pub(crate) fn name<'a>(statement: &Statement, text: &'a str) -> Result<&'a str, ConfigError> {
        let name = text.strip_prefix('$').filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| {
            let text = text.to_owned();
            statement.error(VariableError::InvalidNameText { text })
        })?;
        Self::check(name).map_err(|error| statement.error(error))?;
        Ok(name)
    }

    /// Whether a directive may define `name`. Built-in variables have their values.
    pub(crate) fn check(name: &str) -> Result<(), VariableError> {
        match builtin::named(&name.to_ascii_lowercase()) {
            Some(_) => Err(VariableError::Duplicate {
                name: name.to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// Adds a variable. As in nginx, the last definition counts.
    pub(crate) fn define(&mut self, name: &str, definition: Arc<dyn Definition>) {
        let name = name.to_ascii_lowercase();
        self.by_name.insert(name, Defined::By(definition));
    }

    /// Adds a variable that a regular expression fills in.
    pub(crate) fn define_capture(&mut self, name: &str) {
        self.by_name
            .insert(name.to_ascii_lowercase(), Defined::ByCapture);
    }

    /// Adds a variable that `set` assigns. Another definition counts where no `set` has run.
    pub(crate) fn define_assigned(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        self.by_name.entry(name.clone()).or_insert(Defined::BySet);
        self.assigned.insert(name);
    }

    /// Adds what a block within has defined.
    pub(crate) fn merge(&mut self, inner: Self) {
        for (name, defined) in inner.by_name {
            match defined {
                Defined::BySet => drop(self.by_name.entry(name).or_insert(defined)),
                Defined::By(_) | Defined::ByCapture => drop(self.by_name.insert(name, defined)),
            }
        }
        self.assigned.extend(inner.assigned);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Defined> {
        self.by_name.get(name)
    }

    pub(crate) fn is_assigned(&self, name: &str) -> bool {
        self.assigned.contains(name)
    }
}
