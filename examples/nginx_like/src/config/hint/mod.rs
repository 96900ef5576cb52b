//! Hints for errors with nginx's words, which say only what is wrong. `-t` prints a hint below the error.

mod advice;
mod foreign;
mod similar;
#[cfg(test)]
mod tests;
mod unfinished;

use super::known::{arguments_of, blocks_of, names};
use crate::syntax::error::{ConfigError, SyntaxError};
use crate::syntax::statement_text::StatementText;
use crate::variables::builtin;
use crate::variables::error::VariableError;

/// What to do about `error`, if there is more to say than it says itself.
pub(crate) fn hint(error: &ConfigError) -> Option<String> {
    let message = error.reason().to_string();
    let none = StatementText::default();
    let statement = error.statement().unwrap_or(&none);
    let reason = error.reason().downcast_ref();
    if let Some(SyntaxError::UnknownDirective { name }) = reason
        && let Some(hint) = foreign::hint(name)
    {
        return Some(hint);
    }
    if let Some(hint) = unfinished::hint(reason, &message, statement) {
        return Some(hint);
    }
    match reason {
        Some(SyntaxError::UnknownDirective { name }) => {
            similar::similar(name, names()).map(|meant| format!("did you mean \"{meant}\"?"))
        }
        Some(SyntaxError::NotAllowedHere { name }) => {
            Some(format!("\"{name}\" stands {}", blocks_of(name)))
        }
        Some(SyntaxError::InvalidArity { name }) => {
            Some(format!("\"{name}\" takes {}", arguments_of(name)?))
        }
        Some(SyntaxError::InvalidValue { name }) if name.ends_with("timeout") => {
            Some(advice::TIME.to_owned())
        }
        Some(SyntaxError::InvalidValue { name }) if name.ends_with("size") => {
            Some("a size is a number of bytes, such as 4096, 16k or 1m".to_owned())
        }
        Some(SyntaxError::InvalidValue { name }) if name.ends_with("rate") => {
            Some("a rate is a number of bytes a second, such as 4096, 16k or 1m".to_owned())
        }
        Some(SyntaxError::UnclosedBlock { line, .. }) => Some(format!(
            "the block that begins in line {line} has no closing brace"
        )),
        _ => of_variable(error)
            .or_else(|| parameter(statement.name(), &message))
            .or_else(|| advice::advice(statement.name(), &message)),
    }
}

fn of_variable(error: &ConfigError) -> Option<String> {
    let Some(VariableError::Unknown { name }) = error.reason().downcast_ref() else {
        return None;
    };
    let meant = similar::similar(name, builtin::names())?;
    Some(format!("did you mean \"${meant}\"?"))
}

/// The parameter that may be meant, if `message` complains of one.
fn parameter(directive: &str, message: &str) -> Option<String> {
    let is_of_parameter = [
        "invalid parameter \"",
        "the invalid \"",
        "invalid log level \"",
    ];
    let mut begins = is_of_parameter.iter();
    let written = begins.find_map(|begin| message.strip_prefix(begin))?;
    similar::parameter(directive, written.split('"').next()?)
}
