//! `log_format`.

use std::sync::Arc;

use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;
use crate::variables::error::VariableError;
use crate::variables::id::VariableId;

/// The name of our own format.
const OWN: &str = "lb_json";

/// A `log_format` directive.
#[derive(Debug)]
pub(crate) struct LogFormat {
    pub(crate) name: String,
    pub(crate) escape: LogEscape,
    pub(crate) parts: Box<[LogPart]>,
}

/// A part of a format.
#[derive(Debug)]
pub(crate) enum LogPart {
    Text(Box<str>),
    Variable(VariableId),
    /// The session as lb-proxy writes it: an object of JSON.
    Event,
}

/// `escape=`: how values of variables are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum LogEscape {
    /// `"`, `\` and all that is not printable ASCII as `\xXX`; a missing value as `-`.
    #[default]
    Default,
    /// As JSON strings need it; a missing value is empty.
    Json,
    /// As they are; a missing value is empty.
    None,
}

/// Worded as in nginx.
#[derive(Debug, thiserror::Error)]
enum LogFormatError {
    #[error("duplicate \"log_format\" name \"{name}\"")]
    Duplicate { name: String },
    #[error("unknown log format escaping \"{name}\"")]
    Escape { name: String },
}

impl LogFormat {
    /// Reads `statement` and adds it to `formats`.
    pub(crate) fn read(
        formats: &mut Vec<Arc<Self>>,
        statement: &Statement,
        reader: &mut Reader<'_>,
    ) -> Result<(), ConfigError> {
        let name = statement.arg().to_owned();
        if formats.iter().any(|other| other.name == name) {
            return Err(statement.error(LogFormatError::Duplicate { name }));
        }
        if name.eq_ignore_ascii_case(OWN) {
            reader.warn(
                statement,
                format!("this format replaces the built-in format \"{OWN}\""),
            );
        }
        let mut texts = statement.parameters().peekable();
        let mut escape = LogEscape::Default;
        if let Some(value) = texts.peek().and_then(|text| text.strip_prefix("escape=")) {
            escape = match value {
                "default" => LogEscape::Default,
                "json" => LogEscape::Json,
                "none" => LogEscape::None,
                other => {
                    let name = other.to_owned();
                    return Err(statement.error(LogFormatError::Escape { name }));
                }
            };
            texts.next();
        }
        let mut parts = Vec::new();
        for text in texts {
            add_parts(&mut parts, text, statement, reader)?;
        }
        formats.push(Arc::new(Self {
            name,
            escape,
            parts: parts.into(),
        }));
        Ok(())
    }

    /// The format `lb_json`, ours, which every configuration has unless it defines one of that name.
    pub(crate) fn add_own(formats: &mut Vec<Arc<Self>>) {
        if Self::named(formats, OWN).is_none() {
            formats.push(Arc::new(Self {
                name: OWN.to_owned(),
                escape: LogEscape::None,
                parts: [LogPart::Event].into(),
            }));
        }
    }

    /// Whether it has what lb-proxy writes of a session.
    pub(crate) fn has_event(&self) -> bool {
        let mut parts = self.parts.iter();
        parts.any(|part| matches!(part, LogPart::Event))
    }

    /// The format that an `access_log` calls `name`. Capital letters make no difference.
    pub(crate) fn named<'a>(formats: &'a [Arc<Self>], name: &str) -> Option<&'a Arc<Self>> {
        let mut formats = formats.iter();
        formats.find(|format| format.name.eq_ignore_ascii_case(name))
    }

    /// The variables in it.
    pub(crate) fn variables(&self) -> impl Iterator<Item = VariableId> {
        self.parts.iter().filter_map(|part| match part {
            LogPart::Variable(id) => Some(*id),
            LogPart::Event | LogPart::Text(_) => None,
        })
    }
}

/// Splits `text` at its variables. Unlike other values a format has no captures: `$1` is a variable of that name.
fn add_parts(
    parts: &mut Vec<LogPart>,
    text: &str,
    statement: &Statement,
    reader: &mut Reader<'_>,
) -> Result<(), ConfigError> {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut rest = text;
    while !rest.is_empty() {
        let Some(behind) = rest.strip_prefix('$') else {
            let end = rest.find('$').unwrap_or(rest.len());
            parts.push(LogPart::Text(rest[..end].into()));
            rest = &rest[end..];
            continue;
        };
        let bracketed = behind.strip_prefix('{');
        let named = bracketed.unwrap_or(behind);
        let length = named.bytes().take_while(|byte| is_of_name(*byte)).count();
        let (name, mut after) = named.split_at(length);
        if bracketed.is_some() && !named.is_empty() {
            let closed = after.strip_prefix('}');
            after = closed.ok_or_else(|| {
                let name = name.to_owned();
                statement.error(VariableError::Bracket { name })
            })?;
        }
        if name.is_empty() {
            return Err(statement.invalid("parameter", rest));
        }
        parts.push(LogPart::Variable(VariableId::of(name, statement, reader)));
        rest = after;
    }
    Ok(())
}
