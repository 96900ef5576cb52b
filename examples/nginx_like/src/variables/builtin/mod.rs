//! Built-in variables: a table for each module of nginx.

mod core;
mod limit_conn;
mod proxy_protocol;
mod realip;
mod ssl_preread;
mod times;
mod unsupported;
mod upstream;

use super::context::Context;
use super::error::VariableError;
use super::output::Output;

/// A built-in variable.
#[derive(Debug)]
pub(crate) struct Builtin {
    /// In small letters. For [`Read::Rest`] the beginning of the name.
    pub(crate) name: &'static str,
    pub(crate) source: Source,
    pub(crate) read: Read,
}

/// What the value of a variable is read from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Source {
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
    Whole(fn(&Context<'_>, &mut dyn Output) -> Option<()>),
    /// The second argument is the rest of the name.
    Rest(fn(&Context<'_>, &str, &mut dyn Output) -> Option<()>),
}

const TABLES: &[&[Builtin]] = &[
    core::VARIABLES,
    limit_conn::VARIABLES,
    proxy_protocol::VARIABLES,
    realip::VARIABLES,
    ssl_preread::VARIABLES,
    upstream::VARIABLES,
];

impl Builtin {
    const fn new(
        name: &'static str,
        source: Source,
        read: fn(&Context<'_>, &mut dyn Output) -> Option<()>,
    ) -> Self {
        let read = Read::Whole(read);
        Self { name, source, read }
    }

    /// All variables whose names begin with `name`.
    const fn beginning(
        name: &'static str,
        source: Source,
        read: fn(&Context<'_>, &str, &mut dyn Output) -> Option<()>,
    ) -> Self {
        let read = Read::Rest(read);
        Self { name, source, read }
    }

    fn all() -> impl Iterator<Item = &'static Self> {
        TABLES.iter().copied().flatten()
    }

    /// The variable with this whole name, in small letters.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        let mut all = Self::all();
        all.find(|builtin| builtin.name == name && matches!(builtin.read, Read::Whole(_)))
    }

    /// The variable that `name`, in small letters, means, and the rest of the name behind that of the table.
    pub(crate) fn find(name: &str) -> Result<(&'static Self, &str), VariableError> {
        if let Some(builtin) = Self::named(name) {
            return Ok((builtin, ""));
        }
        let mut beginnings = Self::all().filter(|builtin| matches!(builtin.read, Read::Rest(_)));
        let found =
            beginnings.find_map(|builtin| Some((builtin, name.strip_prefix(builtin.name)?)));
        found.ok_or_else(|| unsupported::error(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_in_two_lines() {
        let mut names: Vec<_> = Builtin::all().map(|builtin| builtin.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| *name == name.to_ascii_lowercase()));
    }

    #[test]
    fn the_readme_lists_all_variables() {
        let readme = include_str!("../../../README.md");
        for builtin in Builtin::all() {
            assert!(
                readme.contains(&format!("`${}", builtin.name)),
                "{}",
                builtin.name
            );
        }
    }
}
