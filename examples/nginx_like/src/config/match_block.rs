//! `match`: what a health check sends and expects.

use lb_proxy::health::{Expect, SendExpect};

use crate::syntax::directive::Args::Exactly;
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::{ConfigError, SyntaxError};
use crate::syntax::lines::{Lines, TakeLine};
use crate::syntax::reader::Reader;
use crate::syntax::span::Span;
use crate::syntax::statement::Statement;
use crate::variables::pcre;

/// A `match` block.
#[derive(Clone, Debug)]
pub(crate) struct Match {
    pub(crate) name: String,
    pub(crate) check: SendExpect,
    pub(crate) span: Span,
}

/// A `match` block as it is read.
#[derive(Debug, Default)]
struct MatchBlock {
    send: Option<Vec<u8>>,
    expect: Option<Expect>,
}

#[derive(Debug, thiserror::Error)]
enum MatchError {
    #[error("duplicate \"match\" \"{name}\"")]
    Duplicate { name: String },
    #[error(
        "unknown directive \"{name}\": \"match\" takes \"send TEXT\", and \"expect TEXT\" or \"expect ~ REGEX\""
    )]
    Unknown { name: String },
    #[error("the pattern \"{pattern}\" cannot be used: {reason}")]
    Pattern { pattern: String, reason: String },
}

impl<B: Has<Vec<Match>>> Directive<B> {
    pub(crate) const MATCH: Self = Self::block("match", Exactly(1), |block, statement, reader| {
        let read = Match::read(statement, reader)?;
        let matches = block.part();
        if matches.iter().any(|other| other.name == read.name) {
            let name = read.name;
            return Err(statement.error(MatchError::Duplicate { name }));
        }
        matches.push(read);
        Ok(())
    });
}

impl Match {
    fn read(statement: &Statement, reader: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let Lines(block) = reader.read_block(Lines(MatchBlock::default()))?;
        Ok(Self {
            name: statement.arg().to_owned(),
            check: send_expect(block.send, block.expect),
            span: statement.span.clone(),
        })
    }
}

impl TakeLine for MatchBlock {
    fn take(&mut self, line: &Statement, _: &mut Reader<'_>) -> Result<(), ConfigError> {
        match (line.name(), line.args()) {
            ("send", [text]) if self.send.is_none() => {
                self.send = Some(literal(line, text)?);
            }
            ("expect", [text]) if self.expect.is_none() => {
                self.expect = Some(expectation(line, text)?);
            }
            ("expect", [operator, text])
                if self.expect.is_none() && ["~", "~*"].contains(&operator.as_str()) =>
            {
                self.expect = Some(expectation(line, &format!("{operator}{text}"))?);
            }
            ("send" | "expect", [_] | [_, _]) if self.send.is_some() || self.expect.is_some() => {
                return Err(line.duplicate());
            }
            ("send" | "expect", _) => {
                let name = line.name().to_owned();
                return Err(line.error(SyntaxError::InvalidArity { name }));
            }
            (name, _) => {
                let name = name.to_owned();
                return Err(line.error(MatchError::Unknown { name }));
            }
        }
        Ok(())
    }
}

/// The check that sends and expects these.
pub(super) fn send_expect(send: Option<Vec<u8>>, expect: Option<Expect>) -> SendExpect {
    let mut check = SendExpect::new();
    if let Some(bytes) = send {
        check = check.send(bytes);
    }
    if let Some(expect) = expect {
        check = check.expect(expect);
    }
    check
}

/// What an answer has to contain: a text, or after `~` or `~*` a regular expression.
pub(super) fn expectation(statement: &Statement, text: &str) -> Result<Expect, ConfigError> {
    let bad = |reason: String| {
        let pattern = text.to_owned();
        statement.error(MatchError::Pattern { pattern, reason })
    };
    let Some(pattern) = text.strip_prefix('~') else {
        let bytes = literal(statement, text)?;
        return Expect::try_bytes(bytes).map_err(|error| bad(error.to_string()));
    };
    let (flags, pattern) = match pattern.strip_prefix('*') {
        Some(pattern) => ("(?i-u)", pattern),
        None => ("(?-u)", pattern),
    };
    let pattern = pattern.trim_start();
    if pattern.is_empty() {
        return Err(bad("it is empty".to_owned()));
    }
    pcre::check(pattern).map_err(bad)?;
    let expect = Expect::try_regex(&format!("{flags}{pattern}"));
    expect.map_err(|error| bad(error.to_string()))
}

/// The bytes of a text, where `\x` and two digits stand for a byte.
pub(super) fn literal(statement: &Statement, text: &str) -> Result<Vec<u8>, ConfigError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        let digits = after
            .get(..2)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let byte = byte.ok_or_else(|| statement.invalid("value", text))?;
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(byte);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}
