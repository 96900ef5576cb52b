//! `set`.

use std::sync::Arc;

use crate::syntax::directive::Args::Exactly;
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;
use crate::variables::definitions::Definitions;
use crate::variables::id::VariableId;
use crate::variables::session::Assignment;
use crate::variables::value::Value;

/// The `set` directives of a block, in their order, and the variables that they define.
#[derive(Debug, Default)]
pub(crate) struct Assignments {
    pub(crate) list: Vec<Assignment>,
    pub(crate) definitions: Definitions,
}

impl<B: Has<Assignments>> Directive<B> {
    pub(crate) const SET: Self = Self::simple("set", Exactly(2), |block, statement, reader| {
        let Assignments { list, definitions } = block.part();
        list.push(read(definitions, statement, reader)?);
        Ok(())
    });
}

fn read(
    definitions: &mut Definitions,
    statement: &Statement,
    reader: &mut Reader<'_>,
) -> Result<Assignment, ConfigError> {
    let name = Definitions::name(statement, statement.arg())?;
    definitions.define_assigned(name);
    let variable = VariableId::of(name, statement, reader);
    let text = statement.parameters().next().unwrap_or_default();
    let value = Value::compile(statement, text, reader)?;
    Ok(Assignment {
        variable,
        value: Arc::new(value),
    })
}
