//! The text of a statement with a mistake, for what can be said about it.

/// The words of a statement and the lines that they begin in.
#[derive(Debug, Default)]
pub(crate) struct StatementText {
    pub(crate) words: Vec<String>,
    /// The line of each word, from 1. One more than words if the last one is not complete.
    pub(crate) lines: Vec<usize>,
    /// The line of a quote that is not closed.
    pub(crate) open_quote: Option<usize>,
}

impl StatementText {
    pub(crate) fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }
}
