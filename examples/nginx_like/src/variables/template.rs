//! Splits a text into literal parts, names of variables and captures.

use super::error::VariableError;

/// A part of a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TemplatePart<'a> {
    Text(&'a str),
    /// `$name` or `${name}`.
    Name(&'a str),
    /// `$1` to `$9`.
    Capture(u8),
}

/// The parts of a text, as nginx splits it.
pub(super) fn split(text: &str) -> Result<Vec<TemplatePart<'_>>, VariableError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        if !before.is_empty() {
            pieces.push(TemplatePart::Text(before));
        }
        let (piece, behind) = match after.as_bytes() {
            // One digit alone, so "$10" is the first capture and a zero.
            [digit @ b'1'..=b'9', ..] => (TemplatePart::Capture(digit - b'0'), &after[1..]),
            _ => {
                let (name, behind) = split_name(after)?;
                (TemplatePart::Name(name), behind)
            }
        };
        pieces.push(piece);
        rest = behind;
    }
    if !rest.is_empty() {
        pieces.push(TemplatePart::Text(rest));
    }
    Ok(pieces)
}

/// Splits what follows a `$` into the name of the variable and the rest.
fn split_name(text: &str) -> Result<(&str, &str), VariableError> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let bracketed = text.strip_prefix('{');
    let inside = bracketed.unwrap_or(text);
    if inside.is_empty() {
        return Err(VariableError::InvalidName);
    }
    let end = inside.find(|c| !is_name(c)).unwrap_or(inside.len());
    let (name, mut rest) = inside.split_at(end);
    if bracketed.is_some() {
        let name = name.to_owned();
        let closed = rest.strip_prefix('}');
        rest = closed.ok_or(VariableError::Bracket { name })?;
    }
    if name.is_empty() {
        return Err(VariableError::InvalidName);
    }
    Ok((name, rest))
}

#[cfg(test)]
mod tests {
    use super::TemplatePart::{Capture, Name, Text};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_split_as_in_nginx() {
        for (text, expected) in [
            ("", vec![]),
            ("constant", vec![Text("constant")]),
            ("$a", vec![Name("a")]),
            ("${a}b", vec![Name("a"), Text("b")]),
            ("$a_1-${B}", vec![Name("a_1"), Text("-"), Name("B")]),
            ("$a$b", vec![Name("a"), Name("b")]),
            ("$12:$0", vec![Capture(1), Text("2:"), Name("0")]),
            ("${1}", vec![Name("1")]),
            ("x$9", vec![Text("x"), Capture(9)]),
        ] {
            assert_eq!(split(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_are_reported_as_in_nginx() {
        let bracket = |name: &str| VariableError::Bracket { name: name.into() };
        for (text, error) in [
            ("$", VariableError::InvalidName),
            ("a$", VariableError::InvalidName),
            ("$-", VariableError::InvalidName),
            ("$$a", VariableError::InvalidName),
            ("${", VariableError::InvalidName),
            ("${}", VariableError::InvalidName),
            ("${a", bracket("a")),
            ("${a-b}", bracket("a")),
        ] {
            assert_eq!(split(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole_text(text in "[a-z1_${}-]{0,20}|\\PC{0,20}") {
            if let Ok(pieces) = split(&text) {
                let joined: String = pieces
                    .iter()
                    .map(|piece| match piece {
                        Text(text) => (*text).to_owned(),
                        Name(name) => format!("${{{name}}}"),
                        Capture(number) => format!("${number}"),
                    })
                    .collect();
                prop_assert_eq!(split(&joined).unwrap(), pieces);
                let plain = |text: &str| text.replace(['{', '}'], "");
                prop_assert_eq!(plain(&joined), plain(&text));
            }
        }
    }
}
