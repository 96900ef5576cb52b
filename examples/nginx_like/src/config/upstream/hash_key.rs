//! The key of `hash`: text with variables.

use std::{io::Write, net::IpAddr, net::SocketAddr};

/// What `hash` goes by: pieces of text and variables of a connection, put one after the other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HashKey(Vec<Piece>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece {
    Text(String),
    Variable(Variable),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Variable {
    BinaryRemoteAddr,
    RemoteAddr,
    RemotePort,
    ServerAddr,
    ServerPort,
}

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
        names = Variable::names()
    )]
    NotSupported(String),
}

impl HashKey {
    pub(crate) fn parse(text: &str) -> Result<Self, KeyError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let (name, after) = split_name(after)?;
            let variable = Variable::named(name);
            let variable = variable.ok_or_else(|| KeyError::NotSupported(name.to_owned()))?;
            pieces.push(Piece::Variable(variable));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The key of a connection that `client` made to `server`, byte for byte as in nginx.
    pub(crate) fn of(&self, client: SocketAddr, server: SocketAddr) -> Vec<u8> {
        let mut key = Vec::with_capacity(32);
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => key.extend(text.as_bytes()),
                Piece::Variable(variable) => variable.append(client, server, &mut key),
            }
        }
        key
    }
}

impl Variable {
    const ALL: [(&'static str, Self); 5] = [
        ("binary_remote_addr", Self::BinaryRemoteAddr),
        ("remote_addr", Self::RemoteAddr),
        ("remote_port", Self::RemotePort),
        ("server_addr", Self::ServerAddr),
        ("server_port", Self::ServerPort),
    ];

    /// nginx does not mind the case.
    fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, variable)| variable)
    }

    /// `$a, $b`
    fn names() -> String {
        Self::ALL.map(|(name, _)| format!("${name}")).join(", ")
    }

    fn append(self, client: SocketAddr, server: SocketAddr, key: &mut Vec<u8>) {
        let shown: &dyn std::fmt::Display = match self {
            Self::BinaryRemoteAddr => {
                return match client.ip() {
                    IpAddr::V4(ip) => key.extend(ip.octets()),
                    IpAddr::V6(ip) => key.extend(ip.octets()),
                };
            }
            Self::RemoteAddr => &client.ip(),
            Self::RemotePort => &client.port(),
            Self::ServerAddr => &server.ip(),
            Self::ServerPort => &server.port(),
        };
        // A vector takes everything.
        let _ = write!(key, "{shown}");
    }
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

    fn key(template: &str, client: &str) -> String {
        let server = "192.0.2.9:446".parse().unwrap();
        let key = HashKey::parse(template).unwrap();
        String::from_utf8(key.of(client.parse().unwrap(), server)).unwrap()
    }

    #[test]
    fn variables_are_those_of_the_connection() {
        let client = "10.1.2.3:50000";
        for (template, expected) in [
            ("$remote_addr", "10.1.2.3"),
            ("$remote_port", "50000"),
            ("$server_addr", "192.0.2.9"),
            ("$server_port", "446"),
            ("${remote_addr}x", "10.1.2.3x"),
            ("$REMOTE_addr", "10.1.2.3"),
            ("a$remote_addr-$server_port/", "a10.1.2.3-446/"),
            ("$remote_addr$remote_port", "10.1.2.350000"),
            ("constant", "constant"),
            ("", ""),
        ] {
            assert_eq!(key(template, client), expected, "{template}");
        }
        let template = HashKey::parse("$binary_remote_addr$server_port").unwrap();
        let server = "192.0.2.9:446".parse().unwrap();
        let binary = template.of(client.parse().unwrap(), server);
        assert_eq!(binary, [10, 1, 2, 3, b'4', b'4', b'6']);
    }

    #[test]
    fn ipv6_is_written_as_in_nginx() {
        for (client, expected) in [
            ("[2001:DB8:0:0:1:0:0:1]:1", "2001:db8::1:0:0:1"),
            ("[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1"),
            ("[::1]:1", "::1"),
        ] {
            assert_eq!(key("$remote_addr", client), expected);
        }
        let template = HashKey::parse("$binary_remote_addr").unwrap();
        let client = "[::1]:1".parse().unwrap();
        assert_eq!(template.of(client, client).len(), 16);
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
            let client = "10.1.2.3:50000".parse().unwrap();
            if let Ok(key) = HashKey::parse(&text) {
                prop_assert_eq!(text.is_empty(), key.of(client, client).is_empty());
            }
        }
    }
}
