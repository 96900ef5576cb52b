//! What a directive is: where it stands, what it takes and what it does.

use std::time::Duration;

use super::{
    error::{ConfigError, ErrorKind, Span},
    reader::Reader,
    units,
};

/// A kind of block, and where its values are collected as they are read.
pub(crate) trait Scope: Sized + 'static {
    /// Tables of the directives that may stand in the block. `include` may stand in all of them.
    const DIRECTIVES: &'static [&'static [Directive<Self>]];

    /// What every other word is, in a block of words that are no directives.
    const OTHERWISE: Option<&'static Directive<Self>> = None;
}

/// Takes the values of a directive into its scope. A handler of a block reads the block too.
pub(crate) type Handler<S> = fn(&mut S, &Line, &mut Reader<'_>) -> Result<(), ConfigError>;

/// A directive that may stand in the scope `S`.
#[derive(Debug)]
pub(crate) struct Directive<S> {
    pub(crate) name: &'static str,
    args: Args,
    is_block: bool,
    pub(crate) set: Handler<S>,
}

impl<S> Directive<S> {
    /// A directive that ends with `;`.
    pub(crate) const fn simple(name: &'static str, args: Args, set: Handler<S>) -> Self {
        Self {
            name,
            args,
            is_block: false,
            set,
        }
    }

    /// A directive that opens a block.
    pub(crate) const fn block(name: &'static str, args: Args, set: Handler<S>) -> Self {
        Self {
            name,
            args,
            is_block: true,
            set,
        }
    }

    /// A directive that only tunes how nginx works inside. It is accepted with a warning.
    pub(crate) const fn without_effect(name: &'static str, args: Args) -> Self {
        Self::simple(name, args, |_, line, reader| {
            reader.warn_no_effect(line);
            Ok(())
        })
    }

    /// Checks how the statement ends and the number of its arguments.
    pub(crate) fn check(&self, line: &Line) -> Result<(), ConfigError> {
        let name = line.name().to_owned();
        if self.is_block && !line.opens_block {
            return Err(line.error(ErrorKind::NotOpened { name }));
        }
        if !self.is_block && line.opens_block {
            return Err(line.error(ErrorKind::NotTerminated { name }));
        }
        if !self.args.fit(line.args().len()) {
            return Err(line.error(ErrorKind::InvalidArity { name }));
        }
        Ok(())
    }
}

/// How many arguments a directive takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Args {
    AtLeast(usize),
    Between(usize, usize),
    Exactly(usize),
}

impl Args {
    fn fit(self, count: usize) -> bool {
        match self {
            Self::AtLeast(least) => count >= least,
            Self::Between(least, most) => (least..=most).contains(&count),
            Self::Exactly(exact) => count == exact,
        }
    }
}

/// A statement as it stands in a file.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) words: Vec<String>,
    pub(crate) opens_block: bool,
    pub(crate) span: Span,
}

impl Line {
    pub(crate) fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    pub(crate) fn args(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    /// Returns the first argument. The table of directives says that there is one.
    pub(crate) fn arg(&self) -> &str {
        self.args().first().map_or("", String::as_str)
    }

    /// Returns the arguments after the first.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.args().iter().skip(1).map(String::as_str)
    }

    pub(crate) fn error(&self, kind: ErrorKind) -> ConfigError {
        ConfigError::new(kind, Some(self.span.clone()))
    }

    /// Sets a value that may be set only once in a block.
    pub(crate) fn once<T>(
        &self,
        slot: &mut Option<T>,
        parse: impl FnOnce(&Self) -> Result<T, ConfigError>,
    ) -> Result<(), ConfigError> {
        if slot.is_some() {
            let name = self.name().to_owned();
            return Err(self.error(ErrorKind::DuplicateDirective { name }));
        }
        *slot = Some(parse(self)?);
        Ok(())
    }

    // Readers of the first argument, to be handed to `once`.

    pub(crate) fn flag(&self) -> Result<bool, ConfigError> {
        units::flag(self.arg()).ok_or_else(|| {
            self.error(ErrorKind::InvalidFlag {
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
            self.error(ErrorKind::InvalidNumber { name })
        })
    }

    pub(crate) fn invalid_value(&self) -> ConfigError {
        let name = self.name().to_owned();
        self.error(ErrorKind::InvalidValue { name })
    }

    /// `invalid WHAT "VALUE"`
    pub(crate) fn invalid(&self, what: &'static str, value: &str) -> ConfigError {
        let value = value.to_owned();
        self.error(ErrorKind::Invalid { what, value })
    }

    pub(crate) fn not_supported_parameter(&self, parameter: &str) -> ConfigError {
        self.error(ErrorKind::NotSupportedParameter {
            name: self.name().to_owned(),
            parameter: parameter.to_owned(),
        })
    }
}
