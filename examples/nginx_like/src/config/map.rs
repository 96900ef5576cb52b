//! `map`, and the sizes of its hash tables.

use std::sync::Arc;

use lb_proxy::server_names::ServerNameError;

use crate::syntax::directive::Args::Exactly;
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::lines::{Lines, TakeLine};
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;
use crate::variables::definitions::Definitions;
use crate::variables::map::Map;
use crate::variables::regex::Regex;
use crate::variables::value::Value;

/// A `map` block as it is read.
#[derive(Debug)]
struct MapBlock {
    map: Map,
    /// The variables that its regular expressions fill in.
    captures: Definitions,
}

/// Worded as in nginx.
#[derive(Debug, thiserror::Error)]
enum MapError {
    #[error("invalid number of the map parameters")]
    Arity,
    #[error("conflicting parameter \"{key}\"")]
    Conflict { key: String },
    #[error("duplicate default map parameter")]
    DuplicateDefault,
    #[error("invalid hostname or wildcard \"{key}\"")]
    Hostname { key: String },
}

impl<B: Has<Definitions>> Directive<B> {
    pub(crate) const MAP: Self = Self::block("map", Exactly(2), |block, statement, reader| {
        read(block.part(), statement, reader)
    });
    pub(crate) const MAP_HASH_BUCKET_SIZE: Self =
        Self::without_effect("map_hash_bucket_size", Exactly(1));
    pub(crate) const MAP_HASH_MAX_SIZE: Self =
        Self::without_effect("map_hash_max_size", Exactly(1));
}

/// Reads a map and adds its variable.
fn read(
    definitions: &mut Definitions,
    statement: &Statement,
    reader: &mut Reader<'_>,
) -> Result<(), ConfigError> {
    let source = Value::compile(statement, statement.arg(), reader)?;
    let variable = statement.parameters().next().unwrap_or_default();
    let name = Definitions::name(statement, variable)?;
    let Lines(block) = reader.read_block(Lines(MapBlock {
        map: Map::new(source),
        captures: Definitions::default(),
    }))?;
    definitions.merge(block.captures);
    definitions.define(name, Arc::new(block.map));
    Ok(())
}

impl TakeLine for MapBlock {
    fn take(&mut self, statement: &Statement, reader: &mut Reader<'_>) -> Result<(), ConfigError> {
        match (statement.name(), statement.args().len()) {
            ("hostnames", 0) => self.map.take_names(),
            ("volatile", 0) => self.map.make_volatile(),
            (key, 1) => return self.add_pair(key, statement, reader),
            _ => return Err(statement.error(MapError::Arity)),
        }
        Ok(())
    }
}

impl MapBlock {
    fn add_pair(
        &mut self,
        key: &str,
        statement: &Statement,
        reader: &mut Reader<'_>,
    ) -> Result<(), ConfigError> {
        let value = Value::compile(statement, statement.arg(), reader)?;
        let span = &statement.span;
        if key == "default" {
            return match self.map.set_default(value, span) {
                true => Ok(()),
                false => Err(statement.error(MapError::DuplicateDefault)),
            };
        }
        if let Some(pattern) = key.strip_prefix('~') {
            let without_star = pattern.strip_prefix('*');
            let regex = Regex::compile(
                statement,
                without_star.unwrap_or(pattern),
                without_star.is_some(),
                &mut self.captures,
                reader,
            )?;
            self.map.add_regex(regex, value, span);
            return Ok(());
        }
        // A backslash removes the special meaning of the word after it.
        let key = key.strip_prefix('\\').unwrap_or(key);
        self.map.add(key, value, span).map_err(|error| {
            let key = key.to_owned();
            statement.error(match error {
                ServerNameError::Conflict { .. } => MapError::Conflict { key },
                _ => MapError::Hostname { key },
            })
        })
    }
}
