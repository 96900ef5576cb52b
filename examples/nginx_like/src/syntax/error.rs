//! Errors of reading a configuration.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
};

use super::span::Span;
use super::statement_text::StatementText;

/// Why a configuration cannot be used.
///
/// It displays as `MESSAGE in FILE:LINE`. Where nginx has the same error, the message is nginx's. The place is missing
/// only if the main file itself cannot be read.
#[derive(Debug)]
pub(crate) struct ConfigError {
    reason: Box<dyn Error + Send + Sync>,
    span: Option<Span>,
    statement: Option<Box<StatementText>>,
}

impl ConfigError {
    /// `reason` is a [`SyntaxError`], or the error type of a group of directives.
    pub(crate) fn new(reason: impl Error + Send + Sync + 'static, span: Option<Span>) -> Self {
        Self {
            reason: Box::new(reason),
            span,
            statement: None,
        }
    }

    /// Adds the statement that it is about, unless it has one.
    pub(crate) fn in_statement(mut self, statement: impl FnOnce() -> StatementText) -> Self {
        self.statement.get_or_insert_with(|| Box::new(statement()));
        self
    }

    /// An error of the statement or block at `span`.
    pub(crate) fn at(span: &Span, reason: impl Error + Send + Sync + 'static) -> Self {
        Self::new(reason, Some(span.clone()))
    }

    /// Replaces a value that its text quotes by what `shown` returns for it.
    pub(super) fn with_value(mut self, shown: impl Fn(&str) -> Option<String>) -> Self {
        if let Some(error) = self.reason.downcast_mut::<SyntaxError>()
            && let Some(value) = error.value()
            && let Some(shown) = shown(value)
        {
            *value = shown;
        }
        self
    }

    /// What is wrong, without the place.
    pub(crate) fn reason(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.reason
    }

    /// The statement that it is about, if that is known.
    pub(crate) fn statement(&self) -> Option<&StatementText> {
        self.statement.as_deref()
    }

    /// The place of the error.
    #[cfg(test)]
    pub(crate) fn span(&self) -> Option<&Span> {
        self.span.as_ref()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        match &self.span {
            Some(span) => write!(f, " in {span}"),
            None => Ok(()),
        }
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.source()
    }
}

/// What is wrong with a file, a statement or a value, whatever directive it belongs to.
///
/// A variant without a comment is worded as in nginx.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyntaxError {
    #[error("block directives are not supported in -g option")]
    BlockInParameter,
    #[error("\"{name}\" directive is duplicate")]
    DuplicateDirective { name: String },
    #[error("glob() \"{pattern}\" failed ({reason})")]
    Glob { pattern: String, reason: String },
    /// Ours: nginx runs out of file descriptors.
    #[error("\"{}\" includes itself", path.display())]
    IncludeCycle { path: PathBuf },
    /// Ours, as above.
    #[error("includes are nested more than {max} deep")]
    IncludeDepth { max: usize },
    #[error("invalid {what} \"{value}\"")]
    Invalid { what: &'static str, value: String },
    #[error("invalid number of arguments in \"{name}\" directive")]
    InvalidArity { name: String },
    #[error("invalid value \"{value}\" in \"{name}\" directive, it must be \"on\" or \"off\"")]
    InvalidFlag { name: String, value: String },
    #[error("\"{name}\" directive invalid number")]
    InvalidNumber { name: String },
    #[error("\"{name}\" directive invalid value")]
    InvalidValue { name: String },
    #[error("too long parameter, probably missing terminating \"{quote}\" character")]
    MissingQuote { quote: char },
    #[error("\"{name}\" directive is not allowed here")]
    NotAllowedHere { name: String },
    #[error("directive \"{name}\" has no opening \"{{\"")]
    NotOpened { name: String },
    /// Ours.
    #[error("the \"{name}\" directive is not supported ({instead})")]
    NotSupported {
        name: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// Ours.
    #[error(
        "the \"{parameter}\" parameter of the \"{name}\" directive is not supported ({instead})"
    )]
    RefusedParameter {
        name: String,
        parameter: String,
        /// What to do instead.
        instead: &'static str,
    },
    #[error("directive \"{name}\" is not terminated by \";\"")]
    NotTerminated { name: String },
    /// Ours: nginx works on bytes.
    #[error("\"{text}\" is not valid UTF-8")]
    NotUtf8 { text: String },
    #[error("open() \"{}\" failed ({})", path.display(), Os(source))]
    Open { path: PathBuf, source: io::Error },
    #[error("read() \"{}\" failed ({})", path.display(), Os(source))]
    Read { path: PathBuf, source: io::Error },
    /// Ours.
    #[error("\"{}\" makes the configuration too large", path.display())]
    TooLarge { path: PathBuf },
    #[error("too long parameter \"{start}...\" started")]
    TooLong { start: String },
    #[error("unexpected end of file, expecting \"}}\"")]
    UnclosedBlock {
        /// The line of the innermost open block.
        line: usize,
    },
    #[error("unexpected \"{0}\"")]
    Unexpected(char),
    #[error("unexpected end of parameter, expecting \";\"")]
    UnexpectedEndOfParameter,
    #[error("unexpected end of file, expecting \";\" or \"}}\"")]
    UnexpectedEnd,
    #[error("unknown directive \"{name}\"")]
    UnknownDirective { name: String },
}

impl SyntaxError {
    /// Whether the files may name more text than is read, so that the search for further mistakes ends.
    pub(crate) const fn is_endless(&self) -> bool {
        matches!(
            self,
            Self::IncludeCycle { .. } | Self::IncludeDepth { .. } | Self::TooLarge { .. }
        )
    }

    /// The value that the text quotes.
    const fn value(&mut self) -> Option<&mut String> {
        match self {
            Self::Invalid { value, .. }
            | Self::InvalidFlag { value, .. }
            | Self::RefusedParameter {
                parameter: value, ..
            }
            | Self::TooLong { start: value } => Some(value),
            _ => None,
        }
    }

    pub(crate) fn too_large(path: &Path) -> Self {
        let path = path.to_owned();
        Self::TooLarge { path }
    }
}

/// Shows an operating system error as nginx does: number first.
pub(crate) struct Os<'a>(pub(crate) &'a io::Error);

impl fmt::Display for Os<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        match self.0.raw_os_error() {
            Some(code) => {
                let end = format!(" (os error {code})");
                write!(f, "{code}: {}", text.strip_suffix(&end).unwrap_or(&text))
            }
            None => f.write_str(&text),
        }
    }
}
