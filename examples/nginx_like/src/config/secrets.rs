//! Words of a configuration that are not shown.

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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::main::Config;

    #[test]
    fn a_mistake_does_not_show_a_secret() {
        let long = "pass".repeat(2000);
        let check = |line: &str| {
            format!("stream {{ server {{ listen 127.0.0.1:1; proxy_pass 127.0.0.1:2; {line} }} }}")
        };
        for (text, shown) in [
            (
                "stream { match m { send pass\\xg0; } }".to_owned(),
                "invalid value \"<hidden>\"",
            ),
            (
                format!("stream {{ match m {{ send {long}; }} }}"),
                "too long parameter \"<hidden>...\" started",
            ),
            (
                check("health_check type=tcp send=pass\\xg0;"),
                "invalid value \"send=<hidden>\"",
            ),
            (
                check("health_check type=tcp send=pass1 send=pass2;"),
                "invalid parameter \"send=<hidden>\"",
            ),
            (
                format!("env SECRET={long};"),
                "too long parameter \"SECRET=<hidden>...\" started",
            ),
        ] {
            let error = Config::parse(Path::new("test.conf"), text.as_bytes(), Path::new(""));
            let error = error.unwrap_err().to_string();
            assert!(error.starts_with(shown), "{error}");
            assert!(!error.contains("pass"), "{error}");
        }
    }
}
