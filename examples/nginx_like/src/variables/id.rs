//! The number of a variable.

use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;

/// The number of a variable in the [`Variables`](super::table::Variables) of its configuration.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct VariableId(pub(super) usize);

impl VariableId {
    /// The variable `name`, which `statement` uses.
    pub(crate) fn of(name: &str, statement: &Statement, reader: &mut Reader<'_>) -> Self {
        Self(reader.names().number(name, &statement.span))
    }
}
