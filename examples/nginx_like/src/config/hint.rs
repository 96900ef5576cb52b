//! What to do about an error whose words are nginx's, which say what is wrong only. `-t` prints it below the error.

use super::known::{arguments_of, blocks_of, names};
use crate::syntax::error::{ConfigError, SyntaxError};

/// How many characters a name may differ from the one that was meant.
const TYPOS: usize = 2;

/// What to do about `error`, if there is more to say than it says itself.
pub(crate) fn hint(error: &ConfigError) -> Option<String> {
    match error.reason().downcast_ref() {
        Some(SyntaxError::UnknownDirective { name }) => {
            similar(name).map(|meant| format!("did you mean \"{meant}\"?"))
        }
        Some(SyntaxError::NotAllowedHere { name }) => {
            Some(format!("\"{name}\" stands {}", blocks_of(name)))
        }
        Some(SyntaxError::InvalidArity { name }) => {
            Some(format!("\"{name}\" takes {}", arguments_of(name)?))
        }
        Some(SyntaxError::InvalidValue { name }) if name.ends_with("timeout") => {
            Some("a time is a number with a unit, such as 500ms, 30s, 5m or 1h30m".to_owned())
        }
        Some(SyntaxError::InvalidValue { name }) if name.ends_with("size") => {
            Some("a size is a number of bytes, such as 4096, 16k or 1m".to_owned())
        }
        Some(SyntaxError::UnclosedBlock { line, .. }) => Some(format!(
            "the block that begins in line {line} has no closing brace"
        )),
        // Several modules have this error.
        _ => no_port(&error.to_string()),
    }
}

/// The directive that `name` may be a typing mistake of.
fn similar(name: &str) -> Option<&'static str> {
    let distance = |known: &&str| strsim::osa_distance(known, name);
    let nearest = names().min_by_key(distance)?;
    // A short name is near to many.
    let most = TYPOS.min(name.len() / 3);
    (distance(&nearest) <= most).then_some(nearest)
}

fn no_port(error: &str) -> Option<String> {
    let rest = error.strip_prefix("no port in upstream \"")?;
    let (name, _) = rest.split_once('"')?;
    Some(format!(
        "no \"upstream\" block has the name \"{name}\"; a host needs a port, as in \"{name}:443\""
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::main::Config;

    fn hint_of(text: &str) -> Option<String> {
        let config = Config::parse(Path::new("test.conf"), text.as_bytes(), Path::new(""));
        hint(&config.unwrap_err())
    }

    #[test]
    fn errors_with_the_words_of_nginx_have_a_hint_where_there_is_one() {
        for (text, expected) in [
            (
                "stream { server { proxy_pas u; } }",
                "did you mean \"proxy_pass\"?",
            ),
            ("steam { }", "did you mean \"stream\"?"),
            (
                "server { }",
                "\"server\" stands in \"stream\" and \"upstream\"",
            ),
            ("stream { user a; }", "\"user\" stands on the main level"),
            ("worker_processes;", "\"worker_processes\" takes 1 argument"),
            ("user a b c;", "\"user\" takes 1 to 2 arguments"),
            (
                "stream { proxy_timeout soon; }",
                "a time is a number with a unit, such as 500ms, 30s, 5m or 1h30m",
            ),
            (
                "stream { preread_buffer_size big; }",
                "a size is a number of bytes, such as 4096, 16k or 1m",
            ),
            (
                "events { }\nstream {\nserver {\nlisten 1;\n}\n",
                "the block that begins in line 2 has no closing brace",
            ),
            (
                "stream { server { listen 1; proxy_pass nodes; } }",
                "no \"upstream\" block has the name \"nodes\"; a host needs a port, as in \"nodes:443\"",
            ),
        ] {
            assert_eq!(hint_of(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "nonsense;",
            "foo;",
            "daemon maybe;",
            "error_log stderr foo;",
        ] {
            assert_eq!(hint_of(text), None, "{text}");
        }
    }
}
