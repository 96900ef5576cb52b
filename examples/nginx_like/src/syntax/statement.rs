//! A statement of a file, and its arguments as values.

use std::{error::Error, time::Duration};

use super::{
    error::{ConfigError, SyntaxError},
    span::Span,
    units,
};

/// A statement as a file has it: the name of a directive and its arguments.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) words: Vec<String>,
    /// It ends with `{` instead of `;`.
    pub(crate) opens_block: bool,
    pub(crate) span: Span,
}

impl Statement {
    pub(crate) fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    pub(crate) fn args(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The first argument. Empty if there is none, which the arity of most directives excludes.
    pub(crate) fn arg(&self) -> &str {
        self.args().first().map_or("", String::as_str)
    }

    /// The arguments after the first.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.args().iter().skip(1).map(String::as_str)
    }

    /// Sets a value that may be set only once in a block.
    pub(crate) fn once<T>(
        &self,
        slot: &mut Option<T>,
        parse: impl FnOnce(&Self) -> Result<T, ConfigError>,
    ) -> Result<(), ConfigError> {
        if slot.is_some() {
            return Err(self.duplicate());
        }
        *slot = Some(parse(self)?);
        Ok(())
    }

    // === The first argument as a value ===

    /// `on` or `off`.
    pub(crate) fn flag(&self) -> Result<bool, ConfigError> {
        units::flag(self.arg()).ok_or_else(|| {
            self.error(SyntaxError::InvalidFlag {
                name: self.name().to_owned(),
                value: self.arg().to_owned(),
            })
        })
    }

    pub(crate) fn milliseconds(&self) -> Result<Duration, ConfigError> {
        units::milliseconds(self.arg()).ok_or_else(|| self.invalid_value())
    }

    pub(crate) fn number<T: TryFrom<u64>>(&self) -> Result<T, ConfigError> {
        let number = units::number(self.arg()).map(T::try_from);
        number.and_then(Result::ok).ok_or_else(|| {
            let name = self.name().to_owned();
            self.error(SyntaxError::InvalidNumber { name })
        })
    }

    /// A number of bytes.
    pub(crate) fn size(&self) -> Result<usize, ConfigError> {
        let size = units::size(self.arg()).and_then(|size| usize::try_from(size).ok());
        size.ok_or_else(|| self.invalid_value())
    }

    /// A number of bytes that may be larger than the memory.
    pub(crate) fn offset(&self) -> Result<u64, ConfigError> {
        units::offset(self.arg()).ok_or_else(|| self.invalid_value())
    }

    // === Errors at this statement ===

    pub(crate) fn error(&self, reason: impl Error + Send + Sync + 'static) -> ConfigError {
        ConfigError::at(&self.span, reason)
    }

    pub(crate) fn duplicate(&self) -> ConfigError {
        let name = self.name().to_owned();
        self.error(SyntaxError::DuplicateDirective { name })
    }

    pub(crate) fn invalid_value(&self) -> ConfigError {
        let name = self.name().to_owned();
        self.error(SyntaxError::InvalidValue { name })
    }

    /// `invalid WHAT "VALUE"`
    pub(crate) fn invalid(&self, what: &'static str, value: &str) -> ConfigError {
        let value = value.to_owned();
        self.error(SyntaxError::Invalid { what, value })
    }

    /// A parameter that nginx has and nginx_like will not have.
    pub(crate) fn refused_parameter(&self, parameter: &str, instead: &'static str) -> ConfigError {
        self.error(SyntaxError::RefusedParameter {
            name: self.name().to_owned(),
            parameter: parameter.to_owned(),
            instead,
        })
    }
}
