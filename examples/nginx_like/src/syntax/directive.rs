//! A directive: its name, its arguments, the block that it is allowed in, and its handler.

use std::fmt;

use super::{
    error::{ConfigError, SyntaxError},
    reader::Reader,
    statement::Statement,
};

/// A kind of block. The values of its statements are collected in it as they are read.
pub(crate) trait Block: Sized + 'static {
    /// The directives that only this kind of block allows. Every block allows `include`.
    const DIRECTIVES: &'static [Directive<Self>];

    /// Tables of directives that other kinds of blocks allow too.
    const SHARED: &'static [&'static [Directive<Self>]] = &[];

    /// The directive of every other word, in a block of arbitrary words.
    const ANY_WORD: Option<&'static Directive<Self>> = None;

    /// The directives of all tables.
    fn directives() -> impl Iterator<Item = &'static Directive<Self>> {
        Self::DIRECTIVES
            .iter()
            .chain(Self::SHARED.iter().copied().flatten())
    }
}

/// A block that has the values `T` of a group of directives, which several kinds of blocks share.
pub(crate) trait Has<T>: Block {
    fn part(&mut self) -> &mut T;
}

/// Reads a statement into its block. The handler of a block directive reads the block too.
pub(crate) type ReadDirective<B> =
    fn(&mut B, &Statement, &mut Reader<'_>) -> Result<(), ConfigError>;

/// A directive that the block `B` allows.
#[derive(Debug)]
pub(crate) struct Directive<B> {
    pub(crate) name: &'static str,
    pub(crate) args: Args,
    /// Whether it opens a block.
    pub(crate) is_block: bool,
    /// It only tunes how nginx works inside: reading it is a warning.
    pub(crate) is_without_effect: bool,
    pub(crate) read: ReadDirective<B>,
}

impl<B> Directive<B> {
    /// A directive that ends with `;`.
    pub(crate) const fn simple(name: &'static str, args: Args, read: ReadDirective<B>) -> Self {
        Self {
            name,
            args,
            is_block: false,
            is_without_effect: false,
            read,
        }
    }

    /// A directive that opens a block.
    pub(crate) const fn block(name: &'static str, args: Args, read: ReadDirective<B>) -> Self {
        Self {
            name,
            args,
            is_block: true,
            is_without_effect: false,
            read,
        }
    }

    /// A directive that only tunes how nginx works inside. It is accepted with a warning.
    pub(crate) const fn without_effect(name: &'static str, args: Args) -> Self {
        Self {
            is_without_effect: true,
            ..Self::simple(name, args, |_, _, _| Ok(()))
        }
    }

    /// Checks how the statement ends and the number of its arguments.
    pub(crate) fn check(&self, statement: &Statement) -> Result<(), ConfigError> {
        let name = statement.name().to_owned();
        if self.is_block && !statement.opens_block {
            return Err(statement.error(SyntaxError::NotOpened { name }));
        }
        if !self.is_block && statement.opens_block {
            return Err(statement.error(SyntaxError::NotTerminated { name }));
        }
        if !self.args.fit(statement.args().len()) {
            return Err(statement.error(SyntaxError::InvalidArity { name }));
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

/// In words.
impl fmt::Display for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(1) => f.write_str("at least 1 argument"),
            Self::AtLeast(least) => write!(f, "at least {least} arguments"),
            Self::Between(least, most) => write!(f, "{least} to {most} arguments"),
            Self::Exactly(0) => f.write_str("no argument"),
            Self::Exactly(1) => f.write_str("1 argument"),
            Self::Exactly(exact) => write!(f, "{exact} arguments"),
        }
    }
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
