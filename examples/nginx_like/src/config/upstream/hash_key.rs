//! The key of `hash`: text with variables.

use lb_proxy::balancing::KeyPart;

/// The key of `hash`: texts and variables of a connection, one after the other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HashKey(Vec<KeyPart>);

/// What is wrong with a key. A variant without a comment is worded as in nginx.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("the closing bracket in \"{0}\" variable is missing")]
    Bracket(String),
    #[error("invalid variable name")]
    Name,
    /// Ours.
    #[error(
        "the \"{0}\" variable is not supported in \"hash\"; there are {names}",
        names = names()
    )]
    NotSupported(String),
}

impl HashKey {
    pub(crate) fn parse(text: &str) -> Result<Self, KeyError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            if !before.is_empty() {
                parts.push(KeyPart::text(before));
            }
            let (name, after) = split_name(after)?;
            let variable = variable(name);
            parts.push(variable.ok_or_else(|| KeyError::NotSupported(name.to_owned()))?);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(KeyPart::text(rest));
        }
        Ok(Self(parts))
    }

    /// What lb-proxy hashes of a connection, byte for byte as in nginx.
    pub(crate) const fn parts(&self) -> &[KeyPart] {
        self.0.as_slice()
    }
}

const VARIABLES: [(&str, KeyPart); 5] = [
    ("binary_remote_addr", KeyPart::ClientIpOctets),
    ("remote_addr", KeyPart::ClientIpText),
    ("remote_port", KeyPart::ClientPort),
    ("server_addr", KeyPart::LocalIpText),
    ("server_port", KeyPart::LocalPort),
];

/// The part that a variable stands for. The case of its name does not matter, as in nginx.
fn variable(name: &str) -> Option<KeyPart> {
    let mut all = VARIABLES.into_iter();
    let found = all.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, variable)| variable)
}

/// `$a, $b`
fn names() -> String {
    VARIABLES.map(|(name, _)| format!("${name}")).join(", ")
}

/// Splits what follows a `$` into the name of the variable and the rest.
fn split_name(text: &str) -> Result<(&str, &str), KeyError> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let bracketed = text.strip_prefix('{');
    let inside = bracketed.unwrap_or(text);
    if inside.is_empty() {
        return Err(KeyError::Name);
    }
    let end = inside.find(|c| !is_name(c)).unwrap_or(inside.len());
    let (name, mut rest) = inside.split_at(end);
    if bracketed.is_some() {
        let closed = rest.strip_prefix('}');
        rest = closed.ok_or_else(|| KeyError::Bracket(name.to_owned()))?;
    }
    if name.is_empty() {
        return Err(KeyError::Name);
    }
    Ok((name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn variables_are_those_of_nginx() {
        use KeyPart::{ClientIpOctets, ClientIpText, ClientPort, LocalIpText, LocalPort};
        let text = |text: &str| KeyPart::text(text);
        for (template, expected) in [
            ("$remote_addr", vec![ClientIpText]),
            ("$remote_port", vec![ClientPort]),
            ("$server_addr", vec![LocalIpText]),
            ("$server_port", vec![LocalPort]),
            ("${remote_addr}x", vec![ClientIpText, text("x")]),
            ("$REMOTE_addr", vec![ClientIpText]),
            (
                "a$remote_addr-$server_port/",
                vec![text("a"), ClientIpText, text("-"), LocalPort, text("/")],
            ),
            ("$remote_addr$remote_port", vec![ClientIpText, ClientPort]),
            (
                "$binary_remote_addr$server_port",
                vec![ClientIpOctets, LocalPort],
            ),
            ("constant", vec![text("constant")]),
            ("", vec![]),
        ] {
            let key = HashKey::parse(template).unwrap();
            assert_eq!(key.parts(), expected, "{template}");
        }
    }

    #[test]
    fn mistakes_are_told_as_in_nginx() {
        for (template, error) in [
            ("$", KeyError::Name),
            ("a$", KeyError::Name),
            ("$-", KeyError::Name),
            ("${", KeyError::Name),
            ("${}", KeyError::Name),
            ("${remote_addr", KeyError::Bracket("remote_addr".to_owned())),
            ("${remote-addr}", KeyError::Bracket("remote".to_owned())),
            (
                "$ssl_session_id",
                KeyError::NotSupported("ssl_session_id".to_owned()),
            ),
        ] {
            assert_eq!(HashKey::parse(template), Err(error), "{template}");
        }
        let error = HashKey::parse("$connection").unwrap_err().to_string();
        assert!(error.contains("\"connection\""), "{error}");
        assert!(error.ends_with("$remote_addr, $remote_port, $server_addr, $server_port"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_key_or_a_mistake(text in "[a-z_${}]{0,20}|\\PC{0,20}") {
            if let Ok(key) = HashKey::parse(&text) {
                prop_assert_eq!(text.is_empty(), key.parts().is_empty());
            }
        }
    }
}
