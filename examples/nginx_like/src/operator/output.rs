//! The standard output of a subcommand.

use std::io::{self, IsTerminal, Write};

use lb_core::Escaped;

use super::error::OperatorError;

/// Clears the screen of a terminal, and moves the cursor to its first line.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J\u{1b}[3J";

/// Whether the reader of the output is still there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum OutputReader {
    Present,
    /// It has closed the output. That is no error: `head` does so.
    Gone,
}

/// Writes text to the standard output.
pub(super) fn print(text: &str) -> Result<OutputReader, OperatorError> {
    let mut output = io::stdout().lock();
    let written = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
    match written {
        Ok(()) => Ok(OutputReader::Present),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(OutputReader::Gone),
        Err(error) => Err(OperatorError::Output(error)),
    }
}

/// Writes `text` in the place of the text before, if a terminal shows it.
pub(super) fn print_again(text: &str) -> Result<OutputReader, OperatorError> {
    let clears =
        io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|t| t != "dumb");
    match clears {
        true => print(&format!("{CLEAR}{text}")),
        false => print(&format!("{text}\n")),
    }
}

/// The server's JSON, and the end of its line. A character that [`Escaped`] does not show as it is, such as a control character
/// or an override of direction, is written as `\u` and its number. That is the same JSON, and no such character reaches a
/// terminal. JSON without one is left as it is.
pub(super) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 1);
    for c in text.trim_end().chars() {
        let is_space = matches!(c, '\n' | '\r' | '\t' | ' ');
        match is_space || is_harmless(c) {
            true => safe.push(c),
            false => {
                let mut units = [0; 2];
                let units = c.encode_utf16(&mut units).iter();
                safe.extend(units.map(|unit| format!("\\u{unit:04x}")));
            }
        }
    }
    safe.push('\n');
    safe
}

/// Whether a text shows `c` as it is, too.
fn is_harmless(c: char) -> bool {
    matches!(c, ' '..='~') || Escaped(c).to_string() == *c.encode_utf8(&mut [0; 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_as_it_is_but_for_control_characters() {
        let plain = "{\"a\": [1, \"\\u001b\", \"für\"],\n\t\"b\": null}";
        assert_eq!(json(plain), format!("{plain}\n"));
        let hostile = "{\"a\":\"\u{9b}2J\u{7f}\u{202e}\u{2066}\"}";
        let shown = json(hostile);
        assert_eq!(shown, "{\"a\":\"\\u009b2J\\u007f\\u202e\\u2066\"}\n");
        let [read, before]: [serde_json::Value; 2] =
            [&shown, hostile].map(|text| serde_json::from_str(text).unwrap());
        assert_eq!(read, before);
    }
}
