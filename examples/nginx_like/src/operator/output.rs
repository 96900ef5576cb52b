//! The standard output of a subcommand.

use std::io::{self, IsTerminal, Write};

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

/// The server's JSON, and the end of its line. A control character in a text is written as `\u` and its number, which is the
/// same JSON, so that none reaches a terminal. JSON without such a character is left as it is.
pub(super) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 1);
    for c in text.trim_end().chars() {
        let is_space = matches!(c, '\n' | '\r' | '\t' | ' ');
        match c.is_control() && !is_space {
            true => safe += &format!("\\u{:04x}", u32::from(c)),
            false => safe.push(c),
        }
    }
    safe.push('\n');
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_as_it_is_but_for_control_characters() {
        let plain = "{\"a\": [1, \"\\u001b\", \"für\"],\n\t\"b\": null}";
        assert_eq!(json(plain), format!("{plain}\n"));
        let hostile = "{\"a\":\"\u{9b}2J\u{7f}\"}";
        let shown = json(hostile);
        assert_eq!(shown, "{\"a\":\"\\u009b2J\\u007f\"}\n");
        let [read, before]: [serde_json::Value; 2] =
            [&shown, hostile].map(|text| serde_json::from_str(text).unwrap());
        assert_eq!(read, before);
    }
}
