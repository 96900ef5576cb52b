//! Warnings about values of `health_check` that are not what they seem to be.

use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;

/// Warns of quotes behind `=`, which nginx's syntax makes part of the value, and of bytes in a form that does not exist.
pub(super) fn warn_of_quotes(statement: &Statement, reader: &mut Reader<'_>) {
    for parameter in statement.args() {
        let Some((name, value)) = parameter.split_once('=') else {
            continue;
        };
        if let Some(quote @ ('"' | '\'')) = value.chars().next() {
            let inner = &value[1..];
            let inner = inner.strip_suffix(quote).unwrap_or(inner);
            let instead = match inner.is_empty() {
                true => format!("leave \"{name}=\" out"),
                false => format!("write {quote}{name}={inner}{quote}", inner = shown(inner)),
            };
            let what = format!(
                "the quotes behind \"{name}=\" are part of its value, as in nginx: {instead}"
            );
            reader.warn(statement, what);
        } else if ["send", "expect"].contains(&name)
            && (value.starts_with("hex:") || value.starts_with("0x"))
        {
            let what = format!(
                "\"{name}=\" takes \"{}\" as text: write bytes as in \"{name}=\\x50\\x49\"",
                shown(value)
            );
            reader.warn(statement, what);
        }
    }
}

/// A value as it is written in a configuration, on one line.
fn shown(value: &str) -> String {
    value.escape_debug().to_string()
}
