//! Statements without their end: nginx notices them only at something that cannot be a word of theirs.

use crate::config::known::{is_block, names};
use crate::syntax::error::SyntaxError;
use crate::syntax::statement_text::StatementText;

/// What is missing, if `reason` may come from a statement that does not end where it should. `message` is the whole error.
pub(super) fn hint(
    reason: Option<&SyntaxError>,
    message: &str,
    statement: &StatementText,
) -> Option<String> {
    let begun = || match statement.words.is_empty() {
        true => None,
        false => Some(begun(statement)),
    };
    match reason {
        Some(SyntaxError::UnexpectedEnd) => match statement.open_quote {
            Some(line) => Some(format!("the quote in line {line} is not closed")),
            None => Some(format!("{} has no \";\"", begun()?)),
        },
        Some(SyntaxError::Unexpected('}')) => Some(match begun() {
            Some(begun) => format!("{begun} has no \";\""),
            None => "no block is open here: one \"}\" too many, here or further up".to_owned(),
        }),
        Some(SyntaxError::Unexpected(';')) => Some(
            "there is no statement in front of this \";\", and the \"}\" of a block needs none"
                .to_owned(),
        ),
        Some(SyntaxError::Unexpected('{')) => {
            Some("a block needs the name of its directive in front of \"{\"".to_owned())
        }
        Some(SyntaxError::Unexpected(_)) => {
            Some("a space or \";\" must follow the quote that ends a word".to_owned())
        }
        _ => {
            let end = match reason {
                Some(SyntaxError::NotOpened { .. }) => "{",
                _ if is_block(statement.name()) => "{",
                _ => ";",
            };
            swallowed(message, statement, end)
        }
    }
}

/// A directive among the arguments: it begins a line, or it is what the error complains of.
fn swallowed(message: &str, statement: &StatementText, end: &str) -> Option<String> {
    let StatementText { words, lines, .. } = statement;
    let following = words.iter().zip(lines).zip(lines.iter().skip(1));
    let mut following = following.zip(words.iter().skip(1));
    let (((_, _), line), name) = following.find(|(((_, before), line), word)| {
        let is_named = || message.contains(&format!("\"{word}\""));
        names().any(|name| name == word.as_str()) && (before < line || is_named())
    })?;
    let begun = begun(statement);
    Some(format!(
        "{begun} has no \"{end}\" in front of \"{name}\" in line {line}"
    ))
}

fn begun(statement: &StatementText) -> String {
    let line = statement.lines.first().copied().unwrap_or_default();
    match statement.name() {
        // In a block that is skipped.
        "" => format!("the statement that begins in line {line}"),
        name => format!("the statement \"{name}\" that begins in line {line}"),
    }
}
