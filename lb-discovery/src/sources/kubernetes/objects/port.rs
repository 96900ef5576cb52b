//! Ports by name or number.

use std::fmt;
use std::sync::Arc;

use crate::sources::kubernetes::error;

/// A port as an object of the API names it.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(
    feature = "serde",
    serde(expecting = "the name or the number of a port", untagged)
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Port {
    /// By its name.
    Name(Arc<str>),
    /// By its number.
    Number(u16),
}

impl From<u16> for Port {
    fn from(number: u16) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Port {
    fn from(name: &str) -> Self {
        Self::Name(name.into())
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name:?}"),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// Whether a port is of TCP, which is the API's default.
pub(crate) fn is_tcp(protocol: Option<&str>) -> bool {
    protocol.is_none_or(|protocol| protocol == "TCP")
}

/// A port number of the API. `None` if it is out of range.
pub(crate) fn number(port: i32) -> Option<u16> {
    u16::try_from(port).ok().filter(|&port| port != 0)
}

/// Lists ports for a message, as `80 ("http"), 443 ("https")`.
pub(crate) fn list<'a>(ports: impl IntoIterator<Item = (&'a str, Option<u16>)>) -> String {
    let ports = ports.into_iter().map(|(name, number)| {
        let number = number.map_or_else(|| "no number".to_owned(), |number| number.to_string());
        if name.is_empty() {
            number
        } else {
            format!("{number} ({name:?})")
        }
    });
    let ports: Vec<_> = ports.collect();
    if ports.is_empty() {
        "none".to_owned()
    } else {
        error::shortened(&ports.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_ports_is_bounded() {
        assert_eq!(
            list([("", None), ("http", Some(80))]),
            "no number, 80 (\"http\")"
        );
        let endless = "x".repeat(1_000_000);
        assert!(list([(&*endless, Some(80))]).len() < 400);
        let many = (1..=u16::MAX).map(|port| ("a", Some(port)));
        assert!(list(many).len() < 400);
    }
}
