//! Looks built-in variables up.

use super::variable::{Builtin, Read};
use super::{
    core, lb, limit_conn, proxy_protocol, realip, ssl, ssl_preread, unsupported, upstream,
};
use crate::variables::error::VariableError;

const TABLES: &[&[Builtin]] = &[
    core::VARIABLES,
    lb::VARIABLES,
    limit_conn::VARIABLES,
    proxy_protocol::VARIABLES,
    realip::VARIABLES,
    ssl::VARIABLES,
    ssl_preread::VARIABLES,
    upstream::VARIABLES,
];

fn all() -> impl Iterator<Item = &'static Builtin> {
    TABLES.iter().copied().flatten()
}

/// The names of all variables.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    all().map(|builtin| builtin.name)
}

/// The variable with this whole name, in small letters.
pub(crate) fn named(name: &str) -> Option<&'static Builtin> {
    all().find(|builtin| builtin.name == name && matches!(builtin.read, Read::Whole(_)))
}

/// The variable that `name`, in small letters, means, and the rest of the name behind that of the table.
pub(crate) fn find(name: &str) -> Result<(&'static Builtin, &str), VariableError> {
    if let Some(builtin) = named(name) {
        return Ok((builtin, ""));
    }
    let mut beginnings = all().filter(|builtin| matches!(builtin.read, Read::Rest(_)));
    let found = beginnings.find_map(|builtin| Some((builtin, name.strip_prefix(builtin.name)?)));
    found.ok_or_else(|| unsupported::error(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_in_two_lines() {
        let mut names: Vec<_> = all().map(|builtin| builtin.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| *name == name.to_ascii_lowercase()));
    }

    #[test]
    fn the_readme_lists_all_variables() {
        let readme = include_str!("../../../README.md");
        for builtin in all() {
            assert!(
                readme.contains(&format!("`${}", builtin.name)),
                "{}",
                builtin.name
            );
        }
    }
}
