//! `map $ssl_preread_server_name $VARIABLE`.

use lb_proxy::server_names::{ServerNameError, ServerNames};

use crate::config::server::{ProxyPass, proxy_pass};
use crate::syntax::directive::Args::AtLeast;
use crate::syntax::directive::{Directive, Line, Scope};
use crate::syntax::error::{ConfigError, ErrorKind, Span};

/// The only variable that a map can go by.
const SOURCE: &str = "$ssl_preread_server_name";

#[derive(Debug)]
pub(crate) struct MapBlock {
    /// The variable that it makes, without `$`.
    pub(crate) variable: String,
    hostnames: bool,
    pub(crate) default: Option<ProxyPass>,
    /// Indices into `values`.
    pub(crate) names: ServerNames<usize>,
    pub(crate) values: Vec<ProxyPass>,
    pub(crate) span: Span,
}

/// Any word may begin a line.
impl Scope for MapBlock {
    const DIRECTIVES: &'static [&'static [Directive<Self>]] = &[];
    const OTHERWISE: Option<&'static Directive<Self>> =
        Some(&Directive::simple("", AtLeast(0), |map, line, _| {
            map.add(line)
        }));
}

impl MapBlock {
    pub(crate) fn new(line: &Line) -> Result<Self, ConfigError> {
        let variable = line.parameters().next().unwrap_or_default();
        let name = variable.strip_prefix('$').filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| line.invalid("variable name", variable))?;
        if !line.arg().eq_ignore_ascii_case(SOURCE) {
            return Err(line.not_supported_parameter(line.arg()));
        }
        Ok(Self {
            variable: name.to_ascii_lowercase(),
            hostnames: false,
            default: None,
            names: ServerNames::new(),
            values: Vec::new(),
            span: line.span.clone(),
        })
    }

    fn add(&mut self, line: &Line) -> Result<(), ConfigError> {
        let name = line.name();
        match (name, line.args().len()) {
            ("hostnames", 0) => {
                self.hostnames = true;
                Ok(())
            }
            // Nothing is remembered anyway.
            ("volatile", 0) => Ok(()),
            (_, 1) => self.pair(name, line),
            _ => Err(line.error(ErrorKind::MapArity)),
        }
    }

    fn pair(&mut self, name: &str, line: &Line) -> Result<(), ConfigError> {
        if name == "default" {
            return match self.default {
                Some(_) => Err(line.error(ErrorKind::DuplicateMapDefault)),
                None => {
                    self.default = Some(proxy_pass(line)?);
                    Ok(())
                }
            };
        }
        let is_wildcard = name.starts_with(['.', '*']) || name.ends_with('*');
        if name.is_empty() || name.starts_with('~') || (is_wildcard && !self.hostnames) {
            let name = name.to_owned();
            return Err(line.error(ErrorKind::NotSupportedMapKey { name }));
        }
        // A backslash takes the special meaning from what follows.
        let pattern = name.strip_prefix('\\').unwrap_or(name);
        let inserted = self.names.insert(pattern, self.values.len());
        inserted.map_err(|error| {
            let name = name.to_owned();
            line.error(match error {
                ServerNameError::Conflict { .. } => ErrorKind::MapConflict { name },
                _ => ErrorKind::MapHostname { name },
            })
        })?;
        self.values.push(proxy_pass(line)?);
        Ok(())
    }
}
