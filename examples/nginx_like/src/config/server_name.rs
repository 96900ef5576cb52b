//! `server_name`: the names of a virtual server.

use crate::host_name::host_name;
use crate::syntax::directive::Args::AtLeast;
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;
use crate::variables::definitions::Definitions;
use crate::variables::regex::Regex;

/// One name.
#[derive(Clone, Debug)]
pub(crate) enum ServerName {
    /// An exact name or one with a wildcard, in small letters. Empty means no name.
    Pattern(String),
    Regex(Regex),
}

/// The names of a server, in the order of the text.
#[derive(Debug, Default)]
pub(crate) struct ServerNamesDraft {
    pub(crate) names: Vec<ServerName>,
    /// The variables that regular expressions fill in.
    pub(crate) definitions: Definitions,
}

/// Worded as in nginx.
#[derive(Debug, thiserror::Error)]
enum ServerNameError {
    #[error("empty regex in server name \"{name}\"")]
    EmptyRegex { name: String },
    #[error("server name \"{name}\" is invalid")]
    Invalid { name: String },
}

impl<B: Has<ServerNamesDraft>> Directive<B> {
    pub(crate) const SERVER_NAME: Self =
        Self::simple("server_name", AtLeast(1), |block, statement, reader| {
            let draft = block.part();
            for name in statement.args() {
                let name = ServerName::read(name, statement, &mut draft.definitions, reader)?;
                draft.names.push(name);
            }
            Ok(())
        });
}

impl ServerName {
    fn read(
        text: &str,
        statement: &Statement,
        definitions: &mut Definitions,
        reader: &mut Reader<'_>,
    ) -> Result<Self, ConfigError> {
        let name = || text.to_owned();
        let is_wildcard = text.starts_with('*');
        if (is_wildcard && (text.len() < 3 || !text.starts_with("*."))) || text == "." {
            return Err(statement.error(ServerNameError::Invalid { name: name() }));
        }
        if text.contains('/') {
            let warning = format!("server name \"{text}\" has suspicious symbols");
            reader.warn(statement, warning);
        }
        if let Some(pattern) = text.strip_prefix('~') {
            if pattern.is_empty() {
                return Err(statement.error(ServerNameError::EmptyRegex { name: name() }));
            }
            // As in nginx: names are in small letters, so a capital letter can only mean that case does not matter.
            let ignores_case = pattern.bytes().any(|byte| byte.is_ascii_uppercase());
            let regex = Regex::compile(statement, pattern, ignores_case, definitions, reader)?;
            return Ok(Self::Regex(regex));
        }
        if text.eq_ignore_ascii_case("$hostname") {
            return Ok(Self::Pattern(host_name().to_owned()));
        }
        Ok(Self::Pattern(text.to_ascii_lowercase()))
    }
}
