//! `map $ssl_preread_server_name $VARIABLE`.

use lb_proxy::server_names::{ServerNameError, ServerNames};

use super::proxy_pass::PassTarget;
use crate::syntax::directive::Args::AtLeast;
use crate::syntax::directive::{Block, Directive};
use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::span::Span;
use crate::syntax::statement::Statement;

/// The only source variable that a map may have.
const SOURCE: &str = "$ssl_preread_server_name";

#[derive(Debug)]
pub(crate) struct MapBlock {
    /// The variable that it defines, without `$` and in small letters.
    pub(crate) variable: String,
    hostnames: bool,
    pub(crate) default: Option<PassTarget>,
    pub(crate) has_mistaken_default: bool,
    /// Indices into `values`.
    pub(crate) names: ServerNames<usize>,
    pub(crate) values: Vec<PassTarget>,
    pub(crate) span: Span,
}

/// A variant without a comment is worded as in nginx.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MapError {
    #[error("invalid number of the map parameters")]
    Arity,
    #[error("conflicting parameter \"{name}\"")]
    Conflict { name: String },
    #[error("duplicate default map parameter")]
    DuplicateDefault,
    #[error("the duplicate \"{name}\" variable")]
    DuplicateVariable { name: String },
    #[error("invalid hostname or wildcard \"{name}\"")]
    Hostname { name: String },
    /// Ours: nginx would close the connections of all other names.
    #[error("a map without \"default\" is not supported yet")]
    NoDefault,
    /// Ours.
    #[error(
        "\"{name}\" in a map is not supported yet: there are host names and, behind \"hostnames;\", wildcards"
    )]
    NotSupportedKey { name: String },
    #[error("unknown \"{name}\" variable")]
    UnknownVariable { name: String },
}

impl Block for MapBlock {
    const DIRECTIVES: &'static [Directive<Self>] = &[];
    const ANY_WORD: Option<&'static Directive<Self>> =
        Some(&Directive::simple("", AtLeast(0), |map, statement, _| {
            map.add(statement)
        }));
}

impl MapBlock {
    /// Reads a map and adds it to the `maps` of the block.
    pub(crate) fn read(
        maps: &mut Vec<Self>,
        statement: &Statement,
        reader: &mut Reader<'_>,
    ) -> Result<(), ConfigError> {
        let map = Self::new(statement)?;
        let name = map.variable.clone();
        if maps.iter().any(|other| other.variable == name) {
            return Err(statement.error(MapError::DuplicateVariable { name }));
        }
        let before = reader.mistakes();
        let mut map = reader.read_block(map)?;
        map.has_mistaken_default = reader.has_mistaken("default", before);
        maps.push(map);
        Ok(())
    }

    fn new(statement: &Statement) -> Result<Self, ConfigError> {
        let variable = statement.parameters().next().unwrap_or_default();
        let name = variable.strip_prefix('$').filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| statement.invalid("variable name", variable))?;
        if !statement.arg().eq_ignore_ascii_case(SOURCE) {
            return Err(statement.not_supported_parameter(statement.arg()));
        }
        Ok(Self {
            variable: name.to_ascii_lowercase(),
            hostnames: false,
            default: None,
            has_mistaken_default: false,
            names: ServerNames::new(),
            values: Vec::new(),
            span: statement.span.clone(),
        })
    }

    /// Reads a line of the block.
    fn add(&mut self, statement: &Statement) -> Result<(), ConfigError> {
        let name = statement.name();
        match (name, statement.args().len()) {
            ("hostnames", 0) => {
                self.hostnames = true;
                Ok(())
            }
            // No value is cached anyway.
            ("volatile", 0) => Ok(()),
            (_, 1) => self.add_pair(name, statement),
            _ => Err(statement.error(MapError::Arity)),
        }
    }

    fn add_pair(&mut self, name: &str, statement: &Statement) -> Result<(), ConfigError> {
        if name == "default" {
            return match self.default {
                Some(_) => Err(statement.error(MapError::DuplicateDefault)),
                None => {
                    self.default = Some(PassTarget::read(statement)?);
                    Ok(())
                }
            };
        }
        let is_wildcard = name.starts_with(['.', '*']) || name.ends_with('*');
        if name.is_empty() || name.starts_with('~') || (is_wildcard && !self.hostnames) {
            let name = name.to_owned();
            return Err(statement.error(MapError::NotSupportedKey { name }));
        }
        // A backslash removes the special meaning of the word after it.
        let pattern = name.strip_prefix('\\').unwrap_or(name);
        let inserted = self.names.insert(pattern, self.values.len());
        inserted.map_err(|error| {
            let name = name.to_owned();
            statement.error(match error {
                ServerNameError::Conflict { .. } => MapError::Conflict { name },
                _ => MapError::Hostname { name },
            })
        })?;
        self.values.push(PassTarget::read(statement)?);
        Ok(())
    }
}
