//! What is wrong with a scenario, where, and what to do about it.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

/// Why there is no scenario to run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The text says something that cannot be simulated.
    #[error("{origin}:{place}: {message}")]
    Invalid {
        /// The file, or the name of the scenario.
        origin: String,
        /// Where in it.
        place: Place,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// There is no such file, and no built-in scenario of that name.
    #[error("{}: {source}: give a scenario file, or one of the built-in scenarios: {known}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
        /// Names that need no file.
        known: String,
    },
    /// What is there cannot be read.
    #[error("{}: {source}: give a file that can be read", path.display())]
    Read {
        /// The file, or what is in its place.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A place in a text, counted from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Place {
    /// Where in `text` the byte range `span` begins.
    pub(crate) fn of(text: &str, span: Option<Range<usize>>) -> Self {
        let before = span
            .and_then(|span| text.get(..span.start))
            .unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        Self {
            line: 1 + before.matches('\n').count(),
            column: 1 + before[line_start..].chars().count(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}
