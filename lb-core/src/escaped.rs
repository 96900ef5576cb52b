//! Foreign text in messages.

use std::fmt::{self, Display, Formatter, Write};

/// Displays text that came from outside on one line, without control characters.
///
/// A line feed is shown as `\n`, an escape as `\u{1b}`, and characters that change the direction of the text around
/// them likewise. So an API server or a client can neither forge a line of a log nor control the terminal that shows
/// one.
///
/// ```
/// use lb_core::Escaped;
///
/// let said = "Forbidden\n[emerg] \u{1b}[2J";
/// assert_eq!(Escaped(said).to_string(), r"Forbidden\n[emerg] \u{1b}[2J");
/// ```
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "a wrapper around one value")]
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, control)) = rest.char_indices().find(|(_, c)| is_control(*c)) {
            self.0.write_str(&rest[..at])?;
            write!(self.0, "{}", control.escape_default())?;
            rest = &rest[at + control.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// Whether `c` is a control character, a line or paragraph separator, or a mark or override of direction.
const fn is_control(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_controls_is_escaped_and_the_rest_is_left_alone() {
        for (text, shown) in [
            ("", ""),
            (
                "plain, \"quoted\", C:\\dir, für 東京",
                "plain, \"quoted\", C:\\dir, für 東京",
            ),
            ("a\r\n\tb\0", r"a\r\n\tb\u{0}"),
            (
                "\u{1b}[31mred\u{9b}0m\u{7f}",
                r"\u{1b}[31mred\u{9b}0m\u{7f}",
            ),
            (
                "\u{202e}gpj\u{2028}\u{2066}",
                r"\u{202e}gpj\u{2028}\u{2066}",
            ),
        ] {
            assert_eq!(Escaped(text).to_string(), shown);
        }
    }

    proptest! {
        #[test]
        fn nothing_that_controls_comes_through(text in any::<String>()) {
            let shown = Escaped(&text).to_string();
            prop_assert!(!shown.chars().any(|c| c.is_control() || is_control(c)));
            if !text.chars().any(is_control) {
                prop_assert_eq!(shown, text);
            }
        }
    }
}
