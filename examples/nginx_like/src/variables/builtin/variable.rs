//! A built-in variable.

use crate::variables::context::Context;
use crate::variables::output::ValueOutput;

/// A built-in variable.
#[derive(Debug)]
pub(crate) struct Builtin {
    /// In small letters. For [`Read::Rest`] the beginning of the name.
    pub(crate) name: &'static str,
    pub(crate) source: Source,
    pub(crate) read: Read,
    /// Whether the value depends on how the session got to its end: on its number, its times and its steps, which a session
    /// keeps only where some value depends on them.
    pub(crate) reads_course: bool,
}

/// What the value of a variable is read from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    /// Nothing: it never has a value, which is a warning.
    Absent,
    /// A clock: it may differ each time.
    Clock,
    /// The addresses of the connection, or the process: it is always the same.
    Connection,
    /// How the session goes: it is complete at the end of the session.
    End,
    /// The first bytes of the connection.
    FirstBytes,
}

/// Appends the value to the output. `None` if there is none; nothing is appended then.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Read {
    Whole(fn(&Context<'_>, &mut dyn ValueOutput) -> Option<()>),
    /// The second argument is the rest of the name.
    Rest(fn(&Context<'_>, &str, &mut dyn ValueOutput) -> Option<()>),
}

impl Builtin {
    pub(super) const fn new(
        name: &'static str,
        source: Source,
        read: fn(&Context<'_>, &mut dyn ValueOutput) -> Option<()>,
    ) -> Self {
        Self::reading(name, source, Read::Whole(read))
    }

    /// All variables whose names begin with `name`.
    pub(super) const fn beginning(
        name: &'static str,
        source: Source,
        read: fn(&Context<'_>, &str, &mut dyn ValueOutput) -> Option<()>,
    ) -> Self {
        Self::reading(name, source, Read::Rest(read))
    }

    /// The same, and the value [depends on the course](Self::reads_course) of the session.
    pub(super) const fn of_course(mut self) -> Self {
        self.reads_course = true;
        self
    }

    const fn reading(name: &'static str, source: Source, read: Read) -> Self {
        Self {
            name,
            source,
            read,
            reads_course: false,
        }
    }
}
