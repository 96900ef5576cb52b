//! Splits a file into statements, with the rules and the errors of nginx.
//!
//! A statement is a list of words that ends with `;` or `{`; a block ends with `}`. A word is bare or in quotes.
//! Quotes and `#` are special only where a word starts, `}` only where a statement starts, and `{` not after a `$`.

use super::error::SyntaxError;
use super::statement_text::StatementText;

/// Longest word, quoted string or comment. In nginx this is the size of the read buffer.
const MAX_LEN: usize = 4096;

/// One step through a file.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Item {
    /// `word…;`
    Simple(Vec<String>),
    /// `word… {`
    BlockStart(Vec<String>),
    /// `}`
    BlockEnd,
    /// The end of the file.
    End,
}

#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    input: &'a [u8],
    pos: usize,
    line: usize,
    /// Where the current word or comment started: position and line.
    start: (usize, usize),
    /// The words of the statement that is being read, and the lines that they begin in.
    words: Vec<String>,
    lines: Vec<usize>,
    /// The line of the quote that is not closed yet.
    open_quote: Option<usize>,
    /// The words are of no interest: they need not be valid UTF-8.
    pub(crate) is_skipping: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            pos: 0,
            line: 1,
            start: (0, 1),
            words: Vec::new(),
            lines: Vec::new(),
            open_quote: None,
            is_skipping: false,
        }
    }

    /// The line of the last byte read; after an error the line of the error.
    pub(crate) fn line(&self) -> usize {
        self.line
    }

    /// Takes the lines that the words of the last statement begin in.
    pub(crate) fn take_lines(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.lines)
    }

    /// What was read of the statement that an error has ended.
    pub(crate) fn unfinished(&self) -> StatementText {
        StatementText {
            words: self.words.clone(),
            lines: self.lines.clone(),
            open_quote: self.open_quote,
        }
    }

    /// Reads one statement.
    pub(crate) fn next(&mut self) -> Result<Item, SyntaxError> {
        self.words.clear();
        self.lines.clear();
        self.open_quote = None;
        let mut next = self.skip_blank()?;
        loop {
            next = match next {
                None if self.words.is_empty() => return Ok(Item::End),
                None => return Err(SyntaxError::UnexpectedEnd),
                Some(b'}') if self.words.is_empty() => return Ok(Item::BlockEnd),
                Some(b'}') => return Err(SyntaxError::Unexpected('}')),
                Some(byte @ (b';' | b'{')) if self.words.is_empty() => {
                    return Err(SyntaxError::Unexpected(byte.into()));
                }
                Some(b';') => return Ok(Item::Simple(std::mem::take(&mut self.words))),
                Some(b'{') => return Ok(Item::BlockStart(std::mem::take(&mut self.words))),
                Some(quote @ (b'"' | b'\'')) => {
                    self.lines.push(self.start.1);
                    self.open_quote = Some(self.start.1);
                    let word = self.quoted(quote)?;
                    self.open_quote = None;
                    self.words.push(word);
                    self.after_quote()?
                }
                Some(first) => {
                    self.lines.push(self.start.1);
                    let (word, end) = self.bare(first)?;
                    self.words.push(word);
                    if is_space(end) {
                        self.skip_blank()?
                    } else {
                        Some(end)
                    }
                }
            }
        }
    }

    /// Skips white space and comments; returns the byte after them and marks it as the start of a word.
    fn skip_blank(&mut self) -> Result<Option<u8>, SyntaxError> {
        loop {
            self.start = (self.pos, self.line);
            match self.bump(None)? {
                Some(b'#') => while !matches!(self.bump(None)?, None | Some(b'\n')) {},
                Some(byte) if is_space(byte) => {}
                byte => return Ok(byte),
            }
        }
    }

    /// Reads the rest of a bare word and the byte that ends it.
    fn bare(&mut self, first: u8) -> Result<(String, u8), SyntaxError> {
        let mut byte = first;
        let mut after_dollar = false;
        loop {
            if byte == b'\\' {
                self.bump(None)?;
            }
            // "${" does not open a block, and neither does the second brace of "${{".
            after_dollar = byte == b'$' || (byte == b'{' && after_dollar);
            byte = self.bump(None)?.ok_or(SyntaxError::UnexpectedEnd)?;
            if is_space(byte) || byte == b';' || (byte == b'{' && !after_dollar) {
                let word = self.word()?;
                return Ok((word, byte));
            }
        }
    }

    /// Reads the rest of a quoted word and the closing quote.
    fn quoted(&mut self, quote: u8) -> Result<String, SyntaxError> {
        self.start.0 = self.pos;
        loop {
            match self.bump(Some(quote))?.ok_or(SyntaxError::UnexpectedEnd)? {
                b'\\' => {
                    self.bump(Some(quote))?;
                }
                byte if byte == quote => return self.word(),
                _ => {}
            }
        }
    }

    /// The word up to the byte before the last.
    fn word(&self) -> Result<String, SyntaxError> {
        match self.is_skipping {
            true => Ok(String::new()),
            false => unescape(&self.input[self.start.0..self.pos - 1]),
        }
    }

    /// Reads the byte after a closing quote. Only a word that starts with `)` may follow without white space.
    fn after_quote(&mut self) -> Result<Option<u8>, SyntaxError> {
        match self.bump(None)? {
            Some(byte) if is_space(byte) => self.skip_blank(),
            Some(b')') => {
                self.start = (self.pos - 1, self.line);
                Ok(Some(b')'))
            }
            end @ (None | Some(b';' | b'{')) => Ok(end),
            Some(byte) => Err(SyntaxError::Unexpected(byte.into())),
        }
    }

    /// Takes one byte. Fails if the current word is too long already.
    fn bump(&mut self, quote: Option<u8>) -> Result<Option<u8>, SyntaxError> {
        let Some(&byte) = self.input.get(self.pos) else {
            return Ok(None);
        };
        let (start, start_line) = self.start;
        if self.pos - start == MAX_LEN {
            self.line = start_line;
            return Err(match quote {
                Some(quote) => SyntaxError::MissingQuote {
                    quote: quote.into(),
                },
                None => SyntaxError::TooLong {
                    start: String::from_utf8_lossy(&self.input[start..start + 10]).into_owned(),
                },
            });
        }
        self.pos += 1;
        if byte == b'\n' {
            self.line += 1;
        }
        Ok(Some(byte))
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Replaces the escapes; a backslash before any other byte stays.
fn unescape(raw: &[u8]) -> Result<String, SyntaxError> {
    let mut word = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let escaped = match bytes.peek() {
            Some(&next @ (b'"' | b'\'' | b'\\')) if byte == b'\\' => Some(next),
            Some(b't') if byte == b'\\' => Some(b'\t'),
            Some(b'r') if byte == b'\\' => Some(b'\r'),
            Some(b'n') if byte == b'\\' => Some(b'\n'),
            _ => None,
        };
        if escaped.is_some() {
            bytes.next();
        }
        word.push(escaped.unwrap_or(byte));
    }
    String::from_utf8(word).map_err(|error| SyntaxError::NotUtf8 {
        text: String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

#[cfg(test)]
mod tests;
