//! Which words of a configuration are not shown.

use std::borrow::Cow;

use crate::syntax::statement::Statement;

/// What is shown in the place of a secret.
const HIDDEN: &str = "<hidden>";

/// A word of a statement, without what may be a secret: what health checks send, such as a password, and the values of
/// `env`. Files that hold secrets are only named in a configuration.
pub(super) fn shown(statement: &Statement, index: usize) -> Cow<'_, str> {
    let word = statement.words.get(index).map_or("", String::as_str);
    let hidden = |name: &str| Cow::Owned(format!("{name}={HIDDEN}"));
    match (statement.name(), word.split_once('=')) {
        _ if index == 0 => word.into(),
        ("send", _) => HIDDEN.into(),
        ("env", Some((name, _))) => hidden(name),
        ("health_check", Some((name @ "send", _))) => hidden(name),
        _ => word.into(),
    }
}
