//! Errors of scenarios: the place, the mistake and the fix.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

/// A scenario could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The text is not a scenario that can be simulated.
    #[error("{origin}:{place}: {message}")]
    Invalid {
        /// The file, or the name of the scenario.
        origin: String,
        /// The place in the text.
        place: Place,
        /// The mistake and the fix.
        message: String,
    },
    /// No file and no built-in scenario has this name.
    #[error("{}: {source}: give a scenario file, or one of the built-in scenarios: {known}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
        /// The names of the built-in scenarios.
        known: String,
    },
    /// The file cannot be read.
    #[error("{}: {source}: give a file that can be read", path.display())]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The error of the system.
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
    /// The place in `text` where the byte range `span` begins.
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
