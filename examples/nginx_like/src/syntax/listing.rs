//! The statements of a configuration as they were read, each with its place.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use super::statement::Statement;

/// The statements of a configuration in the order in which they were read, those of included files in the place of the
/// `include`. Comments are left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    /// All texts, one behind the other.
    text: String,
    lines: Vec<Line>,
    depth: usize,
}

#[derive(Clone, Debug)]
struct Line {
    file: Arc<Path>,
    number: usize,
    depth: usize,
    /// The end of its text.
    end: usize,
}

/// A statement, or the end of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListedLine<'a> {
    /// The file as it was opened.
    pub(crate) file: &'a Path,
    /// The line in which it begins, from 1. 0 if the place has no lines.
    pub(crate) number: usize,
    /// How many blocks are around it.
    pub(crate) depth: usize,
    /// Words that need quotes have them. Has no line break.
    pub(crate) text: &'a str,
}

impl Listing {
    /// Adds a statement that begins in the line `number`. Each word is written as `shown` returns it.
    pub(super) fn add(
        &mut self,
        file: &Arc<Path>,
        number: usize,
        statement: &Statement,
        shown: fn(&Statement, usize) -> Cow<'_, str>,
    ) {
        for index in 0..statement.words.len() {
            if index > 0 {
                self.text.push(' ');
            }
            write_word(&shown(statement, index), &mut self.text);
        }
        self.text
            .push_str(if statement.opens_block { " {" } else { ";" });
        self.end_line(file, number);
        self.depth += usize::from(statement.opens_block);
    }

    /// Adds an `include` as a comment: the statements of its files follow.
    pub(super) fn add_include(&mut self, file: &Arc<Path>, number: usize, pattern: &str) {
        self.text.push_str("# include ");
        write_word(pattern, &mut self.text);
        self.end_line(file, number);
    }

    /// Adds the end of a block.
    pub(super) fn close(&mut self, file: &Arc<Path>, number: usize) {
        self.depth = self.depth.saturating_sub(1);
        self.text.push('}');
        self.end_line(file, number);
    }

    fn end_line(&mut self, file: &Arc<Path>, number: usize) {
        self.lines.push(Line {
            file: Arc::clone(file),
            number,
            depth: self.depth,
            end: self.text.len(),
        });
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = ListedLine<'_>> {
        let begins = std::iter::once(0).chain(self.lines.iter().map(|line| line.end));
        self.lines
            .iter()
            .zip(begins)
            .map(|(line, begin)| ListedLine {
                file: &line.file,
                number: line.number,
                depth: line.depth,
                text: &self.text[begin..line.end],
            })
    }
}

/// Writes a word so that the lexer reads it again.
fn write_word(word: &str, text: &mut String) {
    let is_bare = |c: char| !(c.is_whitespace() || c.is_control() || "\"'\\;{}#".contains(c));
    if !word.is_empty() && word.chars().all(is_bare) {
        text.push_str(word);
        return;
    }
    text.push('"');
    let mut chars = word.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '"' => text.push_str("\\\""),
            // Before any other character the lexer keeps it.
            '\\' if chars
                .peek()
                .is_none_or(|next| "\"'\\trn\n\r\t".contains(*next)) =>
            {
                text.push_str("\\\\");
            }
            c => text.push(c),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::syntax::lexer::{Item, Lexer};

    proptest! {
        #[test]
        fn the_lexer_reads_a_written_word_again(words in proptest::collection::vec("[a-c \\\\\"'trn\n\t;{}#$~]{0,8}", 1..4)) {
            let mut text = String::new();
            for word in &words {
                write_word(word, &mut text);
                text.push(' ');
            }
            text.push(';');
            prop_assert!(!text.contains('\n'));
            let read = Lexer::new(text.as_bytes()).next();
            prop_assert_eq!(read.ok(), Some(Item::Simple(words)), "{}", text);
        }
    }
}
